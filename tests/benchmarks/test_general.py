"""The general learner's making and the domains that are left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from benchmarks.general import (
    CONFIGS,
    GeneralConfig,
    LeaveOneOutConfig,
    beside_plain,
    held_out_folders,
    held_out_trainings,
    sources,
    store,
)
from benchmarks.methods import as_table, paired
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.config.commands import TrainConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.image_set import Pixels
from fewshot_film.learners import SimpleCNAPS, load_learner
from fewshot_film.learners.registry import save_learner
from fewshot_film.run.model_folder import load_model
from fewshot_film.run.parsing import parse
from tests.learners.small import SMALL, noisy_classes, small_learner


def test_stored_in_half_the_room(tmp_path: Path):
    torch.manual_seed(0)
    learner = SimpleCNAPS(SimpleCNAPSConfig(backbone=BackboneConfig(width=16, blocks=(1, 1)), set_encoder_layers=3))
    save_learner(tmp_path / "model", learner, {"settings": {"root": "/home/me/pictures.zip", "steps": 3}}, "card")
    store(tmp_path / "model", tmp_path / "half")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("model", "half")]
    assert sizes[1] < 0.55 * sizes[0]
    assert load_model(tmp_path / "half").config["training"] == {"settings": {"root": "pictures.zip", "steps": 3}}
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
    pretrain, film = held_out_folders(config, "textures")
    first, second = held_out_trainings(config, "textures")
    assert all("--data.held_out=textures" in words for words in (first, second))
    assert first[0] == "pretrain"
    assert f"--learner.backbone.weights={pretrain / 'model'}" in second
    settings = parse("train", TrainConfig, second[1:]).learner
    assert isinstance(settings, SimpleCNAPSConfig)
    assert not settings.train_backbone  # so that without FiLM it is the same backbone
    (pretrain / "model").mkdir(parents=True)
    (left,) = held_out_trainings(config, "textures")
    assert f"--out={film}" in left
    (film / "model").mkdir(parents=True)
    assert not list(held_out_trainings(config, "textures"))


def test_a_backbone_of_ones_own_is_not_trained_again(tmp_path: Path):
    config = LeaveOneOutConfig(omniglot="o.zip", cifar="c.zip", runs=str(tmp_path), weights="mine")
    (words,) = held_out_trainings(config, "textures")
    assert words[0] == "train"
    assert "--learner.backbone.weights=mine" in words


def test_pairs_and_their_table():
    pixels = np.random.default_rng(0).integers(0, 9, (72, 3, 4, 4), np.uint8)
    pixels += np.repeat(np.arange(6, dtype=np.uint8) * 40, 12)[:, None, None, None]
    names, labels, rows = [f"class {c}" for c in range(6)], np.repeat(np.arange(6), 12), np.arange(72)
    images = ImageSet("greys", Pixels(pixels.shape, pixels), names, labels, rows, names * 12, rows.astype(np.uint64))
    found = paired(images, {"pixels": None, "pixels again": None}, (1,), 4)
    row = found["5-way 1-shot"]
    assert row["accuracy"]["pixels"]["mean"] == 1.0  # greys further apart than their noise
    assert row["gain"] == {"pixels again": {"mean": 0.0, "interval": 0.0}}
    table = as_table("greys", found)
    assert table.startswith("| greys | pixels | pixels again | gain over pixels again |")
    assert table.endswith("| 5-way 1-shot | 100.0 | 100.0 | +0.0 ± 0.0 |")


def test_the_plain_one_beside_a_learner_with_templates_has_its_backbone_and_no_film():
    learner = small_learner(
        adaptation="templates", templates=("a",), feature_scaling=1.0, sites=("feature_norms.*",)
    ).eval()
    with torch.no_grad():
        learner.generator.blend.bias.copy_(torch.tensor([-100.0, 100.0]))  # of no source's kind: whitened
    images = noisy_classes(per_class=12, noise=120)
    row = beside_plain(learner, images, [1], 3)["5-way 1-shot"]
    filmed, plain = (row["accuracy"][name]["values"] for name in ("Simple CNAPS", "without FiLM"))
    unchanged = SimpleCNAPS(dataclasses.replace(SMALL, adaptation="none"), learner.backbone).eval()
    alone = paired(images, {"alone": unchanged}, [1], 3)["5-way 1-shot"]
    assert plain == alone["accuracy"]["alone"]["values"]
    assert filmed != plain
