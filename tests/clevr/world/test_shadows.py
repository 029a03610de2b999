"""Soft shadows against many rays, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clevr.world.lighting import cover
from clevr.world.primitives import BEVELS, SHAPE_CODES
from clevr.world.vectors import Vec
from tests.reference.clevr_world_primitives import hidden_share

LAMPS = {"key": ((6.4, -2.9, 3.6), 0.27), "low fill": ((-4.7, -4.0, 1.5), 0.33), "back": ((-1.2, 2.6, 5.1), 0.43)}
HALF = 0.7
SHAPES = ("sphere", "cube", "cylinder")


def vec(table: np.ndarray) -> Vec:
    return Vec.of(torch.tensor(table, dtype=torch.float32))


def ground_around(shape: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """Points on the ground about a body that stands on it, none under it."""
    points = np.concatenate([rng.uniform(-3, 3, (number, 2)), np.full((number, 1), -HALF)], axis=1)
    if shape == "cube":
        return points[np.abs(points[:, :2]).max(1) > HALF]
    return points[np.hypot(points[:, 0], points[:, 1]) > HALF]


@pytest.mark.parametrize("lamp", LAMPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shadows_on_the_ground_are_those_of_many_rays(shape, lamp):
    place, radius = LAMPS[lamp]
    code = SHAPE_CODES[shape]
    points = ground_around(shape, 300, np.random.default_rng(1))
    segments = np.array(place) - points
    found = cover(code, vec(points), vec(segments), torch.tensor(HALF), radius).numpy()
    true = np.array(
        [hidden_share(shape, p, np.array(place), HALF, HALF * BEVELS[code], radius, rings=6) for p in points]
    )
    error = np.abs(found - true)
    soft = (true > 0) & (true < 1)
    assert 0 < true.mean() < 0.5
    assert error.mean() < 0.002
    assert error[soft].mean() < 0.06
    assert np.quantile(error, 0.99) < 0.07


@pytest.mark.parametrize("shape", SHAPES)
def test_a_point_behind_sees_nothing_and_a_point_before_sees_all(shape):
    points = np.array([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0], [-2.0, 3.0, 0.0], [-2.0, 0.0, 4.0]])
    found = cover(SHAPE_CODES[shape], vec(points), vec(np.array([8.0, 0.0, 0.0]) - points), torch.tensor(HALF), 0.3)
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", SHAPES)
def test_half_the_lamp_shows_past_a_straight_edge(shape):
    # The segment touches the side of the body: its axis is hidden on one side and free on the other.
    points = np.array([[-4.0, HALF, 0.0]])
    found = cover(SHAPE_CODES[shape], vec(points), vec(np.array([[8.0, 0.0, 0.0]])), torch.tensor(HALF), 0.1)
    assert found.item() == pytest.approx(0.5, abs=0.01)


def test_a_wider_lamp_has_a_wider_penumbra():
    points = np.stack([np.full(200, -2.0), np.linspace(0, 1.5, 200), np.zeros(200)], 1)
    segments = np.array([8.0, 0.0, 0.0]) - np.array([-2.0, 0.0, 0.0]) + points * 0
    soft = []
    for radius in (0.05, 0.2, 0.8):
        found = cover(SHAPE_CODES["sphere"], vec(points), vec(segments), torch.tensor(HALF), radius)
        soft.append(int(((found > 0.01) & (found < 0.99)).sum()))
    assert soft[0] < soft[1] < soft[2]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_middle_of_a_ball_tells_where_all_of_its_points_are_dark_or_lit(shape):
    code, rng = SHAPE_CODES[shape], np.random.default_rng(4)
    middles = ground_around(shape, 4000, rng)
    told = 0
    for place, radius in LAMPS.values():
        for spread in (0.02, 0.15):
            offset = rng.normal(size=middles.shape) * [1, 1, 0]
            points = middles + spread * offset / np.linalg.norm(offset, axis=1, keepdims=True)
            ball = torch.full((len(middles),), 1.5 * spread)
            share = cover(code, vec(middles), vec(np.array(place) - middles), torch.tensor(HALF), radius, ball)
            found = cover(code, vec(points), vec(np.array(place) - points), torch.tensor(HALF), radius)
            dark, lit = share > 0.999, share < 0.001
            told += int(dark.sum())
            assert (found[dark] < 0.95).float().mean() < 0.01
            assert (found[lit] > 0.05).float().mean() < 0.001
    assert told > 100
