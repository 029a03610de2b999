"""Heads on domains far from home: the same episodes for all, distances, and the table and figure made of them."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import cross_domain
from benchmarks.cross_domain import (
    WITH_FILM,
    CrossDomainConfig,
    as_table,
    distance,
    gains_figure,
    measure,
    near_first,
)
from benchmarks.heads import FIRST
from benchmarks.photos.domains import open_domains
from benchmarks.photos.features import FrozenBackbone, cached_features
from fewshot_film.classifier.calibration import Measured
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.errors import ConfigError
from fewshot_film.film import remove_film
from tests.learners.small import small_learner

CONFIG = CrossDomainConfig(
    root="", home="", methods=("prototypes", "soft-kmeans"), shots=(1, 2), query=2, episodes=3, film_episodes=2
)


def write_blots(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(6):
        (folder / str(label)).mkdir(parents=True)
        centre = rng.integers(0, 200, size=(8, 8))
        for number in range(5):
            pixels = centre + rng.integers(0, 50, size=(8, 8))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / str(label) / f"{number}.png")


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("photos")
    write_blots(folder / "blots")
    (found,) = open_domains(folder)
    return found


@pytest.fixture(scope="module")
def rows(domain, tmp_path_factory: pytest.TempPathFactory):
    trained = small_learner().eval()
    network = copy.deepcopy(trained.backbone)
    remove_film(network)
    backbone = FrozenBackbone("small", network.eval(), trained.config, Measured())
    features = torch.from_numpy(np.asarray(cached_features(backbone, domain, tmp_path_factory.mktemp("cache"))).copy())
    return measure(domain, features, trained, backbone, CONFIG)


def test_rows(rows):
    assert list(rows) == ["5-way 1-shot", "5-way 2-shot"]
    for row in rows.values():
        assert list(row["gain"]) == [*CONFIG.methods, WITH_FILM]
        first, others = row["accuracy"][FIRST]["values"], row["accuracy"]
        for name, gain in row["gain"].items():
            values = others[name]["values"]
            expected = np.mean(np.array(values) - np.array(first[: len(values)]))
            np.testing.assert_allclose(gain["mean"], expected, atol=1e-12)
        assert len(others[WITH_FILM]["values"]) == 2


def test_the_model_with_film_sees_the_images_that_the_heads_see(domain):
    """Duplicates that episodes leave out shift no image."""
    read = cross_domain._same_images(domain, {"image_size": 16, "channels": 1})
    assert read.files == domain.images.files
    assert np.array_equal(read.labels, domain.images.labels)


def test_distance_by_hand():
    """Means 3 apart in one direction; at home a variance of 1 in each of 2: 3 / sqrt(2)."""
    home = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) * (3 / 2) ** 0.5
    assert distance(home + torch.tensor([3.0, 0.0]), home) == pytest.approx(3 / 2**0.5)


def test_a_domain_that_has_its_results_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = dataclasses.replace(
        CONFIG, root=str(tmp_path / "photos"), cache=str(tmp_path / "cache"), out=str(tmp_path / "gains.json")
    )
    width = load_pretrained(config.model).learner.backbone.feature_dim
    monkeypatch.setattr(cross_domain, "home_features", lambda *_: torch.randn(20, width))
    write_blots(tmp_path / "photos" / "first")
    cross_domain.run(config)
    first = json.loads(Path(config.out).read_text())["results"]
    assert list(first) == ["first"]

    write_blots(tmp_path / "photos" / "added")
    measured = []
    monkeypatch.setattr(cross_domain, "measure", lambda domain, *_: measured.append(domain.name) or {"5-way 1-shot": 1})
    monkeypatch.setattr(cross_domain, "as_table", lambda *_: "")
    cross_domain.run(config)
    assert measured == ["added"]
    results = json.loads(Path(config.out).read_text())["results"]
    assert results["first"] == first["first"]
    assert results["added"]["tasks"] == {"5-way 1-shot": 1}

    with pytest.raises(ConfigError, match="was made with different settings: episodes is 3 there and 4 here"):
        cross_domain.run(dataclasses.replace(config, episodes=4))


def test_table_and_figure(rows, tmp_path: Path):
    results = {"far": {"distance": 2.0, "tasks": rows}, "near": {"distance": 0.5, "tasks": rows}}
    assert near_first(results) == ["near", "far"]
    lines = as_table(results, CONFIG.shots).splitlines()
    assert lines[0] == "| gain in points (distance from home) | near (0.5) | far (2.0) |"
    assert len(lines) == 2 + 2 + 3
    assert lines[-2].startswith(r"| soft-kmeans \* |")
    gains_figure(results).savefig(tmp_path / "gains.png")
    assert (tmp_path / "gains.png").stat().st_size > 1000
