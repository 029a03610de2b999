"""Points in rows: those of a row lie near each other, in one scene.

What may matter to any point of a row is found for the row as a whole, from a ball around it, and once more for each of
the row's parts. What is left is worked out for all points of a part: a CPU fetches and stores points that follow each
other many times as fast as single ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.vectors import Vec, pick

PART = 16
"""Points in a part of a row."""
PARTS = 4
"""Parts in a row."""
LENGTH = PART * PARTS
"""Points in a row."""


@dataclass(frozen=True)
class RayPackets:
    """``n`` rows of ``LENGTH`` points each."""

    scene: Tensor
    """``(n,)`` int64."""
    points: Vec
    """``(n, LENGTH)``."""
    middle: Vec
    """``(n,)``: with ``radius``, a ball around each row."""
    radius: Tensor
    part_middle: Vec
    """``(n PARTS,)``: with ``part_radius``, a ball around each part."""
    part_radius: Tensor

    @classmethod
    def of(cls, scene: Tensor, points: Vec) -> RayPackets:
        """Packets of these points, ``(n, LENGTH)``."""
        parts = points.reshape(-1, PART)
        part_middle, part_radius = _balls(parts, 0.0)
        middle, radius = _balls(part_middle.reshape(-1, PARTS), part_radius.reshape(-1, PARTS))
        return cls(scene, points, middle, radius, part_middle, part_radius)


def _balls(points: Vec, radius: Tensor | float) -> tuple[Vec, Tensor]:
    """``(n,)`` each: middles and radii of balls around rows ``(n, k)`` of balls."""
    first, last = (Vec(*(part[:, i] for part in (points.x, points.y, points.z))) for i in (0, -1))
    middle = (first + last) * 0.5
    offset = points - middle.column()
    return middle, (offset.dot(offset).sqrt() + radius).amax(1)


def cut(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a list into rows within which keys are equal; equal keys follow each other in the list.

    Args:
        keys: ``(m,)``.
    Returns:
        The rows' keys ``(n, 1)`` and, ``(n, LENGTH)``, places in the list. A run of keys that ends within a row fills
        it with its last place.
    """
    values, counts = torch.unique_consecutive(keys, return_counts=True)
    rows = (counts + (LENGTH - 1)) // LENGTH
    run = torch.arange(len(values), device=keys.device).repeat_interleave(rows)
    number = torch.arange(len(run), device=keys.device) - pick(rows.cumsum(0) - rows, run)
    place = number[:, None] * LENGTH + torch.arange(LENGTH, device=keys.device)
    place = torch.minimum(place, pick(counts - 1, run)[:, None]) + pick(counts.cumsum(0) - counts, run)[:, None]
    return pick(values, run)[:, None], place
