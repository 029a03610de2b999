from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.data import SourceError, decode
from fewshot_film.data.image_set import ImageSet
from tests.data.layouts import array_source

IMAGES = decode(array_source([3, 5, 2]), 4, 1)


def pixels(images: ImageSet) -> torch.Tensor:
    return images.get(np.arange(len(images)))


def test_classes() -> None:
    assert IMAGES.class_sizes.tolist() == [3, 5, 2]
    assert [IMAGES.indices_of(label).tolist() for label in range(3)] == [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9]]
    assert IMAGES.locate(np.array([2, 0]), np.array([[1, 0], [2, 2]])).tolist() == [[9, 8], [2, 2]]
    assert repr(IMAGES) == "ImageSet('noise', 3 classes, 10 images of 1x4x4)"


@given(st.permutations(range(10)))
def test_get_follows_the_order_asked_for(order: list[int]) -> None:
    assert torch.equal(IMAGES.get(np.array(order)), pixels(IMAGES)[order])


def test_get_gives_a_copy() -> None:
    IMAGES.get(np.array([0])).zero_()
    assert IMAGES.get(np.array([0])).any()


@given(st.permutations(["class 0", "class 1", "class 2"]), st.integers(1, 3))
def test_select_renumbers_in_the_order_given(names: list[str], count: int) -> None:
    chosen = IMAGES.select(names[:count])
    assert chosen.class_names == tuple(names[:count])
    for label, name in enumerate(names[:count]):
        old = IMAGES.indices_of(IMAGES.class_names.index(name))
        new = chosen.indices_of(label)
        assert torch.equal(chosen.get(new), IMAGES.get(old))
        assert [chosen.files[i] for i in new] == [IMAGES.files[i] for i in old]
        np.testing.assert_array_equal(chosen.digests[new], IMAGES.digests[old])


def test_select_refuses_unknown_and_repeated_classes() -> None:
    with pytest.raises(SourceError, match="noise: 1 of 2 requested classes do not exist: 'dog'; it has 3 classes"):
        IMAGES.select(["class 0", "dog"])
    with pytest.raises(SourceError, match="noise: classes requested twice: 'class 1'"):
        IMAGES.select(["class 1", "class 1"])


def test_rotations_are_anticlockwise_quarter_turns() -> None:
    turned = IMAGES.with_rotations()
    assert turned.class_names[4:8] == tuple(f"class 1/rot{degrees}" for degrees in ("000", "090", "180", "270"))
    assert turned.class_sizes.tolist() == [3] * 4 + [5] * 4 + [2] * 4
    for old in range(3):
        original = IMAGES.get(IMAGES.indices_of(old))
        for turn in range(4):
            new = turned.indices_of(4 * old + turn)
            assert torch.equal(turned.get(new), torch.rot90(original, turn, (2, 3)))
    assert len(set(turned.files)) == 40
    assert turned.files[turned.indices_of(1)[0]] == "0#rot090"


def test_rotating_and_selecting_commute() -> None:
    one = IMAGES.with_rotations().select(["class 2/rot180"])
    two = IMAGES.select(["class 2"]).with_rotations().select(["class 2/rot180"])
    assert torch.equal(pixels(one), pixels(two))


def test_with_at_least(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert IMAGES.with_at_least(3).class_names == ("class 0", "class 1")
    assert "noise: left out 1 of 3 classes with fewer than 3 images" in caplog.text
    assert IMAGES.with_at_least(2) is IMAGES
