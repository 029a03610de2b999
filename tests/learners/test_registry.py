"""One interface for all methods: built, called, saved and loaded alike."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest
import torch

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import AnyLearnerConfig, GradientConfig, LearnerConfig
from fewshot_film.learners import CONFIGS, LEARNERS, build_learner, load_learner, save_learner
from tests.extras import needs_learn2learn
from tests.learners.small import SMALL

SUPPORT, LABELS, QUERY = torch.rand(6, 1, 16, 16), torch.tensor([5, 2, 9, 5, 2, 9]), torch.rand(4, 1, 16, 16)

METHODS = [
    pytest.param(name, marks=needs_learn2learn if issubclass(config, GradientConfig) else ())
    for name, config in CONFIGS.items()
]


def small_config(method: str) -> LearnerConfig:
    """Settings of a method for images of 16 x 16."""
    config = CONFIGS[method]()
    small = {"backbone": SMALL.backbone, "set_encoder_layers": 2, "code_dim": 8, "steps": 3, "epochs": 2}
    names = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: value for name, value in small.items() if name in names})


def test_every_configuration_has_a_learner_and_a_name():
    assert set(LEARNERS) == set(typing.get_args(AnyLearnerConfig))
    assert len(CONFIGS) == len(LEARNERS)
    for name, config in CONFIGS.items():
        assert config().method == name
        assert LEARNERS[config].__doc__


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_answers_the_same(method, tmp_path: Path):
    torch.manual_seed(0)
    learner = build_learner(small_config(method)).eval()
    save_learner(tmp_path / "model", learner, {}, "")
    loaded = load_learner(tmp_path / "model")
    assert type(loaded) is type(learner)
    assert loaded.config == learner.config
    with torch.no_grad():
        logits = learner.adapt(SUPPORT, LABELS)(QUERY)
        assert logits.shape == (4, 3)
        assert torch.isfinite(logits).all()
        assert torch.equal(loaded.adapt(SUPPORT, LABELS)(QUERY), logits)


@pytest.mark.parametrize("method", METHODS)
def test_renaming_the_labels_permutes_the_logits(method):
    torch.manual_seed(0)
    learner = build_learner(small_config(method)).eval()
    with torch.no_grad():
        logits = learner.adapt(SUPPORT, LABELS)(QUERY)
        renamed = learner.adapt(SUPPORT, -LABELS)(QUERY)
    torch.testing.assert_close(renamed.flip(1), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_answers_leave_no_trace(method):
    torch.manual_seed(0)
    learner = build_learner(small_config(method)).train()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    adapted = learner.adapt(SUPPORT, LABELS)
    first = adapted(QUERY)
    adapted(torch.rand(2, 1, 16, 16))
    assert torch.equal(adapted(QUERY), first)
    for name, value in learner.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_backbone_of_ones_own():
    network = build_learner(small_config("prototypes")).backbone
    assert build_learner(small_config("prototypes"), network).backbone is network


def test_a_configuration_of_no_method():
    with pytest.raises(TypeError, match=r"a LearnerConfig is the configuration of no method; expected one of .*Simple"):
        build_learner(LearnerConfig(backbone=BackboneConfig()))


def test_every_method_is_documented():
    """Each by its name, with a star where it is transductive."""
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8").partition("\n## ")[0]
    first = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = {name: r"\*" in cell for cell in first for name in re.findall(r"`([^`]+)`", cell)}
    assert documented == {name: LEARNERS[config].transductive for name, config in CONFIGS.items()}
