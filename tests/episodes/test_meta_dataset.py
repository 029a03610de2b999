from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from fewshot_film.data import SourceError, decode
from fewshot_film.data.groups import ClassGroups
from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes import MetaDatasetRules, MetaDatasetSampler
from fewshot_film.episodes.meta_dataset import draw_shots, num_query, support_size
from fewshot_film.episodes.rng import Draws
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
    """20 images a class, 10 left: floor(0.55 * 10 + 1) = 6 from each of 5 classes."""
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

    With equal weights a class of 20, 40 or 100 images gets floor(65 images / 160) + 1.
    """
    sizes = np.array([20, 40, 100])
    equal = [0.5, 0.5, 0.5]
    expected = [math.floor(65 * size / 160) + 1 for size in (20, 40, 100)]
    assert draw_shots(sizes, 10, Given([0.5, *equal]), RULES).tolist() == expected == [9, 17, 41]
    # The first class twice as likely, the last half: weights 40, 40 and 50.
    unequal = draw_shots(sizes, 10, Given([0.5, 1.0, 0.5, 0.0]), RULES).tolist()
    assert unequal == [10, 21, 26]  # floor(65 * 40 / 130) + 1 = 21, of which the first class has 10 left


@example(([2, 4], [1 - 2**-53, 0.0, 0.0]))
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
    least, most = (oracle.support_size(sizes, query, uniforms[0] + error) for error in (-1e-15, 1e-15))
    assert least <= support_size(left, uniforms[0], RULES) <= most  # each class is rounded by itself
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


def grouped(kind: str, groups: list[list[int]]) -> ImageSet:
    """The images of IMAGES, with classes that hang together."""
    source = array_source(SIZES, side=3)
    source.groups = ClassGroups(kind, tuple((str(n), tuple(f"class {c}" for c in g)) for n, g in enumerate(groups)))
    return decode(source, 3, 1)


NODES = [[0, 1, 2, 3], [0, 1, 2, 3, 4], [2, 5, 7, 8, 10, 11], list(range(12))]


@pytest.mark.parametrize(("kind", "argument"), [("leaves", "nodes"), ("members", "alphabets")])
def test_whole_plans_of_related_classes_equal_the_oracle(kind: str, argument: str) -> None:
    images = grouped(kind, NODES)
    by_class = [images.indices_of(label).tolist() for label in range(len(SIZES))]
    sampler = MetaDatasetSampler(images, seed=3)
    for index in range(60):
        plan = sampler.plan(index)
        classes, support, query = oracle.plan(by_class, 3, "train", index, **{argument: NODES})
        assert plan.classes.tolist() == classes
        assert list(zip(plan.support_labels.tolist(), plan.support.tolist(), strict=True)) == support
        assert list(zip(plan.query_labels.tolist(), plan.query.tolist(), strict=True)) == query


def test_every_node_of_5_to_392_leaves_is_equally_likely() -> None:
    """Nodes of 4, 5, 60, 392 and 393 leaves: the first and the last are never drawn, of 60 and 392 there are 50."""
    images = blank_set([4] * 393)
    spans = [range(4), range(5), range(60), range(392), range(393)]
    names = images.class_names
    images.groups = ClassGroups("leaves", tuple((str(len(s)), tuple(names[c] for c in s)) for s in spans))
    sampler = MetaDatasetSampler(images)
    drawn = [set(sampler.plan(index).classes.tolist()) for index in range(900)]
    assert {len(classes) for classes in drawn} == {5, 50}
    counts = [
        sum(len(classes) == 5 for classes in drawn),
        sum(len(classes) == 50 and max(classes) < 60 for classes in drawn),
        sum(max(classes) >= 60 for classes in drawn),
    ]
    assert sum((count - 300) ** 2 / 300 for count in counts) < 14  # chance 1e-3 with two degrees of freedom
    assert max(map(max, drawn)) == 391
    drawn_of_60 = Counter(c for classes in drawn if len(classes) == 50 and max(classes) < 60 for c in classes)
    assert min(drawn_of_60.values()) > 0.6 * counts[1]


def test_way_within_an_alphabet_is_uniform() -> None:
    images = blank_set([20] * 33)
    names = images.class_names
    images.groups = ClassGroups("members", (("a", names[:8]), ("b", names[8:11]), ("c", names[11:])))
    plans = [MetaDatasetSampler(images, seed=1).plan(index) for index in range(1200)]
    of_a = Counter(len(plan.classes) for plan in plans if plan.classes.max() < 8)
    assert set(of_a) == {5, 6, 7, 8}
    assert sum((count - 150) ** 2 / 150 for count in of_a.values()) < 4 + 5 * math.sqrt(8)
    of_c = [len(plan.classes) for plan in plans if plan.classes.min() >= 11]
    assert (min(of_c), max(of_c)) == (5, 22)
    assert len(of_c) + sum(of_a.values()) == 1200


def test_groups_can_be_left_aside_and_must_be_large_enough() -> None:
    images = grouped("leaves", [[0, 1, 2]])
    message = "noise: none of the 1 groups of its classes has 5 to 392 of them; lower min_way, or pass related=False"
    with pytest.raises(ValueError, match=message):
        MetaDatasetSampler(images)
    free = MetaDatasetSampler(images, seed=5, related=False)
    assert free.plan(3).support.tolist() == MetaDatasetSampler(IMAGES, seed=5).plan(3).support.tolist()


@pytest.mark.parametrize("sizes", [[20] * 5, [600, 30, 60, 250, 90, 40, 1000, 22], [1300] * 50])
def test_shots_are_distributed_as_the_formulas_say(sizes: list[int]) -> None:
    """Size of the support set, shots of the first class and imbalance, against a simulation from the formulas."""
    images = blank_set(sizes)
    names = images.class_names
    images.groups = ClassGroups("leaves", (("all", names),))
    sampler = MetaDatasetSampler(images, seed=4)
    plans = [sampler.plan(index) for index in range(400)]
    ours = [np.bincount(plan.support_labels)[np.argsort(plan.classes)] for plan in plans]
    theirs = oracle.simulate(sizes, 400, seed=6)
    for statistic in (np.sum, lambda shots: shots[0], lambda shots: shots.max() / shots.min()):
        first, second = (np.sort([float(statistic(shots)) for shots in both]) for both in (ours, theirs))
        places = np.concatenate([first, second])
        shares = (np.searchsorted(values, places, side="right") / 400 for values in (first, second))
        # Kolmogorov and Smirnov's distance of two samples of 400 exceeds 0.138 with a chance of 1e-3.
        assert np.abs(np.subtract(*shares)).max() < 0.138


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
    with pytest.raises(SourceError, match=r"class 'class 2' has 1 usable image, but an episode needs 2 \(1 support"):
        MetaDatasetSampler(decode(array_source([5, 5, 1, 5, 5]), 4, 1))


def test_draws_are_of_the_stream_alone() -> None:
    sizes = np.array([20, 30, 40])
    first, second = (draw_shots(sizes, 5, Draws(1, "x").stream(3), RULES) for _ in range(2))
    np.testing.assert_array_equal(first, second)
