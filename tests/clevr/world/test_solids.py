"""Cone, torus and capsule against many samples, in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clevr.world.lighting import cover
from clevr.world.primitives import BALLS, SHAPE_CODES, enter, normal
from clevr.world.solids import distance
from clevr.world.vectors import Vec
from tests.reference.clevr_world_solids import first_hits, hidden_share, inside

SOLIDS = ("cone", "torus", "capsule")
HALF = 0.7


def vec(table: np.ndarray) -> Vec:
    return Vec.of(torch.tensor(np.asarray(table), dtype=torch.float32).reshape(-1, 3))


def rays_at(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts around a body, none below its base, and unit directions to places near it."""
    rng = np.random.default_rng(seed)
    turn, rise = rng.uniform(0, 2 * math.pi, number), rng.uniform(0.05, 1.5, number)
    origins = 5 * np.stack([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)], 1)
    directions = rng.uniform(-1, 1, (number, 3)) * HALF - origins
    return origins, directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SOLIDS)
def test_entries_are_those_of_many_samples(shape: str) -> None:
    origins, directions = rays_at(300, 2)
    found = enter(SHAPE_CODES[shape], vec(origins), vec(directions), torch.tensor(HALF)).numpy()
    true = np.array([first_hits(shape, o, d[None], HALF)[0] for o, d in zip(origins, directions, strict=True)])
    both = np.isfinite(found) & np.isfinite(true)
    assert both.sum() > 90
    assert np.quantile(np.abs(found[both] - true[both]), 0.98) < 1e-3
    assert (np.isfinite(found) != np.isfinite(true)).mean() < 0.01  # rays that only touch the body


@pytest.mark.parametrize("shape", SOLIDS)
def test_normals_are_across_the_surface(shape: str) -> None:
    origins, directions = rays_at(60, 3)
    checked = 0
    for origin, direction in zip(origins, directions, strict=True):
        side = np.cross(direction, [0.3, 0.5, 0.8])
        side /= np.linalg.norm(side)
        bundle = np.stack([direction, direction + 1e-4 * side, direction + 1e-4 * np.cross(direction, side)])
        bundle /= np.linalg.norm(bundle, axis=1, keepdims=True)
        hits = first_hits(shape, origin, bundle, HALF)
        if not np.isfinite(hits).all() or np.ptp(hits) > 2e-3:
            continue
        points = origin + hits[:, None] * bundle
        true = np.cross(points[1] - points[0], points[2] - points[0])
        true *= -np.sign(true @ direction) / np.linalg.norm(true)
        found = normal(SHAPE_CODES[shape], vec(points[:1]), torch.tensor(HALF))
        assert true @ [found.x.item(), found.y.item(), found.z.item()] > 0.999
        checked += 1
    assert checked > 12


@pytest.mark.parametrize("shape", SOLIDS)
def test_distances_have_the_sign_and_slope_of_distances(shape: str) -> None:
    points = np.random.default_rng(4).uniform(-1.2, 1.2, (4000, 3))
    found = distance(SHAPE_CODES[shape], vec(points), torch.tensor(HALF)).numpy()
    clear = np.abs(found) > 1e-5
    assert ((found < 0) == inside(shape, points, HALF))[clear].all()
    ahead = distance(SHAPE_CODES[shape], vec(points + np.array([1e-2, 0, 0])), torch.tensor(HALF)).numpy()
    assert np.abs(ahead - found).max() <= 1e-2 + 1e-5
    assert np.linalg.norm(points[found < 0], axis=1).max() <= HALF * BALLS[SHAPE_CODES[shape]]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SOLIDS)
@pytest.mark.parametrize(("place", "radius"), [((6.4, -2.9, 3.6), 0.27), ((-4.7, -4.0, 1.5), 0.33)])
def test_shadows_on_the_ground_are_those_of_many_rays(shape: str, place: tuple[float, ...], radius: float) -> None:
    ground = -HALF * (0.35 if shape == "torus" else 1.0)
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(-2, 2, (120, 2)), np.full((120, 1), ground)], 1)
    points = points[np.hypot(points[:, 0], points[:, 1]) > HALF]
    segments = np.array(place) - points
    found = cover(SHAPE_CODES[shape], vec(points), vec(segments), torch.tensor(HALF), radius).numpy()
    true = np.array([hidden_share(shape, p, np.array(place), HALF, radius) for p in points])
    error = np.abs(found - true)
    assert 0.02 < true.mean() < 0.5
    assert error.mean() < 0.01
    assert np.quantile(error, 0.99) < 0.2
