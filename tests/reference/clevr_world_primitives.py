"""Slow, independent answers about CLEVR's bodies: distances, first hits and hidden shares of lamps.

Everything here is double precision and works from signed distances alone: a body is the set of points within its
bevel of a smaller sharp body. None of it shares a formula with the package.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def signed_distance(shape: str, points: Array, half: float, bevel: float) -> Array:
    """Distance of points ``(..., 3)`` to a body's surface, in its own frame; negative inside."""
    if shape == "sphere":
        return np.linalg.norm(points, axis=-1) - half
    inner = half - bevel
    if shape == "cube":
        excess = np.abs(points) - inner
    else:
        excess = np.stack([np.hypot(points[..., 0], points[..., 1]) - inner, np.abs(points[..., 2]) - inner], axis=-1)
    outside = np.linalg.norm(np.maximum(excess, 0.0), axis=-1)
    return outside + np.minimum(excess.max(axis=-1), 0.0) - bevel


def lowest(shape: str, origin: Array, direction: Array, half: float, bevel: float) -> tuple[float, float]:
    """Least signed distance along a ray, and where: golden-section search on a convex function."""
    reach = 2.0 * half / np.linalg.norm(direction)
    middle = -float(origin @ direction) / float(direction @ direction)
    low, high = max(middle - 2 * reach, 0.0), max(middle + 2 * reach, 0.0)
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(90):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if _along(shape, origin, direction, a, half, bevel) < _along(shape, origin, direction, b, half, bevel):
            high = b
        else:
            low = a
    t = (low + high) / 2.0
    return _along(shape, origin, direction, t, half, bevel), t


def first_hit(shape: str, origin: Array, direction: Array, half: float, bevel: float) -> float:
    """Where a ray from outside enters a body, infinite if it does not: bisection before the lowest point."""
    value, high = lowest(shape, origin, direction, half, bevel)
    if value > 0.0:
        return math.inf
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2.0
        if _along(shape, origin, direction, middle, half, bevel) > 0.0:
            low = middle
        else:
            high = middle
    return high


def first_hits(shape: str, origin: Array, directions: Array, half: float, bevel: float, steps: int = 300) -> Array:
    """Parameters at which rays ``(n, 3)`` of unit length from one point enter a body, infinite where they do not."""
    t = np.zeros(len(directions))
    for _ in range(steps):
        t += np.maximum(signed_distance(shape, origin + t[:, None] * directions, half, bevel), 0.0)
        t = np.minimum(t, 1e3)
    near = signed_distance(shape, origin + t[:, None] * directions, half, bevel) < 1e-6
    return np.where(near, t, math.inf)


def hidden_share(
    shape: str, point: Array, lamp: Array, half: float, bevel: float, radius: float, rings: int = 24
) -> float:
    """Share of a disc-shaped lamp, facing ``point``, that a body hides: many rays, each tested by distance."""
    axis = (lamp - point) / np.linalg.norm(lamp - point)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    number = rings * rings * 4
    distance = radius * np.sqrt((np.arange(number) + 0.5) / number)
    angle = np.arange(number) * math.pi * (3.0 - math.sqrt(5.0))
    targets = lamp + np.outer(distance * np.cos(angle), side) + np.outer(distance * np.sin(angle), other)
    return float(_blocked(shape, point, targets - point, half, bevel).mean())


def _blocked(shape: str, point: Array, segments: Array, half: float, bevel: float) -> npt.NDArray[np.bool_]:
    """Whether each segment from ``point`` passes through the body: ternary search on all at once."""
    low, high = np.zeros(len(segments)), np.ones(len(segments))
    for _ in range(60):
        a, b = low + (high - low) / 3.0, high - (high - low) / 3.0
        first = signed_distance(shape, point + a[:, None] * segments, half, bevel)
        second = signed_distance(shape, point + b[:, None] * segments, half, bevel)
        low, high = np.where(first < second, low, a), np.where(first < second, b, high)
    middle = (low + high) / 2.0
    return signed_distance(shape, point + middle[:, None] * segments, half, bevel) < 0.0


def _along(shape: str, origin: Array, direction: Array, t: float, half: float, bevel: float) -> float:
    return float(signed_distance(shape, origin + t * direction, half, bevel))
