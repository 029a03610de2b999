from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.episodes.rng import Draws
from tests.reference.episodes_rng import SlowStream, philox


def test_the_oracle_is_philox() -> None:
    """Known answers of the generator's authors (Random123's kat_vectors, philox4x64-10)."""
    assert philox((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B
    )  # fmt: skip
    ones = 2**64 - 1
    assert philox((ones,) * 4, (ones,) * 2) == (
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0
    )  # fmt: skip


@given(st.integers(-5, 5), st.text(max_size=5), st.integers(0, 2**40), st.data())
def test_every_draw_equals_the_oracle(seed: int, split: str, index: int, data: st.DataObject) -> None:
    fast, slow = Draws(seed, split).stream(index), SlowStream(seed, split, index)
    for _ in range(data.draw(st.integers(1, 4))):
        count = data.draw(st.integers(1, 6))
        sizes = data.draw(st.lists(st.integers(count, 60), min_size=1, max_size=5))
        assert fast.distinct(np.array(sizes), count).tolist() == slow.distinct(sizes, count)
        assert fast.uniform(3).tolist() == [slow.uniform() for _ in range(3)]
        assert fast.integer(3, 9) == 3 + slow.below(7)


@given(st.lists(st.integers(1, 80), min_size=1, max_size=6), st.integers(0, 1000), st.data())
def test_distinct_draws_are_distinct_and_in_range(sizes: list[int], index: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, min(sizes)))
    chosen = Draws(0, "x").stream(index).distinct(np.array(sizes), count)
    assert chosen.shape == (len(sizes), count)
    for row, size in zip(chosen, sizes, strict=True):
        assert len(set(row.tolist())) == count
        assert 0 <= row.min() <= row.max() < size


@pytest.mark.parametrize(("size", "count"), [(5, 3), (12, 3)], ids=["by sorting", "by drawing again"])
def test_every_ordered_choice_is_equally_likely(size: int, count: int) -> None:
    draws = Draws(1, "uniformity")
    rows = np.full(500, size)
    chosen = np.concatenate([draws.stream(i).distinct(rows, count) for i in range(240)])
    codes = chosen @ (size ** np.arange(count))
    _, counts = np.unique(codes, return_counts=True)
    cells = size * (size - 1) * (size - 2)
    assert len(counts) == cells
    expected = len(chosen) / cells
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_squared - (cells - 1)) < 5 * np.sqrt(2 * (cells - 1))


def test_streams_are_apart() -> None:
    firsts = {
        float(Draws(seed, split).stream(index).uniform(1)[0])
        for seed in range(5) for split in ("train", "val", "test") for index in range(20)
    }  # fmt: skip
    assert len(firsts) == 300


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(IndexError, match="episodes are numbered from 0, got -1"):
        Draws(0, "x").stream(-1)
    with pytest.raises(AttributeError):
        Draws(0, "x").stream(1.5)
