"""Cone, torus and capsule: bodies that worlds of one's own may have beside CLEVR's three.

In its frame a body has its middle at the origin; ``half`` is half its width. The cone stands on a base of radius
``half`` and is as high as it is wide; the torus lies flat; the capsule is upright, as high as a cube of its size.
Cone and capsule are met by rays in closed form, the torus by steps of the distance to it (sphere tracing), which never
overshoot, then Newton's method.

Soft shadows of all three come from the signed distance ``s`` to the body: a lamp of radius ``r`` at the end of a
segment is cut at ``-s / (r t)`` where that is largest along the segment (:mod:`clevr.world.lighting`). For a convex
body ``s / t`` falls, then rises along the segment, so a golden-section search finds the place; around the torus some
samples say first where to search.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clevr.world.vectors import Vec

CONE, TORUS, CAPSULE = 3, 4, 5
SLOPE = 0.5
"""By how much the radius of a cone falls over its height."""
TUBE = 0.35
"""Radius of a torus's tube, in half widths."""
RING = 1.0 - TUBE
"""Radius of the circle that its tube follows."""
STEM = 0.55
"""Radius of a capsule."""
REACH = 1.0 - STEM
"""Half the length of the line that a capsule surrounds."""

_MISS = float("inf")
_TINY = 1e-9
_STEPS = 48
_CLOSE = 1e-3
"""Distance from a torus, in half widths, below which a ray counts as a hit."""
_SAMPLES = 9
_GOLDEN = 0.6180339887498949
_SEARCHES = 9
_NEAREST = 1e-3
"""Smallest segment parameter at which a body casts a shadow: a contact shadow is sharp, not infinitely so."""


