from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from fewshot_film.data import ImageSet, SourceError, decode
from fewshot_film.episodes import Episode, EpisodeSampler
from fewshot_film.episodes.rng import Draws
from tests.data.layouts import array_source
from tests.reference.episodes_rng import SlowStream

IMAGES = decode(array_source([8, 12, 9, 30, 8, 10, 8]), 4, 3)
PINNED = ([0, 2, 1], [1, 23, 16], [2, 6, 22, 26, 12, 10])


def check(episode: Episode, images: ImageSet, shot: int, query: int) -> None:
    """Everything that must hold of an episode with the same shots in every class."""
    way = episode.way
    assert episode.support_images.shape == (way * shot, images.num_channels, 4, 4)
    assert episode.query_images.shape == (way * query, images.num_channels, 4, 4)
    assert torch.bincount(episode.support_labels).tolist() == [shot] * way
    assert torch.bincount(episode.query_labels).tolist() == [query] * way
    assert len(set(episode.class_names)) == way
    assert not set(episode.support_files) & set(episode.query_files)
    assert len({*episode.support_files, *episode.query_files}) == way * (shot + query)
    place = {file: index for index, file in enumerate(images.files)}
    for pictures, labels, files in (
        (episode.support_images, episode.support_labels, episode.support_files),
        (episode.query_images, episode.query_labels, episode.query_files),
    ):
        indices = np.array([place[file] for file in files])
        assert pictures.dtype == torch.float32
        assert torch.equal((pictures * 255).round().to(torch.uint8), images.get(indices))
        assert 0 <= pictures.min() <= pictures.max() <= 1
        names = [images.class_names[label] for label in images.labels[indices]]
        assert names == [episode.class_names[label] for label in labels]


@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6), st.integers(0, 9))
def test_episodes_are_what_they_say(way: int, shot: int, query: int, index: int, seed: int) -> None:
    episode = EpisodeSampler(IMAGES, way, shot, query, seed=seed)[index]
    assert episode.way == way
    assert (episode.source, episode.index) == ("noise", index)
    check(episode, IMAGES, shot, query)


def test_rotated_classes() -> None:
    rotated = IMAGES.with_rotations()
    sampler = EpisodeSampler(rotated, 20, 1, 2)
    for index in range(5):
        check(sampler[index], rotated, 1, 2)


@given(st.permutations(range(6)))
def test_an_episode_does_not_depend_on_those_before(order: list[int]) -> None:
    sampler, fresh = (EpisodeSampler(IMAGES, 3, 2, 2, seed=4) for _ in range(2))
    inorder = [fresh.plan(index) for index in range(6)]
    for index in order:
        for name in ("classes", "support", "support_labels", "query", "query_labels"):
            np.testing.assert_array_equal(getattr(sampler.plan(index), name), getattr(inorder[index], name))


def test_seed_split_and_index_matter() -> None:
    plans = {
        tuple(EpisodeSampler(IMAGES, 5, 2, 2, seed=seed, split=split).plan(index).support.tolist())
        for seed in range(3) for split in ("train", "val") for index in range(10)
    }  # fmt: skip
    assert len(plans) == 60


def test_equals_the_slow_oracle() -> None:
    sampler = EpisodeSampler(IMAGES, 4, 2, 3, seed=7, split="test")
    for index in range(20):
        stream = SlowStream(7, "test", index)
        classes = stream.distinct([7], 4)[0]
        drawn = stream.distinct([len(IMAGES.indices_of(c)) for c in classes], 5)
        pictures = [[int(IMAGES.indices_of(c)[place]) for place in row] for c, row in zip(classes, drawn, strict=True)]
        plan = sampler.plan(index)
        assert plan.classes.tolist() == classes
        assert plan.support.tolist() == [picture for row in pictures for picture in row[:2]]
        assert plan.query.tolist() == [picture for row in pictures for picture in row[2:]]
        assert plan.support_labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert plan.query_labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_a_pinned_episode() -> None:
    """Changes when the episodes of published numbers would change: then it needs a note in the changelog."""
    plan = EpisodeSampler(IMAGES, 3, 1, 2, seed=0, split="test").plan(0)
    assert plan.classes.tolist() == PINNED[0]
    assert plan.support.tolist() == PINNED[1]
    assert plan.query.tolist() == PINNED[2]


MANY = decode(array_source([40, 50, 45, 60, 41]), 4, 3)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 10**6), st.integers(1, 3))
def test_unbalanced_queries(way: int, shot: int, query: int, index: int, dirichlet: int) -> None:
    """As many as in a balanced episode, none of them in the support set, none twice, all of their class."""
    plan = EpisodeSampler(MANY, way, shot, query, dirichlet=dirichlet, seed=1).plan(index)
    assert plan.support_labels.tolist() == np.arange(way).repeat(shot).tolist()
    assert len(plan.query) == len(plan.query_labels) == way * query
    assert len({*plan.query.tolist(), *plan.support.tolist()}) == way * (shot + query)
    assert (MANY.labels[plan.query] == plan.classes[plan.query_labels]).all()


