from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from clevr.commands.train import check_used, run
from clevr.config.commands import AnalyseConfig
from clevr.config.model import AugmentationConfig, ClevrDataConfig, ReasonerConfig, TrainConfig, TrunkPretrainingConfig
from fewshot_film.errors import ConfigError
from fewshot_film.run.parsing import parse
from tests.conftest import CHECKOUT

OUT = Path("run")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"data": ClevrDataConfig(features="folder")}, "data.features"),
        ({"data": ClevrDataConfig(fresh=True, humans=True)}, "data.humans"),
        ({"data": ClevrDataConfig(fresh=True, fraction=0.5)}, "data.fraction"),
        ({"data": ClevrDataConfig(curriculum=10, humans=True)}, "data.curriculum"),
        ({"data": ClevrDataConfig(humans=True), "trace_weight": 1.0}, "trace_weight"),
        ({"data": ClevrDataConfig(humans=True), "program_weight": 1.0}, "program_weight"),
        ({"scene_weight": 0.5, "trunk_pretraining": TrunkPretrainingConfig()}, "scene_weight"),
        ({"scene_weight": 0.5, "frozen": ("trunk",)}, "scene_weight"),
        ({"frozen": ("trunk",), "trunk_pretraining": TrunkPretrainingConfig()}, r"frozen: \[trunk\]"),
        ({"scene_weight": 0.5, "trunk_weights": "clevr-small"}, "scene_weight"),
        ({"frozen": ("trunk",), "trunk_weights": "clevr-small"}, r"frozen: \[trunk\]"),
        ({"augmentation": AugmentationConfig(blur=0.5), "trunk_weights": "clevr-small"}, "augmentation"),
        ({"model": ReasonerConfig(conditioning="none", film_blocks=2)}, "model.film_blocks"),
        ({"model": ReasonerConfig(conditioning="none", film_position="relu")}, "model.film_position"),
        ({"model": ReasonerConfig(conditioning="concatenation", gamma="tanh")}, "model.gamma"),
        ({"model": ReasonerConfig(conditioning="none", beta="zero")}, "model.beta"),
        ({"model": ReasonerConfig(question_heads=4)}, "model.question_heads"),
        ({"model": ReasonerConfig(conditioning="none"), "frozen": ("generator",)}, r"frozen: \[generator\]"),
        ({"model": ReasonerConfig(film_blocks=0), "frozen": ("generator",)}, r"frozen: \[generator\]"),
    ],
)
def test_settings_that_would_change_nothing(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} would be ignored: .*; leave it out"):
        check_used(TrainConfig(out=OUT, **settings))


def test_training_refuses_them_before_it_begins(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path / "run", data=ClevrDataConfig(root=tmp_path, features="folder"))
    with pytest.raises(ConfigError, match=r"data\.features would be ignored: model\.inputs is pixels"):
        run(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", sorted((CHECKOUT / "configs" / "clevr").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_settings_that_come_with_the_project_are_used(file: Path) -> None:
    check_used(parse("train", TrainConfig, [f"--config={file}"]))


def test_a_network_may_have_heads_where_they_are_used() -> None:
    model = ReasonerConfig(question_code="attention", question_heads=4, conditioning="film", film_blocks=2)
    check_used(dataclasses.replace(TrainConfig(out=OUT), model=model))


def test_analyses_that_do_not_use_the_training_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train_split is 'trainA', and of the analyses only `resets` uses it"):
        AnalyseConfig("model", tmp_path, tmp_path, ("histograms",), train_split="trainA")
    AnalyseConfig("model", tmp_path, tmp_path, ("resets",), train_split="trainA")
