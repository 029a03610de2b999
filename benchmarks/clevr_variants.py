"""The variants that the studies of the CLEVR reasoner compare: of its network, and of what helps it to learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks.clevr_trainings import without_trunk_training
from clevr.config.model import ReasonerConfig, TrainConfig

_PAPER = ReasonerConfig()

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "only-beta": {"gamma": "one"},
    "only-gamma": {"beta": "zero"},
    "gamma-sigmoid": {"gamma": "sigmoid"},
    "gamma-tanh": {"gamma": "tanh"},
    "gamma-exp": {"gamma": "exp"},
    "film-after-relu": {"film_position": "relu"},
    "film-after-sum": {"film_position": "residual"},
    "film-after-conv": {"film_position": "conv"},
    "film-on-input": {"film_position": "input"},
    "film-in-3-blocks": {"film_blocks": 3},
    "film-in-2-blocks": {"film_blocks": 2},
    "film-in-1-block": {"film_blocks": 1},
    "1x1-no-coordinates": {"block_kernel": 1, "coordinates": False},
    "no-residual": {"residual": False},
    "no-coordinates": {"coordinates": False},
    "no-batchnorm": {"batch_norm": False},
    "1-block": {"blocks": 1},
    "2-blocks": {"blocks": 2},
    "3-blocks": {"blocks": 3},
    "5-blocks": {"blocks": 5},
    "6-blocks": {"blocks": 6},
    "zero-init": {"generator_init": "zero"},
    "concatenation": {"conditioning": "concatenation", "generator_init": _PAPER.generator_init},
    "no-question": {"conditioning": "none", "generator_init": _PAPER.generator_init},
}
"""Settings of the network that differ from the full one."""

PUBLISHED_ABLATIONS = {
    "full": 97.4,
    "only-beta": 95.9,
    "only-gamma": 96.9,
    "gamma-sigmoid": 95.9,
    "gamma-tanh": 96.3,
    "gamma-exp": 96.3,
    "film-after-relu": 97.7,
    "film-after-sum": 96.6,
    "film-after-conv": 97.1,
    "film-on-input": 95.0,
    "film-in-3-blocks": 96.8,
    "film-in-2-blocks": 96.5,
    "film-in-1-block": 97.3,
    "1x1-no-coordinates": 95.3,
    "no-residual": 94.0,
    "no-batchnorm": 93.7,
    "1-block": 93.5,
    "2-blocks": 97.1,
    "3-blocks": 96.7,
    "5-blocks": 97.4,
    "6-blocks": 97.7,
    "no-question": 21.4,
}
"""Per cent of CLEVR's validation set, where the paper has the variant: Perez et al., AAAI 2018, tables 2 and 3; from
features of a ResNet-101, the networks here from pixels."""


Change = Callable[[TrainConfig], TrainConfig]
"""How a variant's training is made from the first one's."""


def with_model(**changes: Any) -> Change:
    """With other settings of the network."""
    return lambda training: dataclasses.replace(training, model=dataclasses.replace(training.model, **changes))


def _with(**changes: Any) -> Change:
    return lambda training: dataclasses.replace(training, **changes)


def _without_any(training: TrainConfig) -> TrainConfig:
    """As published in everything but size: from answers alone."""
    for name in ("no-programs-no-marks", "last-state", "authors-init", "trunk-from-answers"):
        training = AIDS[name](training)
    return training


AIDS: dict[str, Change] = {
    "all": _with(),
    "no-programs": _with(program_weight=0.0),
    "no-marks": _with(trace_weight=0.0),
    "no-programs-no-marks": _with(program_weight=0.0, trace_weight=0.0),
    "last-state": with_model(question_code=_PAPER.question_code),
    "authors-init": with_model(generator_init=_PAPER.generator_init),
    "trunk-from-answers": without_trunk_training,
    "none": _without_any,
}
"""How a training does without an aid: the loss on programs, the one by which blocks mark the objects that a question is
about, the mean of the GRU's states, a generator that begins near the identity, a trunk that learned to see from scenes;
without the last and all others, from answers alone."""
