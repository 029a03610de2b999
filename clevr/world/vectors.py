"""Lists of points in space: vectors kept as three tensors, and points in packets of near ones.

A ray caster works on long flat lists of points. Separate components keep every operation a plain
elementwise one: no strides, and only ``+ - * / sqrt``, which IEEE 754 rounds exactly. So an image
does not depend on its place in the batch, and hardly on the device.

The points of a row of a packet lie near each other, in one scene. What may matter to any of them is found for the row
as a whole, from a ball around it, and once more for each of the row's parts. What is left is worked out for all points
of a part: a CPU fetches and stores points that follow each other many times as fast as single ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def pick(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` for an index without negative numbers: several times as fast on a CPU."""
    if index.dim() == 1:
        return values.index_select(0, index)
    return values.index_select(0, index.reshape(-1)).reshape(*index.shape, *values.shape[1:])


@dataclass(frozen=True, slots=True)
class Vec:
    """A list of vectors: ``x``, ``y`` and ``z`` broadcast against each other."""

    x: Tensor
    y: Tensor
    z: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Vec:
        """Split ``(..., 3)`` into its components."""
        x, y, z = rows.unbind(-1)
        return cls(x.contiguous(), y.contiguous(), z.contiguous())

    def __add__(self, other: Vec) -> Vec:
        return Vec(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: Vec) -> Vec:
        return Vec(self.x - other.x, self.y - other.y, self.z - other.z)

    def __mul__(self, factor: Tensor | float) -> Vec:
        return Vec(self.x * factor, self.y * factor, self.z * factor)

    def __getitem__(self, index: Tensor) -> Vec:
        return Vec(pick(self.x, index), pick(self.y, index), pick(self.z, index))

    def dot(self, other: Vec) -> Tensor:
        """Inner products."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def cross(self, other: Vec) -> Vec:
        """Cross products."""
        return Vec(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )

    def unit(self) -> Vec:
        """The same directions at length one."""
        return self * (1.0 / self.dot(self).sqrt())

    def reflect(self, normal: Vec) -> Vec:
        """Mirror directions at surfaces with unit normals ``normal``."""
        return self - normal * (2.0 * self.dot(normal))

    def rotate(self, cos: Tensor, sin: Tensor) -> Vec:
        """Turn about the vertical axis by the angle with this cosine and sine."""
        return Vec(cos * self.x - sin * self.y, sin * self.x + cos * self.y, self.z)

    def reshape(self, *shape: int) -> Vec:
        """The same vectors in another shape."""
        return Vec(self.x.reshape(shape), self.y.reshape(shape), self.z.reshape(shape))

    def column(self) -> Vec:
        """Append an axis of length one, to broadcast against rows of points."""
        return Vec(self.x.unsqueeze(-1), self.y.unsqueeze(-1), self.z.unsqueeze(-1))


PART = 16
"""Points in a part of a row."""
PARTS = 4
"""Parts in a row."""
ROW_LENGTH = PART * PARTS
"""Points in a row."""


@dataclass(frozen=True)
class RayPackets:
    """``n`` rows of ``ROW_LENGTH`` points each."""

    scene: Tensor
    """``(n,)`` int64."""
    points: Vec
    """``(n, ROW_LENGTH)``."""
    middle: Vec
    """``(n,)``: with ``radius``, a ball around each row."""
    radius: Tensor
    part_middle: Vec
    """``(n PARTS,)``: with ``part_radius``, a ball around each part."""
    part_radius: Tensor

    @classmethod
    def of(cls, scene: Tensor, points: Vec) -> RayPackets:
        """Packets of these points, ``(n, ROW_LENGTH)``."""
        parts = points.reshape(-1, PART)
        part_middle, part_radius = _balls(parts, 0.0)
        middle, radius = _balls(part_middle.reshape(-1, PARTS), part_radius.reshape(-1, PARTS))
        return cls(scene, points, middle, radius, part_middle, part_radius)


_PIECE = 1 << 16
"""Points of which balls are found at once: as many as the caches hold."""


def _balls(points: Vec, radius: Tensor | float) -> tuple[Vec, Tensor]:
    """``(n,)`` each: middles and radii of balls around rows ``(n, k)`` of balls."""
    first, last = (Vec(*(part[:, i] for part in (points.x, points.y, points.z))) for i in (0, -1))
    middle = (first + last) * 0.5
    if isinstance(radius, Tensor):
        offset = points - middle.column()
        return middle, (offset.dot(offset).sqrt() + radius).amax(1)
    size = _PIECE // points.x.shape[1]
    split = [part.split(size) for part in (points.x, points.y, points.z, middle.x, middle.y, middle.z)]
    squares = []
    for x, y, z, at_x, at_y, at_z in zip(*split, strict=True):
        offset = Vec(x - at_x[:, None], y - at_y[:, None], z - at_z[:, None])
        squares.append(offset.dot(offset).amax(1))
    return middle, torch.cat(squares).sqrt() + radius


def cut(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a list into rows within which keys are equal; equal keys follow each other in the list.

    Args:
        keys: ``(m,)``.
    Returns:
        The rows' keys ``(n, 1)`` and, ``(n, ROW_LENGTH)``, places in the list. A run of keys that ends within a row
        fills it with its last place.
    """
    values, counts = torch.unique_consecutive(keys, return_counts=True)
    rows = (counts + (ROW_LENGTH - 1)) // ROW_LENGTH
    run = torch.arange(len(values), device=keys.device).repeat_interleave(rows)
    number = torch.arange(len(run), device=keys.device) - pick(rows.cumsum(0) - rows, run)
    place = number[:, None] * ROW_LENGTH + torch.arange(ROW_LENGTH, device=keys.device)
    place = torch.minimum(place, pick(counts - 1, run)[:, None]) + pick(counts.cumsum(0) - counts, run)[:, None]
    return pick(values, run)[:, None], place
