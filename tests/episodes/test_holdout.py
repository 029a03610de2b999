from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.data import SourceError, decode
from fewshot_film.episodes import HoldOutSampler, fingerprint
from tests.data.layouts import array_source, blank_set


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.integers(0, 1), st.integers(1, 30), st.integers(0, 5))
def test_every_class_is_split_in_two(sizes, shot, query, index):
    images = blank_set(sizes)
    plan = HoldOutSampler(images, shot, query, seed=1).plan(index)
    both = np.concatenate([plan.support, plan.query])
    assert len(set(both.tolist())) == len(both)
    assert (images.labels[plan.support] == plan.support_labels).all()
    assert (images.labels[plan.query] == plan.query_labels).all()
    supports = np.bincount(plan.support_labels, minlength=len(sizes))
    queries = np.bincount(plan.query_labels, minlength=len(sizes))
    for size, support, asked in zip(sizes, supports, queries, strict=True):
        assert support == (shot or size - asked)
        assert asked == min(query, size - shot if shot else min(max(1, round(size / 5)), size - 1))


def test_every_picture_is_held_out_as_often_as_any_other():
    sampler = HoldOutSampler(blank_set([5]), fraction=0.4)
    counts = sum(np.bincount(sampler.plan(index).query, minlength=5) for index in range(2000))
    assert counts.sum() == 4000
    assert (abs(counts - 800) < 100).all()


def test_splits_are_a_function_of_the_seed():
    images = blank_set([6, 9])
    prints = [fingerprint(HoldOutSampler(images, seed=seed), 5) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_an_episode_of_pictures():
    episode = HoldOutSampler(decode(array_source([3, 4]), 4, 1), 2)[0]
    assert episode.support_images.shape == (4, 1, 4, 4)
    assert episode.query_labels.tolist() == [0, 1, 1]


def test_a_class_too_small():
    with pytest.raises(SourceError, match=r"'class 1' has 2 usable images, but an episode needs 3 \(2 support"):
        HoldOutSampler(blank_set([3, 2]), 2)
    with pytest.raises(SourceError, match="'class 1' has 1 usable image"):
        HoldOutSampler(blank_set([3, 1]))


@pytest.mark.parametrize("settings", [{"shot": -1}, {"query": 0}, {"fraction": 0.0}, {"fraction": 1.0}])
def test_numbers_out_of_range(settings):
    with pytest.raises(ValueError, match="expected at least 0, at least 1, and a share between 0 and 1"):
        HoldOutSampler(blank_set([3]), **settings)
