"""The same models with FiLM and without, on few photos: the tasks, the cut network, and the record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.photos import charts, film, report
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.film import AdaptedFeatures, gains, named, run
from benchmarks.photos.measure import Cell, Tasks
from benchmarks.photos.settings import FilmGainConfig
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.errors import ConfigError
from fewshot_film.film import ChannelGenerator
from fewshot_film.learners import SimpleCNAPS, prefix
from fewshot_film.learners.prefix import without_prefix
from fewshot_film.learners.registry import save_learner
from tests.benchmarks.test_photos import make_domain

LAST = ("layer2.*.bn2",)


def learner(**settings: Any) -> SimpleCNAPS:
    """A small learner whose FiLM is far from the identity."""
    torch.manual_seed(1)
    backbone = BackboneConfig(
        width=8, blocks=(1, 1), image_size=16, stem_kernel=3, flip_tta=settings.pop("flip", False)
    )
    given = {"sites": LAST, "set_encoder_layers": 2, "code_dim": 8, "init_std": 0.3, **settings}
    found = SimpleCNAPS(SimpleCNAPSConfig(backbone=backbone, **given)).eval()
    if isinstance(found.generator, ChannelGenerator):
        nn.init.normal_(found.generator.change[-1].weight, std=0.1)  # a fresh one is at the identity
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_domain(folder / "clothing.zip", 8, 9, noise=400.0)
    make_domain(folder / "pollen.zip", 6, 9, noise=60.0, seed=1)
    return folder


@pytest.fixture(scope="module")
def domain(root: Path) -> Domain:
    return open_domains(root, ["pollen"])[0]


def config_of(root: Path, folder: Path, *models: str) -> FilmGainConfig:
    small: dict[str, Any] = {"shots": (1, 5), "query": 3, "episodes": 4, "judged": 2}
    return FilmGainConfig(
        str(root), models=models, cache=str(folder / "cache"), out=str(folder / "photos_film.json"), **small
    )


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [
        ({}, ["conv1", "bn1", "relu", "layer1"]),
        ({"adaptation": "film+ar"}, ["conv1", "bn1", "relu", "layer1"]),
        ({"sites": ("layer*.*.bn2",)}, ["conv1", "bn1", "relu"]),
        ({"flip": True}, []),
        ({"adaptation": "channelwise"}, ["conv1", "bn1", "relu", "layer1"]),
        (
            {"adaptation": "templates", "templates": ("a",), "sites": ("feature_norms.*",), "feature_scaling": 0.5},
            ["conv1", "bn1", "relu", "layer1"],
        ),
    ],
    ids=["last stage", "autoregressive", "both stages", "mirrored", "channelwise", "templates"],
)
@torch.no_grad()
def test_features_are_those_of_the_whole_network(settings: dict[str, Any], left_out: list[str], domain: Domain) -> None:
    whole = learner(**settings)
    assert prefix._before_sites(whole) == left_out
    features_of_tasks, tasks = AdaptedFeatures(whole, domain), Tasks(domain, Cell(5, 2), 3)
    plan, strangers = tasks.split(1)
    images = features_of_tasks.images.float() / 255
    modulations = whole.modulations(images[plan.support])
    for adapted, values in ((True, modulations), (False, None)):
        task = features_of_tasks.task(tasks, 1, adapted=adapted)
        found = ((task.support, plan.support), (task.queries, plan.query), (task.strangers, strangers))
        for features, places in found:
            torch.testing.assert_close(features, whole.features(images[places], values), rtol=1e-4, atol=1e-5)
    adapted_features, plain = (features_of_tasks.task(tasks, 1, adapted=adapted).support for adapted in (True, False))
    assert not torch.allclose(adapted_features, plain, rtol=1e-2)


def test_the_learner_stays_as_it_was() -> None:
    whole = learner()
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    cut, _ = without_prefix(whole)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    assert whole.state_dict().keys() == before.keys()
    assert "backbone.conv1.weight" not in cut.state_dict()


def test_every_domain_has_its_own_model(root: Path, tmp_path: Path) -> None:
    for name in ("clothing", "pollen"):
        one = learner()
        if name == "pollen":  # for this one FiLM changes nothing
            one = SimpleCNAPS(dataclasses.replace(one.config, init_std=0.0)).eval()
        save_learner(tmp_path / f"without-{name}" / "model", one, {}, "card")
    text = f"mine={tmp_path}/without-DOMAIN/model"
    assert named(text) == ("mine", f"{tmp_path}/without-DOMAIN/model")
    config = config_of(root, tmp_path, text)
    assert run(config) == 0
    results = json.loads(Path(config.out).read_text())["results"]
    domains = results["models"]["mine"]
    assert domains["pollen"]["5-way, 1-shot"]["gain"] == {"mean": 0.0, "interval": 0.0}
    cell = domains["clothing"]["5-way, 5-shot"]
    assert cell["film"]["right"] != cell["none"]["right"]
    assert cell["gain"]["mean"] == pytest.approx(cell["film"]["mean"] - cell["none"]["mean"])
    assert {bar["where"] for bar in results["bars"]["mine"]} == {"clothing", "pollen", "mean of all"}


def test_what_was_measured_is_read_again(
    root: Path, domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_learner(tmp_path / "model", learner(), {}, "card")
    config = config_of(root, tmp_path, "any")
    first = gains(str(tmp_path / "model"), domain, config)
    with monkeypatch.context() as patch:
        patch.setattr(film, "_measured", lambda *given: pytest.fail("measured again"))
        assert gains(str(tmp_path / "model"), domain, config) == first
    other = learner()
    with torch.no_grad():
        next(other.generator.parameters()).add_(0.1)
    save_learner(tmp_path / "other", other, {}, "card")
    monkeypatch.setattr(film, "_measured", lambda *given: {"measured": "again"})
    assert gains(str(tmp_path / "other"), domain, config) == {
        "5-way, 1-shot": {"measured": "again"},
        "5-way, 5-shot": {"measured": "again"},
    }


def test_a_model_without_film_is_refused(root: Path, domain: Domain, tmp_path: Path) -> None:
    save_learner(tmp_path / "plain", learner(adaptation="none"), {}, "card")
    with pytest.raises(ConfigError, match=r"plain has no FiLM to measure; expected a model whose adaptation"):
        gains(str(tmp_path / "plain"), domain, config_of(root, tmp_path, "any"))


def test_table_and_figure_of_film(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_learner(tmp_path / "model", learner(), {}, "card")
    config = config_of(root, tmp_path, f"mine={tmp_path / 'model'}")
    run(config)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    gain = json.loads(Path(config.out).read_text())["results"]["models"]["mine"]["pollen"]["5-way, 5-shot"]["gain"]
    (row,) = [line for line in report.photos_film().splitlines() if line.startswith("| mine | pollen |")]
    assert f"{100 * gain['mean']:+z.1f} ± {100 * gain['interval']:.1f}" in row
    mean = np.mean(
        [cells["5-way, 1-shot"]["gain"]["mean"] for cells in report.read("photos_film")["models"]["mine"].values()]
    )
    (row,) = [line for line in report.photos_film().splitlines() if line.startswith("| mine | mean of all |")]
    assert row.split(" | ")[3].startswith(f"{100 * mean:+z.1f}")
    charts.film_figure(report.read("photos_film")["models"]).savefig(tmp_path / "film.png")
