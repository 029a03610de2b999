"""Saved learners: a folder with ``config.json``, ``model.safetensors`` and a model card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot_film.config.learners import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.run.config import plain
from fewshot_film.run.errors import SavedModelError
from fewshot_film.run.saved_model import load_model, save_model

KIND = "simple-cnaps"


def save_learner(folder: Path, learner: SimpleCNAPS, training: Mapping[str, Any], card: str) -> None:
    """Save a learner; the folder is complete or, after a kill, as it was before.

    Args:
        folder: made, or replaced.
        learner: what to save.
        training: what it was trained on and how, kept in ``config.json``.
        card: text of the model card.
    """
    backbone = dataclasses.replace(learner.config.backbone, weights="")
    config = dataclasses.replace(learner.config, backbone=backbone)
    record = {"kind": KIND, "learner": plain(config), "training": plain(training)}
    save_model(folder, learner.state_dict(), record, card)


def load_learner(folder: str | Path) -> SimpleCNAPS:
    """The learner saved in a folder, on the CPU, in evaluation mode.

    Raises:
        SavedModelError: a file is missing or damaged, or the folder holds something else.
    """
    saved = load_model(Path(folder))
    if saved.config.get("kind") != KIND:
        raise SavedModelError(
            f"{folder} holds a model of kind {saved.config.get('kind')!r}; expected {KIND!r}, as `fewshot-film "
            "pretrain` and `fewshot-film train` write it"
        )
    learner = SimpleCNAPS(_learner_config(saved.config["learner"]))
    saved.load_into(learner)
    learner.eval()
    return learner


def _learner_config(record: Mapping[str, Any]) -> SimpleCNAPSConfig:
    values = _tuples(record)
    return SimpleCNAPSConfig(**{**values, "backbone": BackboneConfig(**_tuples(values["backbone"]))})


def _tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
