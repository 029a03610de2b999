"""Random draws that depend on (seed, split, index) and on nothing else.

Every index has its own stream of the counter-based generator Philox 4x64: the key is a digest of seed and
split, the counter starts at the index. Only the raw bits are NumPy's, whose stream is guaranteed across its
versions and machines; what is drawn from them is written out here, so an episode list replays anywhere.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import hashlib
from typing import SupportsIndex

import numpy as np

_HALF = np.uint64(32)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_LOW = np.uint64(0x00000000FFFFFFFF)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


class Draws:
    """The streams of one seed and split."""

    def __init__(self, seed: int, split: str) -> None:
        digest = hashlib.sha256(f"{seed}/{split}".encode()).digest()
        self._key = np.frombuffer(digest[:16], "<u8").astype(np.uint64)

    def stream(self, index: SupportsIndex) -> Stream:
        """The stream of one index.

        Raises:
            IndexError: the index is negative.
        """
        number = index.__index__()
        if number < 0:
            raise IndexError(f"episodes are numbered from 0, got {number}")
        # 2^64 blocks lie between two indices, so no two streams meet.
        return Stream(np.random.Philox(key=self._key, counter=[0, number, 0, 0]))


class Stream:
    """Draws from one stream, in the order they are asked for."""

    def __init__(self, bits: np.random.BitGenerator) -> None:
        self._bits = bits

    def uniform(self, count: int) -> np.ndarray:
        """``(count,)`` float64 in [0, 1), multiples of 2^-53."""
        return (self._bits.random_raw(count) >> np.uint64(11)) * 2.0**-53

    def integers(self, bounds: np.ndarray, count: int) -> np.ndarray:
        """``(len(bounds), count)`` uint64: row r in ``[0, bounds[r])``, with repeats.

        A bound is at most 2^32; the chance of a value is off by at most bound / 2^32 of itself.
        """
        raw = self._bits.random_raw(len(bounds) * count).reshape(len(bounds), count)
        return (raw >> _HALF) * bounds.astype(np.uint64, copy=False)[:, None] >> _HALF

    def integer(self, low: int, high: int) -> int:
        """One integer in ``[low, high]``."""
        return low + int(self.integers(np.array([high - low + 1]), 1)[0, 0])

    def dirichlet(self, count: int, concentration: int) -> np.ndarray:
        """``(count,)`` float64 with the sum 1, from a symmetric Dirichlet distribution.

        Args:
            count: how many shares.
            concentration: at least 1, where all divisions are equally likely; the larger, the more even.
        """
        # gamma variates of an integer shape are sums of exponential ones
        gammas: np.ndarray = -np.log1p(-self.uniform(count * concentration)).reshape(count, concentration).sum(1)
        shares: np.ndarray = gammas / gammas.sum()
        return shares

    def distinct(self, sizes: np.ndarray, count: int) -> np.ndarray:
        """Draw without replacement, for many rows at once.

        Args:
            sizes: ``(R,)``; row r is drawn from ``0 .. sizes[r] - 1``. Each at least ``count``.
            count: how many to draw in every row.

        Returns:
            ``(R, count)`` int64: every ordered choice of a row is equally likely.
        """
        chosen = np.empty((len(sizes), count), np.int64)
        crowded = sizes <= count * count
        if crowded.any():
            chosen[crowded] = self._shuffle(sizes[crowded], count)
        if not crowded.all():
            chosen[~crowded] = self._reject(sizes[~crowded], count)
        return chosen

    def _shuffle(self, sizes: np.ndarray, count: int) -> np.ndarray:
        """Give every candidate a random key and sort; good where few candidates stay unchosen."""
        width = int(sizes.max())
        keys = self._bits.random_raw(len(sizes) * width).reshape(len(sizes), width) & _HIGH
        column = np.arange(width, dtype=np.uint64)
        keys = np.where(column < sizes[:, None].astype(np.uint64), keys | column, _LAST)
        keys.sort(axis=1)
        return (keys[:, :count] & _LOW).astype(np.int64)

    def _reject(self, sizes: np.ndarray, count: int) -> np.ndarray:
        """Draw with replacement and draw again the rows with a repeat; good where repeats are rare."""
        bounds = sizes.astype(np.uint64)
        chosen = self.integers(bounds, count)
        rows = _with_repeats(chosen)
        while len(rows):
            again = self.integers(bounds[rows], count)
            chosen[rows] = again
            rows = rows[_with_repeats(again)]
        return chosen.astype(np.int64)


def _with_repeats(values: np.ndarray) -> np.ndarray:
    """Which rows hold a value twice."""
    ordered = values.copy()
    ordered.sort(axis=1)
    return np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
