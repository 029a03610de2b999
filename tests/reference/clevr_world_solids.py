"""Slow, independent answers about cones, tori and capsules, in double precision, from membership alone.

A body is the set of its points; where a ray enters it and how much of a lamp it hides is found by looking at many
points. None of it shares a formula with the package.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def inside(shape: str, points: Array, half: float) -> npt.NDArray[np.bool_]:
    """Which points ``(..., 3)`` lie in a body, in its own frame."""
    across, up = np.hypot(points[..., 0], points[..., 1]) / half, points[..., 2] / half
    if shape == "cone":
        return (up >= -1) & (across <= (1 - up) / 2)
    if shape == "torus":
        return np.hypot(across - 0.65, up) <= 0.35
    nearest = np.clip(up, -0.45, 0.45)
    return np.hypot(across, up - nearest) <= 0.55


def first_hits(shape: str, origin: Array, directions: Array, half: float, samples: int = 4000) -> Array:
    """Where rays ``(n, 3)`` of unit length from outside enter a body, infinite where no sample is inside."""
    near = np.linalg.norm(origin) - 1.5 * half
    t = near + np.linspace(0.0, 3.0 * half, samples)
    hits = []
    for direction in directions:
        found = inside(shape, origin + t[:, None] * direction, half)
        if not found.any():
            hits.append(math.inf)
            continue
        place = int(found.argmax())
        low, high = t[place] - (t[1] - t[0]), t[place]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if inside(shape, origin + middle * direction, half) else (middle, high)
        hits.append(high)
    return np.array(hits)


def hidden_share(shape: str, point: Array, lamp: Array, half: float, radius: float, rays: int = 150) -> float:
    """Share of a disc-shaped lamp, facing ``point``, that a body hides."""
    axis = (lamp - point) / np.linalg.norm(lamp - point)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    distance = radius * np.sqrt((np.arange(rays) + 0.5) / rays)
    angle = np.arange(rays) * math.pi * (3.0 - math.sqrt(5.0))
    targets = lamp + np.outer(distance * np.cos(angle), side)
    targets += np.outer(distance * np.sin(angle), np.cross(axis, side))
    middle = -(point @ axis) / np.linalg.norm(lamp - point)
    reach = 1.5 * half / np.linalg.norm(lamp - point)
    t = np.clip(np.linspace(middle - reach, middle + reach, 300), 0.0, 1.0)
    hidden = inside(shape, point + t[:, None, None] * (targets - point), half).any(0)
    return float(hidden.mean())
