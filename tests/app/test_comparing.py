"""Learners compared step by step, without a browser."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot_film.app.comparing import (
    ComparisonError,
    Progress,
    TaughtSource,
    compare,
    folder_source,
    learner_names,
    taught,
)
from fewshot_film.app.groups import Group
from fewshot_film.app.images import PageImage
from fewshot_film.commands.baselines import without_training
from fewshot_film.data import SourceError, decode
from fewshot_film.episodes import HoldOutSampler, build_episode
from fewshot_film.learners import load_learner, save_learner
from fewshot_film.learners.evaluation import episode_accuracy
from fewshot_film.page import Limits, Page, Visitors
from fewshot_film.run.results import mean_and_interval, paired_difference
from tests.classifier.small import film_learner
from tests.commands.test_commands import draw_classes
from tests.learners.small import SMALL, small_learner


@pytest.fixture
def page(tmp_path: Path) -> Page:
    save_learner(tmp_path / "model", film_learner(), {}, "")
    return Page(Limits(), Visitors(tmp_path), models=(str(tmp_path / "model"),), device="cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_classes(tmp_path / "drawn", 4)


def last(steps) -> Progress:
    *_, final = steps
    return final


def test_a_model_gets_the_accuracies_of_the_same_episodes(page, root):
    source = folder_source(root)
    model = page.models[0]
    found = last(compare(page, source, [model, "pixels"], 6, shot=2))
    assert (found.done, found.total) == (6, 6)
    learner = load_learner(Path(model)).eval()
    sampler = HoldOutSampler(decode(source, 16, 1), 2)
    values = [episode_accuracy(learner, sampler[index]) for index in range(6)]
    row = next(row for row in found.rows if row.name == model)
    assert (row.accuracy, row.interval) == pytest.approx(mean_and_interval(values))


def test_every_step_is_a_whole_comparison(page, root, monkeypatch):
    monkeypatch.setattr("fewshot_film.app.comparing._PAUSE", -1)
    names = learner_names(page)
    assert names[:2] == [page.models[0], "pixels"]
    assert "prototypes" in names
    steps = list(compare(page, folder_source(root), names, 4, shot=1))
    assert [step.done for step in steps] == [1, 2, 3, 4]
    assert all({row.name for row in step.rows} == set(names) for step in steps)
    assert all(math.isnan(row.interval) for row in steps[0].rows)
    for step in steps[1:]:
        accuracies = [row.accuracy for row in step.rows]
        assert accuracies == sorted(accuracies, reverse=True)
        assert (step.rows[0].difference, step.rows[0].difference_interval) == (0, 0)
        for row in step.rows:
            assert row.difference == pytest.approx(row.accuracy - accuracies[0])


def test_differences_are_paired(page, root):
    source, model = folder_source(root), load_learner(Path(page.models[0])).eval()
    found = last(compare(page, source, [page.models[0], "prototypes"], 6, shot=1))
    learners = {page.models[0]: load_learner(Path(page.models[0])).eval()}
    learners |= without_training(["prototypes"], model.backbone, model.config)
    sampler = HoldOutSampler(decode(source, 16, 1), 1)
    values = {
        name: [episode_accuracy(learner.eval(), sampler[index]) for index in range(6)]
        for name, learner in learners.items()
    }
    best, second = found.rows
    assert best.accuracy >= second.accuracy
    expected = paired_difference(values[second.name], values[best.name])
    assert (second.difference, second.difference_interval) == pytest.approx(expected)
    assert second.difference_interval > 0
    assert best.milliseconds > 0
    assert second.milliseconds > 0


def test_it_can_be_left_at_any_step(page, root):
    steps = compare(page, folder_source(root), ["pixels"], 10_000)
    assert next(steps).done == 1
    steps.close()


def test_generated_images(page, monkeypatch):
    monkeypatch.setattr("fewshot_film.app.comparing.GENERATED_CLASSES", 6)
    found = last(compare(page, "glyphs", [page.models[0], "pixels"], 3, way=4, shot=2))
    assert found.done == 3
    again = last(compare(page, "glyphs", [page.models[0], "pixels"], 3, way=4, shot=2))
    assert [(row.name, row.accuracy) for row in again.rows] == [(row.name, row.accuracy) for row in found.rows]
    with pytest.raises(ValueError, match="way is 99"):
        last(compare(page, "glyphs", ["pixels"], 3, way=99))


def test_models_of_several_sizes_see_the_same_images(page, root, tmp_path):
    """An image that is there twice is dropped for all: what one learner is asked no other has learned."""
    larger = small_learner(backbone=dataclasses.replace(SMALL.backbone, image_size=24)).eval()
    save_learner(tmp_path / "larger", larger, {}, "")
    files = sorted((root / "class 00").iterdir())
    files[1].write_bytes(files[0].read_bytes())
    page = Page(Limits(), page.visitors, models=(page.models[0], str(tmp_path / "larger")), device="cpu")
    source = folder_source(root)
    found = last(compare(page, source, list(page.models), 4, shot=2))
    sampler = HoldOutSampler(decode(source, 16, 1), 2)
    images = decode(source, 24, 1)
    place = {file: index for index, file in enumerate(images.files)}
    values = []
    for index in range(4):
        plan = sampler.plan(index)
        support, query = (
            np.array([place[sampler.images.files[i]] for i in part]) for part in (plan.support, plan.query)
        )
        episode = build_episode(images, dataclasses.replace(plan, support=support, query=query), index)
        values.append(episode_accuracy(larger, episode))
    row = next(row for row in found.rows if row.name == page.models[1])
    assert row.accuracy == pytest.approx(np.mean(values))


def test_own_classes(page, tmp_path):
    def group(number: int, count: int) -> Group:
        pixels = np.random.default_rng(number).integers(0, 255, (count, 1, 16, 16)).astype(np.uint8)
        images = [PageImage(f"{number}.png", torch.from_numpy(one), tmp_path) for one in pixels]
        return Group(number, f"class {number}", images)

    groups = [group(1, 4), group(2, 3), group(3, 1)]
    source = taught(groups)
    assert source.class_names == ("class 1", "class 2")  # one image cannot be both learned and asked about
    images = decode(source, 16, 1)
    assert torch.equal(images.get(np.array([0]))[0], groups[0].images[0].pixels)
    assert last(compare(page, source, ["pixels"], 3)).done == 3
    with pytest.raises(ComparisonError, match="at least two images to two classes"):
        taught(groups[1:])
    colours = TaughtSource([Group(1, "c", [PageImage("c", torch.zeros(3, 16, 16, dtype=torch.uint8), tmp_path)])])
    assert colours.load(0).mode == "RGB"


def test_what_cannot_be_compared(page, root, tmp_path, monkeypatch):
    with pytest.raises(ComparisonError, match="0 learners and 9 episodes"):
        next(compare(page, "glyphs", [], 9))
    with pytest.raises(ComparisonError, match="1 learner and 1 episode"):
        next(compare(page, "glyphs", ["pixels"], 1))
    only = tmp_path / "single" / "only"
    only.mkdir(parents=True)
    Image.new("L", (8, 8)).save(only / "1.png")
    with pytest.raises(SourceError, match="has one class, 'only'"):
        folder_source(only.parent)
    monkeypatch.setattr("fewshot_film.app.comparing.MAX_IMAGES", 5)
    with pytest.raises(ComparisonError, match="drawn has 32 images; the page compares at most 5"):
        next(compare(page, folder_source(root), ["pixels"], 9))
