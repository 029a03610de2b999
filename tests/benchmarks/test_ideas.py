"""What an idea is worth: one thing is changed at a time, on the same episodes, and a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import ideas
from fewshot_film.commands import pretrain
from fewshot_film.config.commands import PretrainConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.image_set import Pixels
from fewshot_film.errors import ConfigError
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.registry import save_learner
from tests.learners.small import noisy_classes, small_learner


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return noisy_classes(per_class=20)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, images: ImageSet, tmp_path: Path) -> list[PretrainConfig]:
    """The settings of what was trained, which is a small network at once."""
    found: list[PretrainConfig] = []

    def train_nothing(config: PretrainConfig, **_: object) -> None:
        found.append(config)
        out = Path(config.out)
        out.mkdir(parents=True)
        (out / "environment.json").write_text('[{"from_step": 0}]')
        save_learner(out / "model", small_learner(adaptation="none"), {}, "")

    monkeypatch.setattr(pretrain, "run", train_nothing)
    monkeypatch.setattr(ideas, "open_images", lambda *_: images)
    root = tmp_path / "cifar-100"
    root.mkdir()
    return found


def config_in(folder: Path, **changes: object) -> ideas.IdeasConfig:
    settings = {"root": str(folder / "cifar-100"), "runs": str(folder / "runs"), "out": folder / "ideas.json"}
    return ideas.IdeasConfig(**{**settings, "episodes": 2, "steps": 20, **changes})  # type: ignore[arg-type]


def test_one_thing_is_changed_and_a_stopped_run_goes_on(seen, tmp_path: Path, monkeypatch):
    config = config_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ideas, "IDEAS", ideas.IDEAS[:2])
        assert ideas.run(config) == 0
    assert [one.loop.seed for one in seen] == [0, 1]
    assert ideas.run(config) == 0
    assert len(seen) == len(ideas.IDEAS)
    recipe, *others = seen
    assert (recipe.backbone.width, recipe.loop.steps, recipe.loop.warmup_steps) == (32, 20, 2)
    for idea, other in zip(ideas.IDEAS[1:], others, strict=True):
        assert (other.loop, other.augment, other.classifier, other.label_smoothing, other.rotation_ssl) != (
            recipe.loop, recipe.augment, recipe.classifier, recipe.label_smoothing, recipe.rotation_ssl,
        ) or idea.way  # fmt: skip
    results = json.loads(config.out.read_text())["results"]
    assert set(results) == {idea.title for idea in ideas.IDEAS} | set(ideas.AFTERWARDS) | {ideas.JOINED}
    costs = [results[title]["processor_seconds"] for title in (ideas.FIRST, ideas.SECOND, ideas.JOINED)]
    assert costs[2] == costs[0] + costs[1]
    assert len({row["accuracy"]["5-way 1-shot"]["episodes_sha256"] for row in results.values()}) == 1
    assert results["another seed"]["gain"]["5-way 5-shot"]["mean"] == 0  # the same network here
    with pytest.raises(ConfigError, match="made with different settings"):
        ideas.run(config_in(tmp_path, steps=30))


def test_some_of_them_at_another_precision(seen, tmp_path: Path):
    config = config_in(tmp_path, only=(ideas.FIRST, ideas.SECOND), precision="32-true")
    assert ideas.run(config) == 0
    assert [(one.loop.seed, one.loop.precision) for one in seen] == [(0, "32-true"), (1, "32-true")]
    results = json.loads(config.out.read_text())["results"]
    assert set(results) == {ideas.FIRST, *ideas.AFTERWARDS, ideas.SECOND, ideas.JOINED}
    with pytest.raises(ConfigError, match="precision is '32-true' there and 'bf16-mixed' here"):
        ideas.run(config_in(tmp_path))


def test_the_first_layer_is_trained_where_it_is_not_whitened(seen, tmp_path: Path, monkeypatch):
    layers: list[torch.nn.Conv2d] = []
    pixels = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8).numpy()
    in_color = ImageSet(
        "x", Pixels(pixels.shape, pixels), ["x"], np.zeros(8, int), np.arange(8), ["x"] * 8, np.arange(8)
    )

    def set_off(config: PretrainConfig, start: Callable[..., None] = pretrain.whiten) -> None:
        backbone = build_backbone(config.backbone)
        layers.append(backbone.get_submodule("conv1"))
        before = layers[-1].weight.clone()
        start(backbone, in_color)
        assert torch.equal(layers[-1].weight, before) == layers[-1].weight.requires_grad
        raise ConfigError("enough")

    monkeypatch.setattr(pretrain, "run", set_off)
    config = config_in(tmp_path)
    for way in ("", "with_trained_first_layer"):
        assert ideas.train(ideas.Idea("x", way=way), tmp_path / "x", config) != 0
    assert [layer.weight.requires_grad for layer in layers] == [False, True]


def test_table_by_hand():
    def row(*values: float) -> dict:
        mean = sum(values) / 2
        return {"accuracy": {"1-shot": {"mean": mean, "interval": 0.01, "values": values}}}

    results = {ideas.FIRST: {**row(0.5, 0.7), "processor_seconds": 90.0}, "less": row(0.4, 0.7)}
    lines = ideas.as_table(ideas.with_gains(results)).splitlines()
    assert lines[2:] == ["| the recipe | 60.0 ± 1.0 | 1.5 |", "| less | 55.0 (-5.0 ± 63.5) |  |"]
