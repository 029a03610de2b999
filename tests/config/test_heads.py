"""``configs/heads`` has a file for every head on a frozen backbone, named after the method."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from fewshot_film.config.commands import TrainConfig
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.learners import CONFIGS, LEARNERS, build_learner
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.run.parsing import parse
from tests.learners.small import SMALL

FILES = sorted((Path(__file__).resolve().parents[2] / "configs" / "heads").glob("*.yaml"))
WITH_FILM = {"prototypes", "ridge", "lda", "qda", "svm"}
"""Heads that FiLM may stand before, and that have nothing to train without it."""


def settings_of(file: Path) -> LearnerConfig:
    return parse("test", TrainConfig, [f"--config={file}"]).learner


def test_every_head_has_a_file() -> None:
    frozen = {name for name, config in CONFIGS.items() if issubclass(LEARNERS[config], FixedFeatures)}
    assert {file.stem for file in FILES} == frozen | WITH_FILM


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_makes_its_head_and_leaves_nothing_to_train(file: Path) -> None:
    settings = settings_of(file)
    assert settings.method == file.stem
    learner = build_learner(dataclasses.replace(settings, backbone=SMALL.backbone)).eval()
    assert not any(parameter.requires_grad for parameter in learner.parameters())
    images, labels = torch.rand(4, 1, 16, 16), torch.tensor([0, 0, 1, 1])
    assert learner.adapt(images, labels)(torch.rand(3, 1, 16, 16)).shape == (3, 2)
