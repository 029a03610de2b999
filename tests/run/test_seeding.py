"""Generators that are functions of what they are for."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.run.seeding import derived_seed, generator, numpy_generator

KEYS = st.lists(st.text() | st.integers(), max_size=4)


def test_pinned():
    """The same on every machine, for ever: stored episodes depend on it."""
    # printf '[7, "test", 3]' | sha256sum: 8f3f34655bf68fae..., without the last bit of these 64
    assert derived_seed(7, "test", 3) == 0x8F3F34655BF68FAE >> 1
    assert derived_seed(0) == 7520536977032167579
    assert derived_seed(7, "test", 3) == 5161013240447846359
    assert torch.randint(1000, (4,), generator=generator(7, "test", 3)).tolist() == [989, 845, 671, 364]
    assert numpy_generator(7, "test", 3).integers(1000, size=4).tolist() == [430, 269, 659, 305]


@given(KEYS, KEYS, st.integers(0, 2**70))
def test_different_keys_give_different_seeds(first, second, seed):
    assert 0 <= derived_seed(seed, *first) < 2**63
    assert (derived_seed(seed, *first) == derived_seed(seed, *second)) == (first == second)


def test_text_is_not_a_number():
    assert derived_seed(0, "1") != derived_seed(0, 1)
    assert derived_seed(0, 1) == derived_seed(0, np.int64(1))
    assert derived_seed(1, 2) != derived_seed(12)


def test_other_keys_are_refused():
    with pytest.raises(TypeError, match="float"):
        derived_seed(0, 1.5)
    with pytest.raises(TypeError):
        derived_seed("0.5", None)


def test_global_generators_are_left_alone():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    torch.rand(3, generator=generator(0, "a"))
    numpy_generator(0, "a").random(3)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


def test_generators_are_independent():
    assert not torch.equal(torch.rand(9, generator=generator(0, "a")), torch.rand(9, generator=generator(0, "b")))
    first, second = (numpy_generator(0, "x", index).random(2000) for index in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
