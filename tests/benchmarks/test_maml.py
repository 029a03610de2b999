"""MAML and its relatives beside learn2learn's loop: the same weights come out of both."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from benchmarks.maml import (
    MAMLBenchmarkConfig,
    Ours,
    Theirs,
    as_table,
    first_learner,
    largest_difference,
    measure,
    methods,
    rounding,
    rounding_table,
    run,
)
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.errors import ConfigError
from fewshot_film.run.results import write_result
from tests.extras import needs_learn2learn
from tests.learners.small import SMALL, noisy_classes

pytestmark = needs_learn2learn
SAMPLER = EpisodeSampler(noisy_classes(), 5, 1, 5, split="train")
CONFIG = MAMLBenchmarkConfig(steps=1, tasks=2, inner_steps=2, inner_lr=0.5, episodes=2)  # 0.5 in any precision


@pytest.mark.parametrize("name", ["maml", "anil", "meta-sgd"])
def test_both_sides_compute_the_same(name: str):
    """In double precision, two steps of Adam from the same start leave the same weights."""
    learner = first_learner(methods(CONFIG, SMALL.backbone)[name]).double()
    ours, theirs = _after_two_steps(learner, _double)
    episode = _double(SAMPLER[9])
    torch.testing.assert_close(ours.logits(episode), theirs.logits(episode), rtol=1e-7, atol=1e-9)
    assert largest_difference(ours, theirs) < 1e-9


@pytest.mark.parametrize("name", ["maml", "anil", "meta-sgd"])
def test_both_sides_round_alike(name: str):
    """In single precision too: both give an image to the network in one layout, or the inner steps drive them apart."""
    ours, theirs = _after_two_steps(first_learner(methods(CONFIG, SMALL.backbone)[name]))
    assert largest_difference(ours, theirs) == 0


def test_the_largest_difference_is_found():
    learner = first_learner(methods(CONFIG, SMALL.backbone)["anil"])
    ours, theirs = Ours(learner, CONFIG), Theirs(copy.deepcopy(learner), CONFIG)
    assert largest_difference(ours, theirs) == 0
    with torch.no_grad():
        learner.head_start.bias[2] += 0.25
    assert largest_difference(ours, theirs) == pytest.approx(0.25)


def _after_two_steps(learner, cast=lambda episode: episode):
    ours, theirs = Ours(learner, CONFIG), Theirs(copy.deepcopy(learner), CONFIG)
    for first in (0, 2):
        for side in (ours, theirs):
            side.step([cast(SAMPLER[first + number]) for number in range(2)])
    return ours, theirs


def _double(episode):
    parts = {part: getattr(episode, part).double() for part in ("support_images", "query_images")}
    return dataclasses.replace(episode, **parts)


def test_rows():
    images = noisy_classes()
    rows = dict(measure({"train": images, "test": images}, SMALL.backbone, CONFIG))
    assert list(rows) == list(methods(CONFIG, SMALL.backbone))
    for name, row in rows.items():
        assert ("learn2learn" in row["accuracy"]) == ("gain" in row) == ("FiLM" not in name)
        assert set(row["train_ms"]) == set(row["test_ms"]) == set(row["accuracy"])
    assert as_table("noisy", rows).count("\n") == 1 + len(rows)
    left = measure({"train": images, "test": images}, SMALL.backbone, CONFIG, done=[*rows][1:])
    assert [name for name, _ in left] == ["maml"]


def test_one_unit_in_the_last_place():
    """Changes are those of the precision: a billion times smaller in double."""
    found = rounding(noisy_classes(), SMALL.backbone, CONFIG, episodes=3)
    assert len(found["float32"]) == len(found["float64"]) == 3
    assert 0 < max(found["float64"]) < 1e-10
    assert max(found["float32"]) > 1e-7
    table = rounding_table({"noisy": {"rounding": {"float32": [1e-6, 2e-6, 0.5]}}})
    assert table.splitlines()[-1] == "| noisy, float32 | 2e-06 | 5e-01 | 1 of 3 episodes |"


def test_only_a_file_of_the_same_settings_is_continued(tmp_path):
    out = tmp_path / "maml.json"
    write_result(out, config=CONFIG, seed=0, results={})
    with pytest.raises(ConfigError, match="settings: steps is 1 there and 7 here; episodes is 2 there"):
        run(dataclasses.replace(CONFIG, steps=7, episodes=3, out=str(out)))
