"""The benchmark of few photos: pairing, the cache of features, tables, bars, and what cannot be measured."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from benchmarks import tables
from benchmarks.photo_speed import with_bars
from benchmarks.photos import (
    answers,
    bars,
    charts,
    experiment,
    features,
    int8,
    kinds,
    report,
    settings,
    sizes,
    together,
)
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.features import FrozenBackbone, cached_features, features_key, load_backbone
from benchmarks.photos.heads import COSINE, LOGISTIC, MAHALANOBIS, MEAN, SVM, build_head
from benchmarks.photos.linear import logistic_regression
from benchmarks.photos.measure import ALL, Cell, Tasks, accuracies, measure, why_left_out
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.data import SourceError, decode
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.errors import ConfigError, MissingFileError
from fewshot_film.learners import SimpleCNAPS
from fewshot_film.learners.registry import save_learner
from tests.extras import needs_int8


def make_domain(path: Path, classes: int, per_class: int, noise: float = 30.0, seed: int = 0) -> Path:
    """A zip whose classes are colours with noise."""
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as file:
        for label in range(classes):
            color = rng.integers(40, 216, 3)
            for number in range(per_class):
                pixels = (color + rng.normal(scale=noise, size=(20, 24, 3))).clip(0, 255).astype(np.uint8)
                data = BytesIO()
                Image.fromarray(pixels).save(data, "PNG")
                file.writestr(f"class{label}/{number:03d}.png", data.getvalue())
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_domain(folder / "clothing.zip", 8, 9)
    make_domain(folder / "pollen.zip", 6, 9, noise=60.0, seed=1)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    backbone = BackboneConfig(width=8, blocks=(1, 1), image_size=16, stem_kernel=3)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    learner = SimpleCNAPS(SimpleCNAPSConfig(backbone=backbone, adaptation="none")).eval()
    save_learner(folder, learner, {"temperatures": {"1": 2.0}}, "card")
    return folder


@pytest.fixture(scope="module")
def backbone(model: Path) -> FrozenBackbone:
    return load_backbone(str(model))


@pytest.fixture(scope="module")
def domain(root: Path) -> Domain:
    return open_domains(root, ["clothing"])[0]


def small_config(root: Path, model: Path, folder: Path, **changes: Any) -> settings.HeadsConfig:
    values: dict[str, Any] = {"heads": (COSINE, LOGISTIC, MAHALANOBIS), "shots": (1, 5), "query": 3}
    values |= {
        "episodes": 4,
        "judged": 3,
        "ours": MAHALANOBIS,
        "cache": str(folder / "cache"),
        "out": str(folder / "photos.json"),
    }
    return settings.HeadsConfig(root=str(root), backbones=(str(model),), **{**values, **changes})


def results_of(config: settings.PhotosConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(config.out).read_text())["results"]
    return found


def test_domains_are_the_zips_and_folders_of_a_folder(root: Path, tmp_path: Path):
    assert [one.name for one in open_domains(root)] == ["clothing", "pollen"]
    with zipfile.ZipFile(root / "pollen.zip") as file:
        file.extractall(tmp_path / "unpacked")
    (unpacked,) = open_domains(tmp_path)
    assert len(unpacked.images) == 54


def test_images_together_are_those_of_the_classifier(
    root: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The same head on the same tasks, balanced and unbalanced; together as the classifier answers."""
    monkeypatch.setattr("fewshot_film.classifier.together.IMAGES_PER_NEIGHBOUR", 1)  # tasks are small
    config = settings.TogetherConfig(
        str(root), ("clothing",), query=1, episodes=5, cache=str(tmp_path), out=str(tmp_path / "together.json"),
        backbone=str(model), shots=(1, 4),
    )  # fmt: skip
    assert together.run(config) == 0
    (cells,) = results_of(config).values()
    assert list(cells) == [f"5-way, {shot}-shot{kind}" for shot in (1, 4) for kind in ("", ", unbalanced")]
    for cell in cells.values():
        shares = [np.array(accuracies({**cell[name], "asked": 5})) for name in ("alone", "together")]
        assert cell["gain"]["mean"] == pytest.approx((shares[1] - shares[0]).mean())
    (domain,) = open_domains(root, ["clothing"])
    plan = EpisodeSampler(domain.images, 5, 4, 1, split="photos").plan(0)
    images = decode(domain.source, 16)
    classifier = FewShotClassifier(str(model)).fit(images.get(plan.support), plan.support_labels)
    answers = classifier.predict(images.get(plan.query), together=True)
    assert int(cells["5-way, 4-shot"]["together"]["right"].split()[0]) == (answers == plan.query_labels).sum()


