"""The ablations of FiLM's paper: what each part of the network is worth, and how many blocks it needs.

    python -m benchmarks.clevr_ablations                                       # generated world, minutes a variant
    python -m benchmarks.clevr_ablations --size paper --root CLEVR_v1.0        # a GPU, days
    python -m benchmarks.clevr_ablations --only [full,only-beta]

Published, on CLEVR's validation set: Perez et al., AAAI 2018, tables 2 and 3; they come from features of a ResNet-101,
the networks here from pixels.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.clevr_experiments import (
    ExperimentConfig,
    as_table,
    base_training,
    chosen,
    curve,
    data_root,
    tested,
    trained,
    write,
)
from fewshot_film.run.parsing import parse

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
    "concatenation": {"conditioning": "concatenation"},
    "no-question": {"conditioning": "none"},
}
"""Settings of the network that differ from the full one."""

PUBLISHED = {
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
"""Per cent, where the paper has the variant."""


@dataclass(frozen=True)
class AblationsConfig(ExperimentConfig):
    """Size, data, and which variants."""

    only: tuple[str, ...] = ()
    """Variants to train; empty: all."""


def run(config: AblationsConfig) -> None:
    """Train and test every variant; the result file grows with each."""
    names = chosen(list(VARIANTS), config.only)
    root = data_root(config)
    test = "test" if config.size == "small" else "val"  # CLEVR's test split has no answers
    rows: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name in names:
        training = base_training(config, f"{config.size}-ablations/{name}", root)
        training = dataclasses.replace(training, model=dataclasses.replace(training.model, **VARIANTS[name]))
        rows[name] = tested(config, trained(training), root, test)
        found[name] = {
            "model": VARIANTS[name],
            "accuracy": rows[name],
            "published": PUBLISHED.get(name),
            "validation": curve(training),
        }
        path = write(config, "clevr_ablations", {"tested_on": test, "variants": found})
    print(as_table(rows, "variant", PUBLISHED), f"\n{path}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(parse("python -m benchmarks.clevr_ablations", AblationsConfig, sys.argv[1:], description=__doc__ or ""))
