"""The general learner's making and the domains that are left out."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.general import CONFIGS, GeneralConfig, sources, store
from benchmarks.leave_one_domain_out import FILM, PIXELS, PLAIN, LeaveOneOutConfig, as_table, folders, trainings
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.config.commands import TrainConfig
from fewshot_film.learners import SimpleCNAPS, load_learner
from fewshot_film.learners.saving import save_learner
from fewshot_film.run.parsing import parse


def test_stored_in_half_the_room(tmp_path: Path):
    torch.manual_seed(0)
    learner = SimpleCNAPS(SimpleCNAPSConfig(backbone=BackboneConfig(width=16, blocks=(1, 1)), set_encoder_layers=3))
    save_learner(tmp_path / "model", learner, {}, "card")
    store(tmp_path / "model", tmp_path / "half")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("model", "half")]
    assert sizes[1] < 0.55 * sizes[0]
    loaded = load_learner(tmp_path / "half").state_dict()
    for name, value in learner.state_dict().items():
        assert loaded[name].dtype == value.dtype
        torch.testing.assert_close(loaded[name], value, rtol=1e-3, atol=1e-6)


def test_flags_and_settings_name_the_same_sources():
    config = GeneralConfig(omniglot="o.zip", cifar="c.zip")
    words = [f"--config={CONFIGS / 'train.yaml'}", *config.flags(), "--data.held_out=textures"]
    assert parse("train", TrainConfig, words).data.sources == sources(config)


def test_what_is_trained_for_a_domain(tmp_path: Path):
    config = LeaveOneOutConfig(omniglot="o.zip", cifar="c.zip", runs=str(tmp_path))
    pretrain, film, plain = folders(config, "textures")
    first, second, third = trainings(config, "textures")
    assert all("--data.held_out=textures" in words for words in (first, second, third))
    assert first[0] == "pretrain"
    assert f"--learner.backbone.weights={pretrain / 'model'}" in second
    assert "--learner.adaptation=film" in second
    assert "--learner.adaptation=none" in third
    for folder in (pretrain, film):
        (folder / "model").mkdir(parents=True)
    (left,) = trainings(config, "textures")
    assert f"--out={plain}" in left


def test_table_states_the_paired_gain():
    row = {
        "accuracy": {FILM: {"mean": 0.7}, PLAIN: {"mean": 0.65}, PIXELS: {"mean": 0.4}},
        "gain of Simple CNAPS": {PLAIN: {"mean": 0.05, "interval": 0.01}, PIXELS: {"mean": 0.3, "interval": 0.02}},
    }
    table = as_table("textures", {"5-way 1-shot": row})
    assert "| 5-way 1-shot | 70.0 | 65.0 | 40.0 | +5.0 ± 1.0 |" in table