def test_what_is_no_domain_is_said(root: Path, tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"nowhere is no folder; expected one that holds a zip or a folder"):
        open_domains(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match=r"holds no zip and no folder of images; expected a zip"):
        open_domains(tmp_path)
    with pytest.raises(MissingFileError, match=r"no domain called food; .* it has clothing, pollen"):
        open_domains(root, ["food"])
    make_domain(tmp_path / "one.zip", 1, 3)
    with pytest.raises(SourceError, match=r"one\.zip has 1 class \(class0\); expected at least two"):
        open_domains(tmp_path)


def test_features_are_kept_and_read_again(backbone, domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = cached_features(backbone, domain, tmp_path)
    with torch.no_grad():
        pixels = features.decode(domain.source, **backbone.network.preprocessing.pixels).get(np.arange(4))
        expected = backbone.network(pixels.float() / 255)
    torch.testing.assert_close(torch.from_numpy(first[:4]), expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(features, "_compute", None)
    np.testing.assert_array_equal(cached_features(backbone, domain, tmp_path), first)


def test_the_key_follows_all_that_decides_the_features(backbone, domain, root: Path, tmp_path: Path):
    network = backbone.network
    key = features_key(network, domain)
    assert key == features_key(load_backbone_again(backbone).network, open_domains(root, ["clothing"])[0])
    others = {
        features_key(backbone.reading(size=24).network, domain),
        features_key(backbone.reading(resize="pad").network, domain),
        features_key(backbone.reading(crop=0.9).network, domain),
        features_key(backbone.reading(interpolation="bicubic").network, domain),
        features_key(backbone.reading(mean=(0.1, 0.2, 0.3)).network, domain),
    }
    changed = load_backbone_again(backbone)
    changed.network.get_submodule("conv1").weight.data[0, 0, 0, 0] += 1e-3
    others.add(features_key(changed.network, domain))
    make_domain(tmp_path / "clothing.zip", 8, 9, seed=2)  # same names, other pixels
    others.add(features_key(network, open_domains(tmp_path)[0]))
    assert len({key, *others}) == 8


def load_backbone_again(backbone: FrozenBackbone) -> FrozenBackbone:
    return backbone.reading()


def test_tasks_are_the_same_for_every_backbone_and_head(root: Path):
    first, second = (Tasks(open_domains(root, ["clothing"])[0], Cell(5, 1), 3) for _ in range(2))
    for index in range(3):
        (plan, strangers), (other, others) = first.split(index), second.split(index)
        for name in ("classes", "support", "support_labels", "query", "query_labels"):
            np.testing.assert_array_equal(getattr(plan, name), getattr(other, name))
        np.testing.assert_array_equal(strangers, others)
        of_classes = {int(first.sampler.images.labels[row]) for row in [*plan.support, *plan.query]}
        of_strangers = {int(first.sampler.images.labels[row]) for row in strangers}
        assert (len(of_classes), len(of_strangers)) == (5, 3)
        assert not of_classes & of_strangers
        assert not {*plan.support.tolist()} & {*plan.query.tolist()}


def test_duplicates_are_never_drawn(tmp_path: Path):
    make_domain(tmp_path / "twice.zip", 2, 4)
    with zipfile.ZipFile(tmp_path / "twice.zip", "a") as file:
        file.writestr("class0/again.png", file.read("class0/000.png"))
    (domain,) = open_domains(tmp_path)
    assert len(domain.source) == 9
    assert len(domain.images) == 8
    assert [domain.source.files[row] for row in domain.rows] == list(domain.images.files)


def test_too_few_photos_leave_a_cell_out(root: Path, model: Path, tmp_path: Path):
    config = small_config(root, model, tmp_path, shots=(1, 20), heads=(COSINE,), ours=COSINE)
    assert experiment.run(config) == 0
    results = results_of(config)
    assert results["left_out"][0] == (
        "clothing, 5-way, 20-shot: class 'class0' has 9 images, and 20 to learn from with 3 to ask about need 23"
    )
    assert len(results["left_out"]) == 4  # of both domains, with five and with all classes
    assert list(results["cells"]["tiny"]["pollen"]) == ["5-way, 1-shot", "all classes, 1-shot"]


def test_too_few_classes_leave_a_cell_out(tmp_path: Path):
    make_domain(tmp_path / "four.zip", 4, 9)
    (domain,) = open_domains(tmp_path)
    assert why_left_out(domain, Cell(5, 1), 3) == "four, 5-way, 1-shot: it has 4 classes"
    assert not why_left_out(domain, Cell(ALL, 1), 3)


def test_heads_learn_from_their_support(backbone, domain, tmp_path: Path):
    found = cached_features(backbone, domain, tmp_path)
    for name in (MEAN, COSINE, LOGISTIC, SVM, MAHALANOBIS, "lda"):
        tally = measure(build_head(name, backbone), domain, found, Cell(5, 5), query=3, episodes=4, judged=2)
        assert tally.record()["mean"] > 0.5, name
        assert accuracies(tally.record()) == tally.shares


def test_what_is_judged(backbone, domain, tmp_path: Path):
    found = cached_features(backbone, domain, tmp_path)
    settings = {"query": 3, "episodes": 4, "judged": 2}
    record = measure(build_head(COSINE, backbone), domain, found, Cell(5, 5), **settings).record()
    assert 0 <= record["calibration_error"] <= 1
    assert 0 <= record["members_turned_away"] <= 1
    assert 0 <= record["strangers_turned_away"] <= 1
    assert record["outsiders_turned_away"] is None
    far = np.full((4, found.shape[1]), 1e3, np.float32) * np.array([-1.0, 1.0] * (found.shape[1] // 2), np.float32)
    outside = measure(build_head(COSINE, backbone), domain, found, Cell(5, 5), outsiders=far, **settings).record()
    assert outside["outsiders_turned_away"] == 1.0
    whole = measure(build_head(COSINE, backbone), domain, found, Cell(ALL, 5), **settings).record()
    assert whole["calibration_error"] is None
    svm = measure(build_head(SVM, backbone), domain, found, Cell(5, 5), **settings).record()
    assert svm["calibration_error"] is None
    assert svm["strangers_turned_away"] is None


def test_linear_heads_lose_nothing_in_the_span_of_their_support():
    torch.manual_seed(0)
    support, queries = torch.randn(10, 40), torch.randn(6, 40)
    labels = torch.arange(10) % 2
    head = logistic_regression()
    plain = head.make().fit(*scaled(support, labels)).predict_proba(scaled(queries, labels)[0])
    np.testing.assert_allclose(head(support, labels)(queries).probabilities, plain, atol=1e-3)


def scaled(rows: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    return 10 * torch.nn.functional.normalize(rows.double(), dim=1).numpy(), labels.numpy()


def test_a_run_that_was_stopped_goes_on(root: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kinds, "EPISODES", 6)
    config = small_config(root, model, tmp_path)
    experiment.run(config)
    before = results_of(config)["cells"]
    monkeypatch.setattr(experiment, "measure", None)  # nothing is measured again
    monkeypatch.setattr(experiment, "judged_domains", None)
    experiment.run(config)
    assert results_of(config)["cells"] == before


def test_a_domain_tells_nothing_of_itself(backbone, root: Path, tmp_path: Path):
    domains = open_domains(root)
    head = build_head(MAHALANOBIS, backbone)
    judged = kinds.judged_domains(head, backbone, domains, (1, 5), 3, tmp_path)
    assert judged.keys() == {1, 5}
    known = [kinds.known_without(one, judged) for one in domains]
    assert known[0] == kinds.measure_kinds({shot: {"pollen": one["pollen"]} for shot, one in judged.items()})
    assert known[0] != known[1]
    assert kinds.known_without(domains[0], {1: {"clothing": judged[1]["clothing"]}}) == kinds.Measured()
    with_others = measure(
        dataclasses.replace(head, measured=known[0]),
        domains[0],
        cached_features(backbone, domains[0], tmp_path),
        Cell(5, 1),
        query=3,
        episodes=4,
        judged=2,
    ).record()
    assert with_others["members_turned_away"] is not None  # with one image per class nothing else tells


def test_parts_are_measured_again_by_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def work() -> dict[str, Any]:
        calls.append(1)
        return {"a": len(calls)}

    assert experiment.remembered(tmp_path, ["x"], (), work) == {"a": 1}
    assert experiment.remembered(tmp_path, ["x"], (), work) == {"a": 1}
    assert experiment.remembered(tmp_path, ["y"], (), work) == {"a": 2}
    monkeypatch.setattr(experiment, "code_digest", lambda patterns: "other")
    assert experiment.remembered(tmp_path, ["x"], (), work) == {"a": 3}


def test_the_digest_of_code_is_of_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(experiment, "HERE", tmp_path / "benchmarks" / "photos")
    texts = ("import a\nx = 1\n", "from b import a\nx = 1  # a comment\n", "import a\nx = 2\n")
    found = []
    for text in texts:
        (tmp_path / "code.py").write_text(text)
        experiment.code_digest.cache_clear()
        found.append(experiment.code_digest(("*.py",)))
    experiment.code_digest.cache_clear()
    assert found[0] == found[1] != found[2]


def test_backbones_without_weights_are_left_out_in_a_sentence(model: Path):
    found, why = experiment.load_backbones(["no such network", str(model)])
    assert [one.name for one in found] == ["tiny"]
    assert why[0].startswith("no such network: there is no model 'no such network'")
    with pytest.raises(ConfigError, match="no backbone can be loaded: no such network: there is no model"):
        experiment.load_backbones(["no such network"])


def test_a_backbone_with_weights_in_a_file_is_called_by_its_name(tmp_path: Path):
    torch.save(torchvision.models.get_model("shufflenet_v2_x0_5").state_dict(), tmp_path / "mine.pth")
    (found,), why = experiment.load_backbones([f"shufflenet_v2_x0_5@{tmp_path / 'mine.pth'}"])
    assert (found.name, why) == ("shufflenet_v2_x0_5", [])


def a_cell(**heads: tuple[str, float, float, float]) -> dict[str, Any]:
    """Heads by name: right answers of 10 in every task, calibration error, members and strangers turned away."""
    found = {}
    for name, (right, error, members, strangers) in heads.items():
        shares = [int(one) / 10 for one in right.split()]
        record = {"mean": float(np.mean(shares)), "interval": 0.01, "right": right, "asked": 10}
        record |= {"calibration_error": error, "members_turned_away": members, "strangers_turned_away": strangers}
        found[name] = record
    return {"heads": found, "episodes_sha256": ""}


def test_bars_hold_or_do_not():
    good = {"5-way, 5-shot": a_cell(ours=("9 8 9", 0.02, 0.05, 0.85), other=("9 8 8", 0.5, 0.5, 0.1))}
    poor = {"5-way, 5-shot": a_cell(ours=("5 6 5", 0.04, 0.10, 0.05), other=("9 8 8", 0.5, 0.5, 0.1))}
    found = bars.judged_heads({"clothing": good, "pollen": poor}, "ours")
    holds = {(bar["about"], bar["where"]): bar["holds"] for bar in found}
    assert holds == {
        ("accuracy", "clothing"): True,
        ("accuracy", "pollen"): False,
        ("calibration", "clothing"): True,
        ("calibration", "pollen"): False,
        ("members", "clothing"): True,
        ("members", "pollen"): False,
        ("strangers", "clothing"): True,
        ("strangers", "mean of all"): False,  # 0.45
    }
    assert bars.summary(found)["accuracy"] == (1, 2)
    gap = next(bar for bar in found if bar["where"] == "pollen" and bar["about"] == "accuracy")
    assert gap["found"] == pytest.approx(-0.3)
    assert gap["expected"] == "at most 0.5 points below the best other head, other"


def test_bars_of_film():
    def gains(value: float) -> dict[str, Any]:
        return {"5-way, 1-shot": {"gain": {"mean": value, "interval": 0.01}}}

    found = bars.judged_film({"food": gains(-0.006), "pollen": gains(0.05), "sketches": gains(0.03)})
    assert {(bar["about"], bar["where"]): bar["holds"] for bar in found} == {
        ("film", "food"): False,
        ("film", "pollen"): True,
        ("film", "sketches"): True,
        ("film, far", "pollen"): True,
        ("film, far", "sketches"): False,
        ("film", "mean of all"): True,  # 0.0247
    }


def test_tables_and_figures_show_what_was_measured(
    root: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kinds, "EPISODES", 6)
    config = small_config(root, model, tmp_path, heads=(COSINE, LOGISTIC, MAHALANOBIS))
    experiment.run(config)
    sized = settings.SizesConfig(
        root=str(root), backbone=str(model), sizes=(32, 40), shots=(1,), query=3, episodes=4, cache=config.cache,
        out=str(tmp_path / "photos_sizes.json"),
    )  # fmt: skip
    sizes.run(sized)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    cells = results_of(config)["cells"]["tiny"]
    record = cells["pollen"]["5-way, 5-shot"]["heads"][MAHALANOBIS]
    (row,) = [line for line in report.photos_shots().splitlines() if line.startswith("| pollen | 5 |")]
    assert row.endswith(f"| {100 * record['mean']:.1f} ± {100 * record['interval']:.1f} |")
    mean = np.mean([cells[name]["all classes, 1-shot"]["heads"][LOGISTIC]["mean"] for name in cells])
    (row,) = [line for line in report.photos_heads().splitlines() if line.startswith(f"| {LOGISTIC} |")]
    assert row.split(" | ")[3] == f"{100 * mean:.1f}"
    assert f"| {100 * record['members_turned_away']:.1f} |" in report.photos_rejection()
    assert f"| {100 * record['calibration_error']:.1f} |" in report.photos_calibration()
    assert len(report.photos_best().splitlines()) == 2 + 8
    assert "| 40, crop 0.875 |" in report.photos_sizes()
    differs = {"5-way, 1-shot": {"difference": {"mean": -0.007, "interval": 0.001}}}
    found = {"domains": {"pollen": differs}, "bars": bars.judged_int8({"pollen": differs})}
    (tmp_path / "photos_int8.json").write_text(json.dumps({"results": found}))
    assert "| pollen | -0.7 ± 0.1, **misses by 0.2** |" in report.photos_int8()
    gain = {"5-way, 1-shot": {"gain": {"mean": -0.02, "interval": 0.01}}}
    film = {"models": {"mine": {"pollen": gain}}, "bars": {"mine": bars.judged_film({"pollen": gain})}}
    (tmp_path / "photos_film.json").write_text(json.dumps({"results": film}))
    means = [
        np.mean([cells[one][f"5-way, {shot}-shot"]["heads"][MAHALANOBIS]["mean"] for one in cells]) for shot in (1, 5)
    ]
    first, second = (f"{100 * mean:.1f} % with {shot}" for mean, shot in zip(means, (1, 5), strict=True))
    assert f"On the mean of 2 domains, five classes are told apart at {first} and {second}" in (
        answers.photos_answer_shots()
    )
    assert answers.photos_answer_heads().startswith("- 1 photo: ")
    assert answers.photos_answer_film() == (
        "- mine: -2.0 points on the mean, from -2.0 (pollen, 5-way, 1-shot) to -2.0 (pollen, 5-way, 1-shot); 1 of 1 "
        "cells lose more than 0.5."
    )
    assert (
        "| mine: film | 2 | 0 | mean of all, 5-way, 1-shot: -2.0, asked at least +2; pollen, "
        in answers.photos_failed()
    )
    assert "| int8: accuracy | 1 | 0 | pollen, 5-way, 1-shot: -0.7, asked at least -0.5 |" in answers.photos_failed()
    (tmp_path / "photos_lites.json").write_text((tmp_path / "photos.json").read_text())
    assert "tiny" in report.photos_speed()
    rows = report.photos_backbones().splitlines()[2:]
    assert len(rows) == 2
    assert all(row.startswith("| tiny | 16 | ") for row in rows)
    for figure in (charts.shots_figure(), charts.heads_figure()):
        figure.savefig(tmp_path / "figure.png")


def test_costs_stand_beside_their_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    found = with_bars({
        "fit to 25 files, s": {"float32": 1.3, "int8": 2.0},
        "files of 2 megapixels, a second": {"float32": 48.9, "int8": 120.0},
        "decoding one file, ms": {"any": 62.8},
    })  # fmt: skip
    (tmp_path / "photo_speed.json").write_text(json.dumps({"results": found}))
    assert report.photos_cost().splitlines()[2:] == [
        "| fit to 25 files, s | < 1.5 | 1.30, holds | 2.00, **misses by 0.50** |",
        "| files of 2 megapixels, a second | >= 100 | 48.9, **misses by 51.1** | 120, holds |",
        "| decoding one file, ms |  | 62.8 |  |",
    ]


def test_a_missed_bar_says_by_how_much():
    found = [bars.judged("film", "food", "5-way, 1-shot", "", gain, least=-0.005) for gain in (-0.012, -0.0051, 0.0)]
    assert [report.verdict(dataclasses.asdict(bar)) for bar in found] == [
        "**misses by 0.7**",
        "**misses by under 0.1**",
        "holds",
    ]
    assert report.verdict(None) == ""


@needs_int8
def test_integers_are_paired_with_float32(root: Path, model: Path, backbone: FrozenBackbone, tmp_path: Path):
    config = settings.Int8Config(
        str(root), ("clothing",), query=3, episodes=4, cache=str(tmp_path), out=str(tmp_path / "int8.json"),
        backbone=str(model), head=MAHALANOBIS, shots=(1, 5, 20),
    )  # fmt: skip
    assert int8.run(config) == 0
    cells = results_of(config)["domains"]["clothing"]
    assert list(cells) == ["5-way, 1-shot", "5-way, 5-shot"]  # no class has 23 images
    for cell in cells.values():
        shares = [np.mean(accuracies(cell[precision])) for precision in ("int8", "float32")]
        assert cell["difference"]["mean"] == pytest.approx(shares[0] - shares[1])
    (domain,) = open_domains(root, ["clothing"])
    plan, _ = Tasks(domain, int8.CALIBRATED, 1).split(0)
    images = decode(domain.source, 16)
    classifier = FewShotClassifier(str(model), precision="int8", device="cpu")
    classifier.fit(images.get(plan.support), plan.support_labels)
    fitted = classifier._check_fitted().features
    rows = int8.int8_features(backbone, domain, tmp_path / "int8")
    np.testing.assert_allclose(rows[plan.support], fitted, rtol=1e-5, atol=1e-6)
    assert not np.allclose(rows[plan.support], cached_features(backbone, domain, tmp_path)[plan.support], rtol=1e-4)


def test_sizes_are_paired_with_the_largest(root: Path, model: Path, tmp_path: Path):
    config = settings.SizesConfig(
        root=str(root), backbone=str(model), sizes=(32, 40), shots=(1,), query=3, episodes=4,
        cache=str(tmp_path), out=str(tmp_path / "sizes.json"),
    )  # fmt: skip
    sizes.run(config)
    variants = results_of(config)["variants"]
    assert list(variants) == ["40, crop 0.875", "32, crop 0.875", "40, crop 1", "40, stretch", "40, pad"]
    first, second = (variants[name]["domains"]["pollen"]["5-way, 1-shot"] for name in list(variants)[:2])
    assert first["difference"] == {"mean": 0.0, "interval": 0.0}
    expected = np.mean(accuracies(second)) - np.mean(accuracies(first))
    assert second["difference"]["mean"] == pytest.approx(expected)
    smaller = dataclasses.replace(config, ways_at=32)
    found = [(name, reference) for name, reference, _ in sizes.variants(load_backbone(str(model)), smaller)]
    assert found[2:] == [(f"32, {way}", "32, crop 0.875") for way in ("crop 1", "stretch", "pad")]


def test_pages_take_the_tables():
    assert tables.TABLES.keys() >= report.TABLES.keys()