def enter(shape: int, origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    """Ray parameter at which rays from outside enter a body; see :func:`clevr.world.primitives.enter`."""
    if shape == CONE:
        return _enter_cone(origin, direction, half)
    return _enter_torus(origin, direction, half) if shape == TORUS else _enter_capsule(origin, direction, half)


def normal(shape: int, point: Vec, half: Tensor) -> Vec:
    """Outward unit normals at points on the surface; see :func:`clevr.world.primitives.normal`."""
    radius = _radius(point).clamp(min=_TINY)
    if shape == CAPSULE:
        reach = half * REACH
        return Vec(point.x, point.y, point.z - point.z.clamp(-reach, reach)).unit()
    if shape == TORUS:
        out = 1.0 - half * RING / radius
        return Vec(point.x * out, point.y * out, point.z).unit()
    inward = 1.0 / (1.0 + SLOPE * SLOPE) ** 0.5
    on_base = ((half - point.z) * SLOPE - radius) * inward > point.z + half
    side, up = torch.where(on_base, 0.0, inward), torch.where(on_base, -1.0, SLOPE * inward)
    return Vec(point.x / radius * side, point.y / radius * side, up)


def distance(shape: int, point: Vec, half: Tensor) -> Tensor:
    """Signed distance from points to the surface, negative inside."""
    radius = _radius(point)
    if shape == TORUS:
        out = radius - half * RING
        return (out * out + point.z * point.z).sqrt() - half * TUBE
    if shape == CAPSULE:
        up = (point.z.abs() - half * REACH).clamp(min=0.0)
        return (radius * radius + up * up).sqrt() - half * STEM
    below = half - point.z  # under the apex
    along = ((radius * SLOPE + below) / (1.0 + SLOPE * SLOPE)).clamp(min=0.0).minimum(2.0 * half)
    side = _length(radius - along * SLOPE, below - along)
    base = _length((radius - half).clamp(min=0.0), below - 2.0 * half)
    inside = (radius < below * SLOPE) & (below < 2.0 * half)
    nearest = torch.minimum(side, base)
    return torch.where(inside, -nearest, nearest)


def cover(shape: int, origin: Vec, segment: Vec, half: Tensor, lamp: Tensor | float) -> Tensor:
    """Where a body cuts the disc of a lamp: see :func:`clevr.world.lighting.cover`.

    Returns:
        Signed distance of the cut from the disc's middle in its radii, positive where most of it is hidden.
    """
    length = segment.dot(segment).sqrt()
    middle, reach = -origin.dot(segment) / (length * length), half / length * (2.0**0.5 if shape == CONE else 1.0)
    low, high = (middle - reach).clamp(_NEAREST, 1.0), (middle + reach).clamp(_NEAREST, 1.0)

    def ratio(t: Tensor) -> Tensor:
        return distance(shape, origin + segment * t, half) / t

    if shape == TORUS:
        low, high = _around_least(ratio, low, high)
    span = (high - low) * _GOLDEN
    left, right = high - span, low + span
    at_left, at_right = ratio(left), ratio(right)
    for _ in range(_SEARCHES):
        falls = at_left > at_right
        low, high = torch.where(falls, left, low), torch.where(falls, high, right)
        span = (high - low) * _GOLDEN
        kept, kept_value = torch.where(falls, right, left), torch.where(falls, at_right, at_left)
        other = torch.where(falls, low + span, high - span)
        value = ratio(other)
        left, right = torch.where(falls, kept, other), torch.where(falls, other, kept)
        at_left, at_right = torch.where(falls, kept_value, value), torch.where(falls, value, kept_value)
    return -torch.minimum(at_left, at_right) / lamp


def _around_least(ratio: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a range around the least of some samples."""
    step = (high - low) * (1.0 / (_SAMPLES - 1))
    best, place = ratio(low), low
    for number in range(1, _SAMPLES):
        t = low + step * float(number)
        value = ratio(t)
        place, best = torch.where(value < best, t, place), torch.minimum(value, best)
    return torch.maximum(place - step, low), torch.minimum(place + step, high)


def _radius(point: Vec) -> Tensor:
    return (point.x * point.x + point.y * point.y).sqrt()


def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _guarded(value: Tensor) -> Tensor:
    return torch.where(value.abs() < _TINY, _TINY, value)


def _enter_cone(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    """A cone's side and its base; of the side's two nappes only the lower one is in range."""
    below, fall = half - origin.z, -direction.z
    a = direction.x * direction.x + direction.y * direction.y - SLOPE**2 * fall * fall
    b = origin.x * direction.x + origin.y * direction.y - SLOPE**2 * below * fall
    c = origin.x * origin.x + origin.y * origin.y - SLOPE**2 * below * below
    under = b * b - a * c
    far = -(b + torch.where(b < 0, -1.0, 1.0) * under.clamp(min=0.0).sqrt())
    t = torch.full_like(under, _MISS)
    for root in (far / _guarded(a), c / _guarded(far)):
        w = below + fall * root
        t = torch.where((under > 0) & (root > 0) & (w >= 0) & (w <= 2.0 * half) & (root < t), root, t)
    root = (-half - origin.z) / _guarded(direction.z)
    x, y = origin.x + direction.x * root, origin.y + direction.y * root
    return torch.where((root > 0) & (x * x + y * y < half * half) & (root < t), root, t)


def _enter_capsule(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    """A capsule's wall, and the balls at its ends."""
    radius, reach = half * STEM, half * REACH
    flat = (direction.x * direction.x + direction.y * direction.y).clamp(min=_TINY)
    along = -(origin.x * direction.x + origin.y * direction.y) / flat
    x, y = origin.x + direction.x * along, origin.y + direction.y * along
    under = radius * radius - (x * x + y * y)
    wall = along - (under.clamp(min=0.0) / flat).sqrt()
    beside = (origin.z + direction.z * wall).abs() <= reach
    t = torch.where((under > 0) & (wall > 0) & beside, wall, _MISS)
    square = direction.dot(direction)
    for end in (reach, -reach):
        from_end = Vec(origin.x, origin.y, origin.z - end)
        nearest = -from_end.dot(direction) / square
        miss = from_end + direction * nearest
        under = radius * radius - miss.dot(miss)
        root = nearest - (under.clamp(min=0.0) / square).sqrt()
        beyond = (origin.z + direction.z * root).abs() >= reach
        t = torch.where((under > 0) & (root > 0) & beyond & (root < t), root, t)
    return t


def _enter_torus(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    """A torus, from where the ray enters the ball around it."""
    square = direction.dot(direction)
    speed = square.sqrt()
    nearest = -origin.dot(direction) / square
    miss = origin + direction * nearest
    under = half * half - miss.dot(miss)
    swing = (under.clamp(min=0.0) / square).sqrt()
    t, last = (nearest - swing).clamp(min=0.0), nearest + swing
    for _ in range(_STEPS):
        t = t + distance(TORUS, origin + direction * t, half).clamp(min=0.0) / speed
    hit = (under > 0) & (t > 0) & (t <= last)
    hit &= distance(TORUS, origin + direction * t, half) < half * _CLOSE
    for _ in range(2):
        point = origin + direction * t
        slope = normal(TORUS, point, half).dot(direction).clamp(max=-0.05 * speed)
        t = t - distance(TORUS, point, half) / slope
    return torch.where(hit, t, _MISS)
