"""Slow oracle of Meta-Dataset's sampler, written from its formulas in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from tests.reference.episodes_rng import SlowStream


def num_query(sizes: list[int]) -> int:
    return min([10] + [size // 2 for size in sizes])


def support_size(sizes: list[int], query: int, beta: float) -> int:
    total = 0
    for size in sizes:
        total += math.floor(Fraction(beta) * min(100, size - query) + 1)
    return min(500, total)


def shots(sizes: list[int], query: int, beta: float, log_weights: list[float]) -> list[int]:
    weights = [Fraction(size) * Fraction(math.exp(log)) for size, log in zip(sizes, log_weights, strict=True)]
    spread = support_size(sizes, query, beta) - len(sizes)
    return [
        min(math.floor(weight / sum(weights) * spread) + 1, size - query)
        for weight, size in zip(weights, sizes, strict=True)
    ]


def plan(
    by_class: list[list[int]],
    seed: int,
    split: str,
    index: int,
    nodes: list[list[int]] | None = None,
    alphabets: list[list[int]] | None = None,
) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, int]]]:
    """Classes, and ``(label, picture)`` of support and query, from the images of every class.

    ``nodes`` are the leaves below each inner node of a hierarchy, ``alphabets`` the characters of each alphabet.
    """
    stream = SlowStream(seed, split, index)
    if nodes is not None:
        leaves = [node for node in nodes if 5 <= len(node) <= 392]
        members = leaves[stream.below(len(leaves))]
        way = min(50, len(members))
    elif alphabets is not None:
        large = [alphabet for alphabet in alphabets if len(alphabet) >= 5]
        members = large[stream.below(len(large))]
        way = 5 + stream.below(min(50, len(members)) - 5 + 1)
    else:
        members = list(range(len(by_class)))
        way = 5 + stream.below(min(50, len(members)) - 5 + 1)
    classes = [members[place] for place in stream.distinct([len(members)], way)[0]]
    sizes = [len(by_class[c]) for c in classes]
    query = num_query(sizes)
    beta = stream.uniform()
    log_weights = [math.log(0.5) + (math.log(2) - math.log(0.5)) * stream.uniform() for _ in classes]
    counts = shots(sizes, query, beta, log_weights)
    support, queries = [], []
    for label, (c, count) in enumerate(zip(classes, counts, strict=True)):
        drawn = [by_class[c][place] for place in stream.distinct([sizes[label]], query + count)[0]]
        queries += [(label, picture) for picture in drawn[:query]]
        support += [(label, picture) for picture in drawn[query:]]
    return classes, support, queries


def simulate(sizes: list[int], episodes: int, seed: int) -> list[np.ndarray]:
    """Shots of many episodes of these classes, from NumPy's own generator and the published formulas."""
    rng = np.random.default_rng(seed)
    query = num_query(sizes)
    found = []
    for _ in range(episodes):
        logs = rng.uniform(math.log(0.5), math.log(2), len(sizes)).tolist()
        found.append(np.array(shots(sizes, query, float(rng.uniform()), logs)))
    return found
