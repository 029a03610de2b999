"""``join``: the features of all networks in one model, which is saved, loaded and evaluated as any other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.commands.join import joined
from fewshot_film.errors import InvalidValueError
from fewshot_film.learners import LDA, JoinedBackbone, Learner, SimpleCNAPS, load_learner, save_learner
from tests.commands.pictures import fewshot_film
from tests.learners.small import SMALL

PLAIN = dataclasses.replace(
    SMALL,
    adaptation="none",
    backbone=dataclasses.replace(SMALL.backbone, feature_norms=(4.0,), tukey_power=0.5, flip_tta=True),
)


def trained(seed: int, **settings) -> Learner:
    """A learner with weights, and statistics of its norms, of its own."""
    torch.manual_seed(seed)
    learner = SimpleCNAPS(dataclasses.replace(PLAIN, **settings))
    learner.train()
    learner.backbone(torch.rand(8, 1, 16, 16))
    return learner.eval()


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for seed in (1, 2):
        save_learner(tmp_path / str(seed), trained(seed), {}, "")
    return [tmp_path / "1", tmp_path / "2"]


def test_a_joined_model_has_the_features_of_all(folders: list[Path], tmp_path: Path):
    out = tmp_path / "joined"
    assert fewshot_film("join", f"--models=[{folders[0]},{folders[1]}]", f"--out={out}") == 0
    found = load_learner(out)
    assert found.config == dataclasses.replace(PLAIN, backbone=dataclasses.replace(PLAIN.backbone, networks=2))
    images = torch.rand(5, 1, 16, 16)
    expected = torch.cat([load_learner(folder).backbone(images) for folder in folders], 1)
    assert torch.equal(found.backbone(images), expected)
    assert found.backbone.feature_dim == expected.shape[1]
    assert "2 networks side by side" in (out / "README.md").read_text()
    assert json.loads((out / "config.json").read_text())["config"]["learner"]["backbone"]["networks"] == 2


def test_a_joined_model_is_used_as_any_other(folders: list[Path], tmp_path: Path):
    save_learner(tmp_path / "joined", joined([load_learner(folder) for folder in folders], "ab"), {}, "")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 16, 16), dtype=np.uint8), list("aabbcc")
    classifier = FewShotClassifier(tmp_path / "joined", temperature=1.0).fit(images, labels)
    batch = torch.from_numpy(images)[:, None] / 255
    expected = load_learner(tmp_path / "joined").adapt(batch, torch.tensor([0, 0, 1, 1, 2, 2]))(batch)
    np.testing.assert_allclose(classifier.logits(images), expected.detach(), rtol=1e-4, atol=1e-4)
    classifier.save_pretrained(tmp_path / "fitted")
    again = FewShotClassifier.from_pretrained(tmp_path / "fitted")
    np.testing.assert_array_equal(again.predict(images), classifier.predict(images))


def test_what_is_made_of_the_features_can_be_changed(folders: list[Path]):
    """``evaluate --tukey_power 1 --flip_tta false`` changes every network, and raises nothing to a power twice."""
    learner = joined([load_learner(folder) for folder in folders], "ab")
    images = torch.rand(3, 1, 16, 16)
    learner.backbone.set_features(1.0, flip_tta=False)
    alone = [load_learner(folder).backbone for folder in folders]
    for backbone in alone:
        backbone.set_features(1.0, flip_tta=False)
    assert torch.equal(learner.backbone(images), torch.cat([backbone(images) for backbone in alone], 1))


def test_joined_networks_can_be_trained_on(folders: list[Path], tmp_path: Path):
    """``--backbone.networks 2 --backbone.weights FOLDER`` starts from a joined model, as from any other."""
    one = joined([load_learner(folder) for folder in folders], "ab")
    save_learner(tmp_path / "joined", one, {}, "")
    backbone = dataclasses.replace(PLAIN.backbone, networks=2, weights=str(tmp_path / "joined"))
    other = LDA(backbone=backbone)
    assert isinstance(other.backbone, JoinedBackbone)
    assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    ("learners", "error"),
    [
        (lambda: [trained(1)], "models: got 1; give at least two models, which are joined to one"),
        (
            lambda: [trained(1), trained(2, backbone=dataclasses.replace(PLAIN.backbone, width=12))],
            r"models: a \(there\) and b \(here\) differ: width is 8 there and 12 here; join models of the same",
        ),
        (
            lambda: [trained(1, adaptation="film"), trained(2, adaptation="film")],
            "models: a has weights besides those of its network, which cannot be joined; expected models of pretrain",
        ),
        (
            lambda: [joined([trained(1), trained(2)], "ab"), joined([trained(3), trained(4)], "ab")],
            "models: a is joined already; join all its models at once",
        ),
    ],
)
def test_what_cannot_be_joined(learners, error):
    with pytest.raises(InvalidValueError, match=error):
        joined(learners(), "ab")
