"""``fewshot-film join``: trained models as one, their networks side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewshot_film.config.commands import JoinConfig
from fewshot_film.errors import InvalidValueError, counted, differing
from fewshot_film.learners.joined import JoinedBackbone, network_names
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.registry import BACKBONE, build_learner, load_learner, save_learner
from fewshot_film.run.settings import plain

log = logging.getLogger(__name__)


def run(config: JoinConfig) -> None:
    """Join the models and save them as one."""
    learners = [load_learner(folder) for folder in config.models]
    learner = joined(learners, config.models)
    card = _card(learner, len(learners))
    save_learner(Path(config.out), learner, {"settings": plain(config)}, card)
    log.info("saved %s side by side in %s", counted(len(learners), "network"), config.out)


def joined(learners: Sequence[Learner], names: Sequence[str]) -> Learner:
    """The method of all on the features of all.

    Args:
        learners: at least two, with the same settings and nothing trained but their networks.
        names: of each, for errors.

    Raises:
        InvalidValueError: there are fewer than two, they differ, have parts besides their networks, or are joined
            already.
    """
    if len(learners) < 2:
        raise InvalidValueError(f"models: got {len(learners)}; give at least two models, which are joined to one")
    first = learners[0]
    for learner, name in zip(learners, names, strict=True):
        if learner.config != first.config:
            differences = differing(_settings(first), _settings(learner))
            raise InvalidValueError(
                f"models: {names[0]} (there) and {name} (here) differ: {differences}; join models of the same settings"
            )
    own = [key for key in first.state_dict() if not key.startswith(BACKBONE)]
    if own or first.has_film:
        raise InvalidValueError(
            f"models: {names[0]} has weights besides those of its network, which cannot be joined; expected models of "
            "pretrain, or of a method that trains no parts of its own"
        )
    backbone = first.config.backbone
    if backbone.networks > 1:
        raise InvalidValueError(f"models: {names[0]} is joined already; join all its models at once")
    config = replace(first.config, backbone=replace(backbone, networks=len(learners), weights=""))
    parts = {name: one.backbone for name, one in zip(network_names(len(learners)), learners, strict=True)}
    return build_learner(config, JoinedBackbone(parts))


def _settings(learner: Learner) -> dict[str, Any]:
    settings = plain(learner.config)
    return {**settings.pop("backbone"), **settings}


def _card(learner: Learner, count: int) -> str:
    backbone = learner.config.backbone
    return f"""# {learner.config.method}, a few-shot classifier on {counted(count, "network")} side by side

- Network: {count} times {backbone.name}, width {backbone.width}, each trained by itself; \
{sum(p.numel() for p in learner.parameters()):,} parameters.
- Limits: intended for images like those that the networks were trained on; its accuracy on others must be measured
  first.

Load it with `fewshot_film.learners.load_learner(folder)`; `config.json` names the models that were joined.
"""
