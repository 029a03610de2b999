"""Saved learners come back exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fewshot_film.errors import SavedModelError
from fewshot_film.learners.registry import load_learner, save_learner
from fewshot_film.run.model_folder import save_model
from fewshot_film.run.settings import plain
from tests.learners.small import SMALL, small_learner


@pytest.mark.parametrize("adaptation", ["film", "film+ar", "none"])
def test_round_trip_is_exact(tmp_path: Path, adaptation):
    learner = small_learner(adaptation=adaptation).eval()
    save_learner(tmp_path / "model", learner, {"note": "a test"}, "# A card\n")
    loaded = load_learner(tmp_path / "model")
    assert loaded.config == learner.config
    assert not loaded.training
    support, labels, query = torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]), torch.rand(3, 1, 16, 16)
    assert torch.equal(loaded.adapt(support, labels)(query), learner.adapt(support, labels)(query))
    assert (tmp_path / "model" / "README.md").read_text() == "# A card\n"


def test_the_path_of_the_first_weights_is_forgotten(tmp_path: Path):
    first = tmp_path / "first"
    save_learner(first, small_learner(adaptation="none"), {}, "")
    backbone = type(SMALL.backbone)(**{**vars(SMALL.backbone), "weights": str(first)})
    learner = small_learner(backbone=backbone)
    save_learner(tmp_path / "second", learner, {}, "")
    assert load_learner(tmp_path / "second").config.backbone.weights == ""


def test_another_kind_of_model_is_refused(tmp_path: Path):
    save_model(tmp_path / "other", {"x": torch.zeros(1)}, {"kind": "something"}, "")
    with pytest.raises(SavedModelError, match="holds a model of kind 'something'; expected one of simple-cnaps, "):
        load_learner(tmp_path / "other")


def test_a_model_written_before_methods_had_names(tmp_path: Path):
    learner = small_learner()
    settings = plain(learner.config)
    del settings["method"]
    save_model(tmp_path / "old", learner.state_dict(), {"kind": "simple-cnaps", "learner": settings}, "")
    assert load_learner(tmp_path / "old").config == learner.config


def test_settings_of_another_version_are_refused(tmp_path: Path):
    learner = small_learner()
    settings = {**plain(learner.config), "mood": "good"}
    save_model(tmp_path / "new", learner.state_dict(), {"kind": "simple-cnaps", "learner": settings}, "")
    with pytest.raises(SavedModelError, match=r"new was written by another version of this project: .*'mood'"):
        load_learner(tmp_path / "new")
