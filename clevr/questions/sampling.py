"""Random choices that are the same on every machine and cheap enough to make a hundred a question."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class StableRandom:
    """Random choices, all made from ``random.Random.random``: the one draw that no release changes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.random = random.Random(int(rng.integers(1 << 63))).random

    def pick(self, options: Sequence[T]) -> T:
        """One of some options, each equally likely."""
        return options[int(self.random() * len(options))]

    def weigh(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of some options, with probabilities in proportion to the weights."""
        mark = self.random() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0:
                return option
        return options[-1]

    def order(self, weights: Sequence[float]) -> list[int]:
        """All places of a sequence in random order, those of large weight early.

        The first places are draws in proportion to the weights without replacement
        (Efraimidis and Spirakis 2006: sort by ``u ** (1 / weight)``).
        """
        keys = [self.random() ** (1 / weight) for weight in weights]
        return sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
