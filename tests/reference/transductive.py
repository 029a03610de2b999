"""Transductive methods image by image: double precision, plain loops, in the notation of the papers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit(features: Array) -> Array:
    """Rows of length 1."""
    return np.array([row / np.sqrt((row**2).sum()) for row in features])


def class_means(features: Array, shares: Array) -> Array:
    """Mean of every class, (way, D), by the shares of the images, (M, way)."""
    return np.array(
        [
            sum(share * row for share, row in zip(column, features, strict=True)) / column.sum()
            for column in shares.T
        ]
    )  # fmt: skip


def squared_distances(rows: Array, centres: Array) -> Array:
    """(M, way)."""
    return np.array([[((row - centre) ** 2).sum() for centre in centres] for row in rows])


def softmax(logits: Array) -> Array:
    """Shares of every row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sinkhorn(cost: Array, rows: Array, columns: Array, penalty: float, steps: int = 20_000) -> Array:
    """The transport plan: rows and columns are scaled in turn until nothing changes."""
    plan = np.exp(-penalty * cost)
    for _ in range(steps):
        before = plan.copy()
        for row in range(len(plan)):
            plan[row] *= rows[row] / plan[row].sum()
        for column in range(plan.shape[1]):
            plan[:, column] *= columns[column] / plan[:, column].sum()
        if np.abs(plan - before).max() < 1e-15:
            break
    return plan


def soft_kmeans(support: Array, members: Array, queries: Array, scale: float, steps: int) -> Array:
    """Logits of the queries by the refined class means."""
    means = class_means(support, members)
    for _ in range(steps):
        shares = softmax(-scale * squared_distances(queries, means))
        means = class_means(np.concatenate([support, queries]), np.concatenate([members, shares]))
    return -scale * squared_distances(queries, means)


def pt_map(support: Array, members: Array, queries: Array, steps: int, rate: float, penalty: float) -> Array:
    """The plan from the queries to the last centres."""
    way = members.shape[1]
    centres = class_means(support, members)
    sums = (np.ones(len(queries)), np.full(way, len(queries) / way))
    for _ in range(steps):
        plan = sinkhorn(squared_distances(queries, centres), *sums, penalty)
        for label in range(way):
            total = sum(support[members[:, label] == 1]) + sum(plan[i, label] * queries[i] for i in range(len(queries)))
            estimate = total / (members[:, label].sum() + plan[:, label].sum())
            centres[label] = centres[label] + rate * (estimate - centres[label])
    return sinkhorn(squared_distances(queries, centres), *sums, penalty)


def self_transport(features: Array) -> Array:
    """Affinities of all images."""
    rows = unit(features)
    cost = squared_distances(rows, rows)
    np.fill_diagonal(cost, 1e9)
    plan = sinkhorn(cost, np.ones(len(rows)), np.ones(len(rows)), 10.0)
    np.fill_diagonal(plan, 1)
    return plan
