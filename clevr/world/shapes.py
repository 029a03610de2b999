"""CLEVR's three bodies: where a ray enters them, and the normal there.

Every body stands in its own frame: middle at the origin, upright, a cube's faces along the axes. Cubes and
cylinders have rounded edges, as the meshes of CLEVR have. A rounded body is a smaller sharp one, thickened
by the bevel. A ray is first met with the sharp outer body, which is elementary. Where it enters near an edge,
Newton's method on the distance to the inner body finds the rounding: distance to a convex body is
convex along a line, so the iteration from outside never overshoots and settles in a few steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clevr.world.vectors import Vec, pick

SPHERE, CUBE, CYLINDER = 0, 1, 2
SHAPE_CODES = {"sphere": SPHERE, "cube": CUBE, "cylinder": CYLINDER}
BEVELS = (0.0, 0.165, 0.05)
"""Rounding of the edges by shape code, as a share of the body's half width."""
BALLS = (1.0, 3.0**0.5, 2.0**0.5)
"""Radius of a ball around a body by shape code, in half widths."""

MISS = float("inf")
_TINY = 1e-9
_FACE = 0.975
"""Part of a body's width that is taken for its inner body at points inside that; less than the bevels leave outside."""
_NEWTON_STEPS = 6
_ON_SURFACE = 2e-3
"""Newton's last distance from a rounded edge, in bevels, below which the ray counts as a hit."""


def enter(shape: int, origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    """Ray parameter at which rays from outside enter a body, ``MISS`` where they do not.

    Args:
        shape: code of the body's shape.
        origin: starts of the rays, in the body's frame.
        direction: directions, of any length; the parameter is in units of it.
        half: half the body's width.
    Returns:
        Parameters, broadcast over the arguments; only entries at positive parameters count.
    """
    if shape == SPHERE:
        return _enter_sphere(origin, direction, half)
    outer = _enter_cube if shape == CUBE else _enter_cylinder
    t = outer(origin, direction, half)
    bevel = half * BEVELS[shape]
    point = origin + direction * t
    excess = _excess(shape, point, half - bevel)
    index = ((t < MISS) & (_second(excess) > 0)).reshape(-1).nonzero()[:, 0]
    x, y, z, dx, dy, dz, size, sharp = (
        pick(part.expand(t.shape).reshape(-1), index) for part in (*_parts(origin), *_parts(direction), half, t)
    )
    t.view(-1).index_copy_(0, index, _refine(shape, Vec(x, y, z), Vec(dx, dy, dz), size, sharp))
    return t


def normal(shape: int, point: Vec, half: Tensor) -> Vec:
    """Outward unit normals at points on the surface of a body, in its frame.

    Points somewhat inside get the normal of the nearest face: the mean of rays on either side of an edge lies there.
    """
    if shape == SPHERE:
        return point.unit()
    inner = half * (1.0 - BEVELS[shape])
    if shape == CUBE:
        widest = torch.maximum(torch.maximum(point.x.abs(), point.y.abs()), point.z.abs())
        inner = torch.minimum(inner, widest * _FACE)
        return Vec(*(p - p.clamp(-inner, inner) for p in _parts(point))).unit()
    radius = (point.x * point.x + point.y * point.y).sqrt().clamp(min=_TINY)
    inner = torch.minimum(inner, torch.maximum(radius, point.z.abs()) * _FACE)
    out = (radius - inner).clamp(min=0.0) / radius
    return Vec(point.x * out, point.y * out, point.z - point.z.clamp(-inner, inner)).unit()


def _parts(vec: Vec) -> tuple[Tensor, Tensor, Tensor]:
    return vec.x, vec.y, vec.z


def _enter_sphere(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    square = direction.dot(direction)
    nearest = -origin.dot(direction) / square
    miss = origin + direction * nearest
    under = half * half - miss.dot(miss)
    t = nearest - (under.clamp(min=0.0) / square).sqrt()
    return torch.where((under > 0) & (t > 0), t, MISS)


def _enter_cube(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    near, far = _slab(origin.x, direction.x, half)
    for o, d in ((origin.y, direction.y), (origin.z, direction.z)):
        first, last = _slab(o, d, half)
        near, far = torch.maximum(near, first), torch.minimum(far, last)
    return torch.where((near < far) & (near > 0), near, MISS)


def _enter_cylinder(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    square = (direction.x * direction.x + direction.y * direction.y).clamp(min=_TINY)
    nearest = -(origin.x * direction.x + origin.y * direction.y) / square
    miss_x, miss_y = origin.x + direction.x * nearest, origin.y + direction.y * nearest
    under = half * half - (miss_x * miss_x + miss_y * miss_y)
    along = (under.clamp(min=0.0) / square).sqrt()
    first, last = _slab(origin.z, direction.z, half)
    near, far = torch.maximum(nearest - along, first), torch.minimum(nearest + along, last)
    return torch.where((under > 0) & (near < far) & (near > 0), near, MISS)


def _slab(origin: Tensor, direction: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Where a line enters and leaves the space between two planes."""
    inverse = 1.0 / torch.where(direction.abs() < _TINY, _TINY, direction)
    middle, reach = -origin * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def _excess(shape: int, point: Vec, inner: Tensor) -> list[Tensor]:
    """How far points lie beyond each pair of faces (or the wall) of the inner body."""
    if shape == CUBE:
        return [p.abs() - inner for p in _parts(point)]
    return [(point.x * point.x + point.y * point.y).sqrt() - inner, point.z.abs() - inner]


def _second(excess: list[Tensor]) -> Tensor:
    """The second largest of two or three."""
    a, b = torch.minimum(*excess[:2]), torch.maximum(*excess[:2])
    return a if len(excess) == 2 else torch.maximum(a, torch.minimum(b, excess[2]))


def _refine(shape: int, origin: Vec, direction: Vec, half: Tensor, t: Tensor) -> Tensor:
    """Move parameters on the sharp outer body inward to the rounded one, ``MISS`` where the ray passes it."""
    bevel = half * BEVELS[shape]
    inner = half - bevel
    distance = torch.zeros_like(t)
    for _ in range(_NEWTON_STEPS):
        point = origin + direction * t
        excess = [e.clamp(min=0.0) for e in _excess(shape, point, inner)]
        length = sum(e * e for e in excess).sqrt().clamp(min=_TINY)  # type: ignore[union-attr]
        distance = length - bevel
        slope = _slope(shape, point, direction, excess) / length
        step = distance.clamp(min=0.0) / (-slope).clamp(min=_TINY)
        t = torch.where((slope < 0) & (t < MISS), t + step, torch.where(distance > 0, MISS, t))
    return torch.where(distance < bevel * _ON_SURFACE, t, MISS)


def _slope(shape: int, point: Vec, direction: Vec, excess: list[Tensor]) -> Tensor:
    """Change of half the squared distance to the inner body along the ray."""
    if shape == CUBE:
        x, y, z = excess
        return x * point.x.sign() * direction.x + y * point.y.sign() * direction.y + z * point.z.sign() * direction.z
    radius = (point.x * point.x + point.y * point.y).sqrt().clamp(min=_TINY)
    outward = (point.x * direction.x + point.y * direction.y) / radius
    return excess[0] * outward + excess[1] * point.z.sign() * direction.z
