"""SGD on a linear or cosine classifier, with gradients written out: double precision, one image at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def logits(features: Array, weight: Array, bias: Array, head: str, scale: float) -> Array:
    """(B, way)."""
    if head == "linear":
        return features @ weight.T + bias
    lengths = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    return scale * (features @ weight.T) / lengths


def gradient(x: Array, label: int, weight: Array, bias: Array, head: str, scale: float) -> tuple[Array, Array]:
    """Of the cross-entropy of one image, in weights and biases."""
    found = logits(x[None], weight, bias, head, scale)[0]
    shares = np.exp(found - found.max())
    shares /= shares.sum()
    shares[label] -= 1
    if head == "linear":
        return shares[:, None] * x, shares
    direction = x / np.linalg.norm(x)
    rows = []
    for share, row in zip(shares, weight, strict=True):
        length = np.linalg.norm(row)
        unit = row / length
        rows.append(share * scale * (direction - (direction @ unit) * unit) / length)
    return np.array(rows), np.zeros_like(bias)


def train(
    features: Array, members: NDArray[np.int64], head: str, orders: Sequence[NDArray[np.int64]],
    *, batch_size: int, rate: float, decay: float, scale: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Weights and biases after all passes; momentum and dampening are 0.9."""
    way = members.max() + 1
    means = np.array([features[members == label].mean(0) for label in range(way)])
    values = [np.zeros_like(means) if head == "linear" else means, np.zeros(way)]
    velocity: list[Array] | None = None
    for order in orders:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            parts = [gradient(features[i], members[i], *values, head, scale) for i in batch]
            slopes = [sum(part[k] for part in parts) / len(batch) + decay * values[k] for k in (0, 1)]
            if velocity is None:
                velocity = slopes
            else:
                velocity = [0.9 * v + 0.1 * slope for v, slope in zip(velocity, slopes, strict=True)]
            values = [value - rate * v for value, v in zip(values, velocity, strict=True)]
    return values[0], values[1]
