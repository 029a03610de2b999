"""MAML and its relatives beside learn2learn's loop: the same weights come out of both."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from benchmarks.maml import MAMLBenchmarkConfig, Ours, Theirs, as_table, measure, methods
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.learners import build_learner
from tests.extras import needs_learn2learn
from tests.learners.small import SMALL, noisy_classes

pytestmark = needs_learn2learn
CONFIG = MAMLBenchmarkConfig(steps=1, tasks=2, inner_steps=2, episodes=2)


@pytest.mark.parametrize("name", ["maml", "anil", "meta-sgd"])
def test_both_sides_compute_the_same(name: str):
    """In double precision, two steps of Adam from the same start leave the same weights."""
    torch.manual_seed(0)
    learner = build_learner(methods(CONFIG, SMALL.backbone)[name]).double()
    ours, theirs = Ours(learner, CONFIG), Theirs(copy.deepcopy(learner), CONFIG)
    sampler = EpisodeSampler(noisy_classes(), 5, 1, 5, split="train")
    for first in (0, 2):
        episodes = [_double(sampler[first + number]) for number in range(2)]
        for side in (ours, theirs):
            side.step(episodes)
    episode = _double(sampler[9])
    torch.testing.assert_close(ours.logits(episode), theirs.logits(episode), rtol=1e-7, atol=1e-9)


def _double(episode):
    parts = {part: getattr(episode, part).double() for part in ("support_images", "query_images")}
    return dataclasses.replace(episode, **parts)


def test_rows():
    images = noisy_classes()
    rows = measure({"train": images, "test": images}, SMALL.backbone, CONFIG)
    assert list(rows) == list(methods(CONFIG, SMALL.backbone))
    for name, row in rows.items():
        assert ("learn2learn" in row["accuracy"]) == ("gain" in row) == ("FiLM" not in name)
        assert set(row["milliseconds"]) == set(row["accuracy"])
    assert as_table("noisy", rows).count("\n") == 1 + len(rows)
