from __future__ import annotations

from collections import Counter

import pytest
import torch

from fewshot_film.data import decode
from fewshot_film.data.image_set import JoinedSet
from fewshot_film.episodes import DomainEpisodes, EpisodeSampler, by_domain
from tests.data.layouts import array_source
from tests.reference.episodes_rng import SlowStream


def named(name: str, sizes: list[int], seed: int):
    source = array_source(sizes, seed=seed)
    source.name = name
    return decode(source, 4, 1)


A, B = named("a", [4] * 5, 1), named("b", [6] * 7, 2)


def test_an_episode_is_the_one_that_its_domain_has_under_that_number() -> None:
    samplers = [EpisodeSampler(images, 3, 1, 2, seed=5) for images in (A, B)]
    mixed = DomainEpisodes(samplers, seed=5)
    assert {mixed.domain_of(index) for index in range(20)} == {0, 1}
    for index in range(20):
        episode, own = mixed[index], samplers[mixed.domain_of(index)][index]
        assert episode.source == own.source == "ab"[mixed.domain_of(index)]
        assert torch.equal(episode.query_images, own.query_images)
        assert episode.support_files == own.support_files


def test_which_domain_equals_the_oracle() -> None:
    mixed = DomainEpisodes([None] * 3, [1, 2, 5], seed=9, split="val")
    for index in range(200):
        share = SlowStream(9, "val/domains", index).uniform()
        assert mixed.domain_of(index) == (share >= 1 / 8) + (share >= 3 / 8)


def test_weights_are_how_often() -> None:
    mixed = DomainEpisodes([None] * 3, [1, 1, 2])
    counts = Counter(mixed.domain_of(index) for index in range(4000))
    expected = {0: 1000, 1: 1000, 2: 2000}
    assert sum((counts[d] - n) ** 2 / n for d, n in expected.items()) < 14  # chance 1e-3 with 2 degrees of freedom


def test_by_domain() -> None:
    def sampler(images):
        return EpisodeSampler(images, 2, 1, 1)

    assert isinstance(by_domain(A, sampler, seed=0), EpisodeSampler)
    mixed = by_domain(JoinedSet([A, B], [1, 1e-9]), sampler, seed=0)
    assert {mixed[index].source for index in range(10)} == {"a"}


def test_a_domain_that_is_too_small_is_named() -> None:
    with pytest.raises(ValueError, match="a: way is 6, more than the 5 classes of the images"):
        by_domain(JoinedSet([A, B]), lambda images: EpisodeSampler(images, 6, 1, 1), seed=0)


def test_weights_without_meaning() -> None:
    for weights in ([1], [1, 0], [1, -1], [1, float("nan")]):
        with pytest.raises(ValueError, match=r"2 domains with weights .*; expected a positive weight for each"):
            DomainEpisodes([None, None], weights)
    with pytest.raises(ValueError, match="0 domains"):
        DomainEpisodes([])
