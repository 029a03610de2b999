"""The table of heads: every head sees the same episodes, and what is chosen is chosen on validation classes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import heads, heads_speed, tables
from benchmarks.heads import FIRST, Candidate, HeadsConfig, accuracies, as_table, cell, marked, measure
from benchmarks.heads_features import POWERS, TRAINED, split_features, trained_on_features
from fewshot_film.commands.baselines import without_training
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.learners import PTMAP
from fewshot_film.learners.task_runners import CachedFeatures, features_of_set
from tests.learners.small import SMALL, noisy_classes, small_learner

CONFIG = HeadsConfig(
    root="", methods=("prototypes", "transductive-cnaps", "pt-map", "soft-kmeans+sot", "dn4"), shots=(1,), query=2,
    episodes=3, validation_episodes=2, cache="",
)  # fmt: skip


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return noisy_classes(per_class=12)


@pytest.fixture(scope="module")
def rows(images: ImageSet):
    return measure(small_learner(), dict.fromkeys(heads.SPLITS, images), CONFIG)


def test_rows(rows):
    assert list(rows) == ["5-way 1-shot", "5-way 1-shot, unbalanced"]
    for row in rows.values():
        assert list(row["accuracy"]) == [FIRST, *CONFIG.methods]
        first = row["accuracy"][FIRST]["values"]
        for name in CONFIG.methods:
            values = row["accuracy"][name]["values"]
            assert len(values) == 3
            expected = np.mean(np.array(values) - np.array(first))
            np.testing.assert_allclose(row["gain"][name]["mean"], expected, atol=1e-12)
    digests = {row["episodes_sha256"] for row in rows.values()}
    assert len(digests) == 2


def test_simple_shot_is_centred_on_validation_classes():
    learner, images = small_learner(), noisy_classes(num_classes=2)
    known = dict.fromkeys(heads.SPLITS, split_features(learner, images, ""))
    found = heads._candidates("simple-shot", learner, known)
    for candidate in found:
        torch.testing.assert_close(candidate.learner.centre, known["val"].at_power(candidate.power).mean(0))
    assert {candidate.power for candidate in found} == set(heads.POWERS)


@pytest.mark.parametrize("power", POWERS)
def test_features_of_any_power_are_those_of_the_backbone(images: ImageSet, power: float):
    learner = small_learner(backbone=dataclasses.replace(SMALL.backbone, feature_norms=(2.0, 3.0)))
    found = split_features(learner, images, "").at_power(power)
    learner.backbone.set_features(power, flip_tta=True)
    expected = learner.backbone(images.get(np.arange(len(images))).float() / 255)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_was_measured_is_kept(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = dataclasses.replace(CONFIG, methods=("prototypes", "dn4"), cache=str(tmp_path))
    splits = dict.fromkeys(heads.SPLITS, images)
    first = measure(small_learner(), splits, config)
    with monkeypatch.context() as patch:
        patch.setattr(heads, "accuracies", None)
        assert measure(small_learner(), splits, config) == first
    monkeypatch.setattr(heads, "accuracies", None)
    with pytest.raises(TypeError):  # more episodes are measured
        measure(small_learner(), splits, dataclasses.replace(config, episodes=4))


@pytest.mark.parametrize("name", TRAINED)
def test_heads_with_parts_of_their_own_are_trained(name: str):
    """Training lowers the loss on episodes of the same classes, of all three."""
    known = split_features(small_learner(), noisy_classes(per_class=20), "")
    rows, sampler = known.at_power(1.0), EpisodeSampler(known.images, 5, 1, 15, split="test")

    def loss(episodes: int) -> float:
        learner = trained_on_features(name, known, 1.0, episodes)
        found = []
        for plan in map(sampler.plan, range(10)):
            logits = learner.fit_head(rows[plan.support], torch.from_numpy(plan.support_labels))(rows[plan.query])
            found.append(F.cross_entropy(logits, torch.from_numpy(plan.query_labels)).item())
        return sum(found)

    assert loss(60) < loss(0)


def test_settings_are_those_of_the_method(rows):
    for row in rows.values():
        settings = row["settings"]
        assert settings["pt-map"]["tukey_power"] == 1  # it has a power of its own
        assert settings["pt-map"]["power"] == 0.5
        assert settings["soft-kmeans+sot"]["self_transport"]
        assert not settings["pt-map"]["self_transport"]
        assert settings[FIRST].keys() == {"tukey_power", "flip_tta"}


@pytest.mark.parametrize("name", ["pt-map", "prototypes", "transductive-cnaps"])
@pytest.mark.parametrize("dirichlet", [0, 2])
def test_accuracies_are_those_of_episodes_one_by_one(images: ImageSet, name: str, dirichlet: int):
    learner = small_learner()
    (head,) = without_training((name,), learner.backbone, learner.config).values()
    sampler = EpisodeSampler(images, 5, 1, 2, dirichlet=dirichlet)
    features = features_of_set(head.eval(), images, torch.device("cpu"))
    runner = CachedFeatures(head, features)
    expected = []
    for index in range(4):
        plan = sampler.plan(index)
        expected.append(float(np.mean(runner.logits(plan).argmax(1).numpy() == plan.query_labels)))
    with torch.no_grad():
        assert accuracies(head, features, sampler, 4) == pytest.approx(expected)


def test_validation_chooses(images: ImageSet, monkeypatch: pytest.MonkeyPatch):
    """The candidate that is best on the validation episodes answers on the test episodes."""
    learner = small_learner()
    config = dataclasses.replace(CONFIG, methods=("pt-map",))

    def on_validation(head: Candidate, known, samplers, episodes) -> float:
        assert [one.dirichlet for one in samplers] == [0, 2]
        assert episodes == 2
        own = isinstance(head.learner, PTMAP)
        return float(head.learner.config.centring == "sets") if own else float(head.power == 0.5)

    monkeypatch.setattr(heads, "_total", on_validation)
    for row in measure(learner, dict.fromkeys(heads.SPLITS, images), config).values():
        assert row["settings"][FIRST]["tukey_power"] == 0.5
        assert row["settings"]["pt-map"]["centring"] == "sets"


def test_the_table(rows, tmp_path: Path):
    table = as_table("noisy", rows)
    assert table.splitlines()[0] == "| noisy | 5-way 1-shot | 5-way 1-shot, unbalanced |"
    assert [marked(name) for name in ("ridge", "pt-map", "pt-map+sot")] == ["ridge", r"pt-map \*", r"pt-map+sot \*"]
    row = {
        "accuracy": {FIRST: {"mean": 0.6, "interval": 0.01}, "ridge": {"mean": 0.612}},
        "gain": {"ridge": {"mean": 0.012, "interval": 0.004}},
    }
    assert (cell(row, FIRST), cell(row, "ridge")) == ("60.0 ± 1.0", "61.2 (+1.2 ± 0.4)")


def test_published_numbers_and_what_imbalance_costs(monkeypatch: pytest.MonkeyPatch):
    def row(first: float, other: float):
        return {
            "accuracy": {FIRST: {"mean": first, "interval": 0.01}, "pt-map": {"mean": other}},
            "gain": {"pt-map": {"mean": other - first, "interval": 0.01}},
            "seconds": {FIRST: 1.5, "pt-map": 40.0},
        }

    found = {
        "5-way 1-shot": row(0.6, 0.7), "5-way 1-shot, unbalanced": row(0.6, 0.55),
        "5-way 5-shot": row(0.8, 0.82), "5-way 5-shot, unbalanced": row(0.8, 0.7),
    }  # fmt: skip
    monkeypatch.setattr(tables, "read_result", lambda name: {"results": found})
    lines = tables.heads("heads_cifar_fs", "CIFAR-FS").splitlines()
    (line,) = [line for line in lines if line.startswith("| pt-map")]
    assert line.endswith(
        "| 82.0 (+2.0 ± 1.0) | 70.0 (-10.0 ± 1.0) |  | 87.7 / 90.7 [1] | -15.0 / -12.0 | -16.8 / -18.2 |"
    )


@pytest.mark.parametrize(("name", "tolerance"), [("tim", 1e-4), ("pt-map", 2e-2)])
def test_loops_as_published_have_the_same_answers(name: str, tolerance: float):
    config = heads_speed.HeadsSpeedConfig(tasks=2, dim=12, tim_steps=20)
    support, members, queries = heads_speed.tasks(config)
    head = heads_speed.heads(config)[name]
    at_once = head.classify(support, members, queries)
    for index in range(2):
        expected = heads_speed.as_published(head)(support[index], members[index], queries[index])
        torch.testing.assert_close(at_once[index], expected, rtol=tolerance, atol=tolerance)


def test_times_of_heads():
    config = heads_speed.HeadsSpeedConfig(tasks=2, dim=12, tim_steps=2, rounds=2)
    for name, head in heads_speed.heads(config).items():
        row = heads_speed.measure(head, config)
        assert list(row["ms_per_task"]) == ["at once", "one by one", *["as published"] * (name != "laplacian-shot")]
        assert row["ratio_of_medians"] > 0
