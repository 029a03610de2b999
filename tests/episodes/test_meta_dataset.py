from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.data import SourceError, decode
from fewshot_film.episodes import MetaDatasetRules, MetaDatasetSampler
from fewshot_film.episodes.draws import Draws
from fewshot_film.episodes.meta_dataset import draw_shots, num_query, support_size
from tests.data.layouts import array_source, blank_set
from tests.reference import episodes_meta_dataset as oracle

RULES = MetaDatasetRules()
SIZES = [3, 40, 25, 130, 2, 7, 60, 33, 21, 250, 18, 5]
IMAGES = decode(array_source(SIZES, side=3), 3, 1)


def test_query_by_hand() -> None:
    assert num_query(np.array([20, 50, 600]), RULES) == 10
    assert num_query(np.array([19, 50, 600]), RULES) == 9
    assert num_query(np.array([2, 50]), RULES) == 1


def test_support_size_by_hand() -> None:
    """20 pictures a class, 10 left: floor(0.55 * 10 + 1) = 6 from each of 5 classes."""
    assert support_size(np.full(5, 10), 0.55, RULES) == 30
    assert support_size(np.full(5, 10), 0.0, RULES) == 5
    assert support_size(np.array([590, 7]), 0.5, RULES) == 51 + 4
    assert support_size(np.full(50, 590), 0.999, RULES) == 500


class Given:
    """A stream that draws what a test says."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def uniform(self, count: int) -> np.ndarray:
        assert count == len(self.values)
        return np.array(self.values)


def test_shots_by_hand() -> None:
    """Left 10, 30 and 90; beta 0.5 gives 6 + 16 + 46 = 68 to spread, less 3 classes: 65.

    With equal weights a class of 20, 40 or 100 pictures gets floor(65 images / 160) + 1.
    """
    sizes = np.array([20, 40, 100])
    equal = [0.5, 0.5, 0.5]
    expected = [math.floor(65 * size / 160) + 1 for size in (20, 40, 100)]
    assert draw_shots(sizes, 10, Given([0.5, *equal]), RULES).tolist() == expected == [9, 17, 41]
    # The first class twice as likely, the last half: weights 40, 40 and 50.
    unequal = draw_shots(sizes, 10, Given([0.5, 1.0, 0.5, 0.0]), RULES).tolist()
    assert unequal == [10, 21, 26]  # floor(65 * 40 / 130) + 1 = 21, of which the first class has 10 left


@given(
    st.lists(st.integers(2, 700), min_size=1, max_size=50).flatmap(
        lambda sizes: st.tuples(
            st.just(sizes),
            st.lists(st.floats(0, 1, exclude_max=True), min_size=len(sizes) + 1, max_size=len(sizes) + 1),
        )
    )
)
def test_formulas_equal_the_oracle(case: tuple[list[int], list[float]]) -> None:
    sizes, uniforms = case
    query = num_query(np.array(sizes), RULES)
    assert query == oracle.num_query(sizes)
    left = np.array(sizes) - query
    assert support_size(left, uniforms[0], RULES) in {
        oracle.support_size(sizes, query, uniforms[0] + error) for error in (0.0, 1e-15, -1e-15)
    }
    shots = draw_shots(np.array(sizes), query, Given(uniforms), RULES)
    assert (shots >= 1).all()
    assert (shots <= left).all()
    assert shots.sum() <= 500


@pytest.mark.parametrize("split", ["train", "test"])
def test_whole_plans_equal_the_oracle(split: str) -> None:
    by_class = [IMAGES.indices_of(label).tolist() for label in range(len(SIZES))]
    sampler = MetaDatasetSampler(IMAGES, seed=5, split=split)
    for index in range(60):
        plan = sampler.plan(index)
        classes, support, query = oracle.plan(by_class, 5, split, index)
        assert plan.classes.tolist() == classes
        assert list(zip(plan.support_labels.tolist(), plan.support.tolist(), strict=True)) == support
        assert list(zip(plan.query_labels.tolist(), plan.query.tolist(), strict=True)) == query


@given(st.integers(0, 10**6))
def test_episodes_are_what_they_say(index: int) -> None:
    episode = MetaDatasetSampler(IMAGES)[index]
    assert 5 <= episode.way <= len(SIZES)
    assert len(set(torch.bincount(episode.query_labels).tolist())) == 1
    assert torch.bincount(episode.support_labels, minlength=episode.way).min() >= 1
    files = [*episode.support_files, *episode.query_files]
    assert len(set(files)) == len(files)
    for labels, of_part in (
        (episode.support_labels, episode.support_files), (episode.query_labels, episode.query_files)
    ):  # fmt: skip
        owners = [IMAGES.class_names[IMAGES.labels[int(file)]] for file in of_part]
        assert owners == [episode.class_names[label] for label in labels]


def test_distribution_on_a_large_set() -> None:
    """100 classes of 600: way uniform in 5 to 50, 10 queries, size min(500, way floor(100 beta + 1))."""
    images = blank_set([600] * 100)
    sampler = MetaDatasetSampler(images, seed=2)
    plans = [sampler.plan(index) for index in range(1000)]
    ways = np.array([len(plan.classes) for plan in plans])
    sizes = np.array([len(plan.support) for plan in plans])
    assert (ways.min(), ways.max()) == (5, 50)
    counts = np.bincount(ways)[5:]
    assert ((counts - 1000 / 46) ** 2 / (1000 / 46)).sum() < 46 + 5 * np.sqrt(2 * 46)
    assert {len(plan.query) // len(plan.classes) for plan in plans} == {10}
    assert sizes.max() <= 500
    betas = (np.arange(10_000) + 0.5) / 10_000
    asked = {way: np.minimum(500, way * np.floor(100 * betas + 1)).mean() for way in range(5, 51)}
    expected = np.mean(list(asked.values()))
    # Rounding every class down and adding one moves the sum by less than the way.
    assert abs(sizes.mean() - expected) < 27 / 2 + 5 * sizes.std() / np.sqrt(1000)
    shots = [np.bincount(plan.support_labels) for plan in plans if len(plan.support) > 200]
    ratios = np.array([shot.max() / shot.min() for shot in shots])
    assert np.median(ratios) > 2.5
    assert ratios.max() < 8


def test_rules_can_be_changed() -> None:
    sampler = MetaDatasetSampler(IMAGES, rules=MetaDatasetRules(min_way=3, max_way=4, max_query=1, max_support=20))
    for index in range(50):
        plan = sampler.plan(index)
        assert len(plan.classes) in (3, 4)
        assert len(plan.query) == len(plan.classes)
        assert len(plan.support) <= 20


def test_sets_that_cannot_be_drawn_from() -> None:
    with pytest.raises(ValueError, match="noise: an episode has at least 5 classes, there are only 4"):
        MetaDatasetSampler(decode(array_source([5] * 4), 4, 1))
    with pytest.raises(SourceError, match=r"class 'class 2' has 1 usable pictures, an episode needs 2 \(1 support"):
        MetaDatasetSampler(decode(array_source([5, 5, 1, 5, 5]), 4, 1))


def test_draws_are_of_the_stream_alone() -> None:
    sizes = np.array([20, 30, 40])
    first, second = (draw_shots(sizes, 5, Draws(1, "x").stream(3), RULES) for _ in range(2))
    np.testing.assert_array_equal(first, second)
