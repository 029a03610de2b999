"""Slow oracle of the random draws: Philox 4x64-10 in plain integers, and the choices made from its bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

MASK = (1 << 64) - 1
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """One block of 4 x 64 bits; Salmon et al. (2011), ten rounds."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & MASK, (p0 >> 64) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def bits(seed: int, split: str, index: int) -> Iterator[int]:
    """The endless stream of one episode."""
    digest = hashlib.sha256(f"{seed}/{split}".encode()).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
    block = 0
    while True:
        block += 1
        yield from philox((block, index, 0, 0), key)


class SlowStream:
    """What `fewshot_film.episodes.rng.Stream` draws, one number at a time."""

    def __init__(self, seed: int, split: str, index: int) -> None:
        self.bits = bits(seed, split, index)

    def uniform(self) -> float:
        return (next(self.bits) >> 11) / 2**53

    def below(self, bound: int) -> int:
        return (next(self.bits) >> 32) * bound >> 32

    def distinct(self, sizes: list[int], count: int) -> list[list[int]]:
        chosen: list[list[int]] = [[] for _ in sizes]
        crowded = [row for row, size in enumerate(sizes) if size <= count * count]
        if crowded:
            width = max(sizes[row] for row in crowded)
            for row in crowded:
                keys = [(next(self.bits) >> 32, column) for column in range(width)]
                chosen[row] = [column for _, column in sorted(keys[: sizes[row]])][:count]
        rows = [row for row in range(len(sizes)) if row not in crowded]
        while rows:
            for row in rows:
                chosen[row] = [self.below(sizes[row]) for _ in range(count)]
            rows = [row for row in rows if len(set(chosen[row])) < count]
        return chosen
