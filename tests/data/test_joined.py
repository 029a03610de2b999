from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from fewshot_film.data import ImageSet, SourceError, decode
from fewshot_film.data.image_set import JoinedSet
from tests.data.layouts import array_source


def named(name: str, sizes: list[int], seed: int, *, side: int = 4) -> ImageSet:
    source = array_source(sizes, seed=seed, side=side)
    source.name = name
    return decode(source, side, 1)


@pytest.fixture
def parts() -> list[ImageSet]:
    return [named("a", [2, 3], 1), named("b", [4], 2).with_rotations(), named("c", [1, 1], 3).select(["class 1"])]


def test_pictures_classes_and_files_are_those_of_the_parts(parts: list[ImageSet]) -> None:
    joined = JoinedSet(parts)
    assert joined.name == "a+b+c"
    assert len(joined) == 5 + 16 + 1
    assert joined.class_names[:3] == ("a:class 0", "a:class 1", "b:class 0/rot000")
    assert joined.class_sizes.tolist() == [2, 3, 4, 4, 4, 4, 1]
    order = np.random.default_rng(0).permutation(len(joined))
    expected = torch.cat([part.get(np.arange(len(part))) for part in parts])
    assert torch.equal(joined.get(order), expected[torch.from_numpy(order)])
    assert joined.files[-1] == "c:1"
    assert joined.digests.tolist() == [digest for part in parts for digest in part.digests]
    assert torch.equal(joined.select(["c:class 1"]).get(np.array([0])), parts[2].get(np.array([0])))


def test_a_joined_set_travels(parts: list[ImageSet]) -> None:
    joined = JoinedSet(parts, [1, 2, 3])
    again = pickle.loads(pickle.dumps(joined))
    everything = np.arange(len(joined))
    assert torch.equal(again.get(everything), joined.get(everything))
    assert again.weights == (1, 2, 3)


def test_sets_that_cannot_be_joined(parts: list[ImageSet]) -> None:
    with pytest.raises(SourceError, match="two of the sets to join are called 'a'"):
        JoinedSet([parts[0], parts[0]])
    with pytest.raises(SourceError, match=r"images of different shapes: {'a': \(1, 4, 4\), 'd': \(1, 8, 8\)}"):
        JoinedSet([parts[0], named("d", [2], 0, side=8)])
    for weights in ([1], [1, 2, 0], [1, 2, float("inf")]):
        with pytest.raises(ValueError, match=r"3 sets with weights .*; expected a positive weight for each"):
            JoinedSet(parts, weights)
    with pytest.raises(ValueError, match="0 sets"):
        JoinedSet([])