def test_unbalanced_equals_the_slow_oracle() -> None:
    """Gamma(2) variates are sums of two exponential ones; then the largest remainders are rounded up."""
    sampler = EpisodeSampler(MANY, 3, 2, 5, dirichlet=2, seed=7, split="test")
    seen = set()
    for index in range(20):
        stream = SlowStream(7, "test", index)
        classes = stream.distinct([5], 3)[0]
        gammas = [sum(-math.log(1 - stream.uniform()) for _ in range(2)) for _ in range(3)]
        exact = [15 * gamma / sum(gammas) for gamma in gammas]
        counts = [int(number) for number in exact]
        for place in sorted(range(3), key=lambda place: counts[place] - exact[place])[: 15 - sum(counts)]:
            counts[place] += 1
        drawn = stream.distinct([len(MANY.indices_of(c)) for c in classes], 2 + max(counts))
        images = [[int(MANY.indices_of(c)[place]) for place in row] for c, row in zip(classes, drawn, strict=True)]
        plan = sampler.plan(index)
        assert plan.classes.tolist() == classes
        assert plan.support.tolist() == [image for row in images for image in row[:2]]
        assert np.bincount(plan.query_labels, minlength=3).tolist() == counts
        rows = zip(images, counts, strict=True)
        assert plan.query.tolist() == [image for row, count in rows for image in row[2 : 2 + count]]
        seen.add(tuple(counts))
    assert len(seen) > 15


def test_shares_of_the_queries_have_the_moments_of_the_dirichlet_distribution() -> None:
    """Mean 1 / K, variance (K - 1) / (K^2 (K a + 1)): 4 / 275 for five classes and a concentration of 2."""
    shares = np.array([Draws(0, "test").stream(index).dirichlet(5, 2) for index in range(4000)])
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares.mean(0), 0.2, atol=0.01)
    np.testing.assert_allclose(shares.var(0), 4 / 275, rtol=0.1)


def test_unbalanced_queries_that_a_class_may_not_have() -> None:
    message = r"class 'class 0' has 8 usable images, but an episode needs 11 \(1 support and up to 10 query\)"
    with pytest.raises(SourceError, match=message):
        EpisodeSampler(IMAGES, 5, 1, 2, dirichlet=2)
    with pytest.raises(ValueError, match="dirichlet must be at least 0, got -1"):
        EpisodeSampler(IMAGES, 5, 1, 2, dirichlet=-1)


def test_ways_and_shots_to_draw_from() -> None:
    sampler = EpisodeSampler(IMAGES, way=(2, 5), shot=(1, 2, 3), query=1)
    seen = set()
    for index in range(300):
        plan = sampler.plan(index)
        seen.add((len(plan.classes), len(plan.support) // len(plan.classes)))
    assert seen == {(way, shot) for way in (2, 5) for shot in (1, 2, 3)}


def test_every_class_and_picture_is_drawn_equally_often() -> None:
    sampler = EpisodeSampler(IMAGES, 2, 1, 1, seed=3)
    plans = [sampler.plan(index) for index in range(7_000)]
    classes = np.bincount(np.concatenate([plan.classes for plan in plans]), minlength=7)
    assert np.abs(classes - 2000).max() < 5 * np.sqrt(2000)
    support = np.bincount(np.concatenate([plan.support for plan in plans]), minlength=len(IMAGES))
    expected = 2000 / IMAGES.class_sizes[IMAGES.labels]
    assert (np.abs(support - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_loader_workers_give_the_same_episodes(method: str) -> None:
    sampler = EpisodeSampler(IMAGES, 3, 1, 2, seed=1)
    loader = DataLoader(sampler, batch_size=None, sampler=range(4), num_workers=2, multiprocessing_context=method)
    for index, episode in enumerate(loader):
        assert torch.equal(episode.support_images, sampler[index].support_images)
        assert episode.query_files == sampler[index].query_files


def test_moving_an_episode() -> None:
    episode = EpisodeSampler(IMAGES, 3, 1, 2)[0].to("meta")
    assert episode.support_images.device.type == episode.query_labels.device.type == "meta"
    assert episode.way == 3


@pytest.mark.parametrize(("way", "shot", "query", "message"), [
    (8, 1, 1, "noise: way is 8, more than the 7 classes of the images"),
    ((5, 8), 1, 1, "noise: way is 8, more than the 7 classes of the images"),
    (0, 1, 1, "way must be at least 1, got 0"),
    ((), 1, 1, r"way must be at least 1, got \(\)"),
    (5, (1, 0), 1, r"shot must be at least 1, got \(1, 0\)"),
    (5, 1, 0, "query must be at least 1, got 0"),
])  # fmt: skip
def test_numbers_without_meaning(way: object, shot: object, query: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(IMAGES, way, shot, query)


def test_a_class_with_too_few_pictures_is_named() -> None:
    message = (
        r"noise: class 'class 0' has 8 usable images, but an episode needs 10 \(5 support and 5 query\); 4 of "
        r"7 classes are too small. Request fewer, or exclude these classes: images.with_at_least\(10\)"
    )
    with pytest.raises(SourceError, match=message):
        EpisodeSampler(IMAGES, 2, (1, 5), 5)
    assert EpisodeSampler(IMAGES.with_at_least(10), 2, (1, 5), 5)[0].way == 2
