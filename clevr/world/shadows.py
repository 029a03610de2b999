"""Soft shadows in closed form: how much of a small area light a convex body hides.

Seen from a point, a lamp of radius ``r`` at the end of the segment ``p + t d`` (``t = 1``) fills a cone
whose radius grows as ``r t``. Where the axis of that cone passes a silhouette edge of a body at signed
distance ``c`` (positive inside) and at parameter ``t``, the edge cuts the lamp's disc at ``c / (r t)``.
For a box, a cylinder and a sphere the distance to every silhouette edge is elementary:

* box: the edge between faces ``i`` and ``j`` is missed by ``(far_j - near_i) |d_i d_j| / sqrt(d_i^2 + d_j^2)``
  where ``near`` and ``far`` are where the line enters and leaves the two slabs;
* cylinder: radius less distance to the axis, and the same rule between cap and wall at the rim (beyond the rim, the
  distance to its tangent);
* sphere: radius less distance to the centre.

A rounded edge is a sharp edge of a smaller body moved out by the bevel. No samples, hence no grain, and a
picture costs about one hard shadow test. ``tests/reference`` has the brute-force answer it is held to.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from clevr.world.shapes import BEVELS, CUBE, SPHERE
from clevr.world.vectors import Vec

_TINY = 1e-6
_NEAREST = 1e-3
"""Smallest segment parameter at which an edge counts: a contact shadow is sharp, not infinitely so."""


def cover(shape: int, origin: Vec, segment: Vec, half: Tensor, lamp: Tensor | float) -> Tensor:
    """Share of a lamp that a body hides.

    Args:
        shape: code of the body's shape.
        origin: points in the body's frame.
        segment: from the points to the lamp's middle.
        half: half the body's width.
        lamp: radius of the lamp.
    Returns:
        Values in [0, 1], broadcast over the arguments.
    """
    if shape == SPHERE:
        return sphere_cover(origin, segment, half, lamp)
    rounded = cube_cover if shape == CUBE else cylinder_cover
    return rounded(origin, segment, half, half * BEVELS[shape], lamp)


def sphere_cover(origin: Vec, segment: Vec, radius: Tensor, lamp: Tensor | float) -> Tensor:
    """Share of the lamp that a sphere hides."""
    nearest = (-origin.dot(segment) / segment.dot(segment)).clamp(_NEAREST, 1.0)
    miss = origin + segment * nearest
    return _share((radius - miss.dot(miss).sqrt()) / (nearest * lamp))


def cube_cover(origin: Vec, segment: Vec, half: Tensor, bevel: Tensor, lamp: Tensor | float) -> Tensor:
    """Share of the lamp that a cube with rounded edges hides; ``half`` is half its width."""
    inner = half - bevel
    nearest = (-origin.dot(segment) / segment.dot(segment)).clamp(_NEAREST, 1.0)
    inside: list[Tensor] = []
    inverse, middle, reach = [], [], []
    for o, d in ((origin.x, segment.x), (origin.y, segment.y), (origin.z, segment.z)):
        inverse.append(1.0 / torch.where(d.abs() < _TINY, _TINY, d))
        middle.append(-o * inverse[-1])
        reach.append(inner * inverse[-1].abs())
        leaving = middle[-1] + half * inverse[-1].abs() <= 0
        beside = (half - (o + d * nearest).abs()) / (nearest * lamp)
        inside.append(torch.where(leaving, beside, 1.0))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        width = 1.0 / (inverse[i] * inverse[i] + inverse[j] * inverse[j]).sqrt()
        for a, b in ((i, j), (j, i)):
            near, far = middle[a] - reach[a], middle[b] + reach[b]
            inside.append(((far - near) * width + bevel) / (_depth(near, far) * lamp))
    return _share(reduce(torch.minimum, inside))


def cylinder_cover(origin: Vec, segment: Vec, half: Tensor, bevel: Tensor, lamp: Tensor | float) -> Tensor:
    """Share of the lamp that an upright cylinder hides; ``half`` is its radius and half its height."""
    inner = half - bevel
    flat = (segment.x * segment.x + segment.y * segment.y).clamp(min=_TINY * _TINY)
    length = flat.sqrt()
    nearest = -(origin.x * segment.x + origin.y * segment.y) / flat
    miss = (origin.x * segment.y - origin.y * segment.x).abs() / length
    chord = (inner * inner - miss * miss).clamp(min=0.0).sqrt()
    along = chord / length
    inverse = 1.0 / torch.where(segment.z.abs() < _TINY, _TINY, segment.z)
    middle, reach = -origin.z * inverse, inner * inverse.abs()
    wall = chord * length / inner
    width = wall / (1.0 + wall * wall * inverse * inverse).sqrt()
    passing = nearest.clamp(_NEAREST, 1.0)
    inside = (half - _from_axis(origin, segment, passing)[0]) / (passing * lamp)
    low, high = middle - reach, middle + reach
    for near, far, cap in ((nearest - along, high, high), (low, nearest + along, low)):
        away, outward = _from_axis(origin, segment, cap)
        short = (inner - away).clamp(max=0.0) / (1.0 + outward * outward * inverse * inverse).sqrt()
        gap = far - near
        distance = torch.where(gap > 0, gap * width, short) + bevel
        inside = torch.minimum(inside, distance / (_depth(near, far) * lamp))
    return _share(inside) * (middle + half * inverse.abs() > 0)


def _from_axis(origin: Vec, segment: Vec, t: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from the vertical axis of the points at ``t``, and how fast it grows with ``t``."""
    x, y = origin.x + segment.x * t, origin.y + segment.y * t
    away = (x * x + y * y).sqrt().clamp(min=_TINY)
    return away, (x * segment.x + y * segment.y) / away


def _depth(near: Tensor, far: Tensor) -> Tensor:
    """Segment parameter at which the line passes the edge between two faces."""
    return ((far + near) * 0.5).clamp(_NEAREST, 1.0)


def _share(cut: Tensor) -> Tensor:
    """Share of a disc on one side of a line at ``cut`` radii from its middle (within 0.007)."""
    cut = cut.clamp(-1.0, 1.0)
    return 0.5 + cut * (0.66 - 0.16 * cut * cut)
