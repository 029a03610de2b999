"""Find images that are equal, pixel for pixel, after decoding."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Repeats:
    """Pairs of positions ``(later, first)`` whose images are equal."""

    within: list[tuple[int, int]]
    """Both are of one class."""
    across: list[tuple[int, int]]
    """They are of different classes: the same image has two answers."""


def image_digest(pixels: np.ndarray) -> int:
    """64 bits of the SHA-256 of an image's pixels: 100,000 images collide with a chance of 3e-10."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(pixels).data).digest()[:8], "little")


def find_repeats(labels: np.ndarray, digests: np.ndarray) -> Repeats:
    """Compare every image with the first of its class, and the first of any class, that equals it.

    Args:
        labels: ``(N,)`` class of every image.
        digests: ``(N,)`` uint64, see `image_digest`.
    """
    within: list[tuple[int, int]] = []
    across: list[tuple[int, int]] = []
    _, inverse, counts = np.unique(digests, return_inverse=True, return_counts=True)
    first_of: dict[tuple[int, int], int] = {}
    first_of_any: dict[int, int] = {}
    for row in np.flatnonzero(counts[inverse] > 1).tolist():
        group, label = int(inverse[row]), int(labels[row])
        first = first_of.setdefault((group, label), row)
        if first != row:
            within.append((row, first))
            continue
        first_anywhere = first_of_any.setdefault(group, row)
        if first_anywhere != row:
            across.append((row, first_anywhere))
    return Repeats(within, across)
