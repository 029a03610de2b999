from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.world.primitives import BALLS, BEVELS, CUBE, MISS, SHAPE_CODES, enter, normal
from clevr.world.vectors import Vec
from tests.reference.clevr_world_primitives import first_hit, signed_distance

SHAPES = ("sphere", "cube", "cylinder")


def vec(table) -> Vec:
    return Vec.of(torch.tensor(np.asarray(table), dtype=torch.float32).reshape(-1, 3))


def entry(shape: str, origin, direction, half: float = 0.7) -> float:
    return enter(SHAPE_CODES[shape], vec(origin), vec(direction), torch.tensor([half])).item()


def bevel_of(shape: str, half: float) -> float:
    return half * BEVELS[SHAPE_CODES[shape]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("direction", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_straight_rays_enter_at_half_the_width(shape, direction):
    assert entry(shape, [-5.0 * d for d in direction], direction) == pytest.approx(4.3, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_rays_beside_and_away_miss(shape):
    assert entry(shape, (5, 0, 0), (0, 1, 0)) == MISS
    assert entry(shape, (5, 0, 0), (1, 0, 0)) == MISS
    assert entry(shape, (5, 0.71, 0), (-1, 0, 0)) == MISS


def test_the_corner_of_a_cube_is_cut_off():
    half, bevel = 0.7, bevel_of("cube", 0.7)
    far = 5 * math.sqrt(3)
    corner = far - (math.sqrt(3) * (half - bevel) + bevel)
    assert entry("cube", (5, 5, 5), np.full(3, -1 / math.sqrt(3))) == pytest.approx(corner, abs=1e-4)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    half=st.sampled_from([0.7, 0.35]),
    angles=st.tuples(st.floats(0, 6.28), st.floats(-1.5, 1.5)),
    distance=st.floats(2, 12),
    aim=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_entries_are_those_of_bisection_in_double_precision(shape, half, angles, distance, aim):
    turn, rise = angles
    origin = distance * np.array([math.cos(turn) * math.cos(rise), math.sin(turn) * math.cos(rise), math.sin(rise)])
    direction = np.array(aim) * half * 1.2 - origin
    direction /= np.linalg.norm(direction)
    found, true = (
        entry(shape, origin, direction, half),
        first_hit(shape, origin, direction, half, bevel_of(shape, half)),
    )
    if math.isinf(true) or math.isinf(found):  # they may differ on a ray that only touches the body
        step = true if math.isinf(found) else found
        if not math.isinf(step):
            grazing = signed_distance(shape, origin + direction * (step + 0.02 * half), half, bevel_of(shape, half))
            assert abs(grazing) < 0.01 * half
    else:
        assert found == pytest.approx(true, abs=2e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_normals_are_gradients_of_the_distance(shape):
    rng = np.random.default_rng(3)
    half, bevel = 0.7, bevel_of(shape, 0.7)
    rays = rng.normal(size=(300, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    points = np.array([5 * r - r * first_hit(shape, 5 * r, -r, half, bevel) for r in rays])
    found = normal(SHAPE_CODES[shape], vec(points), torch.tensor(half))
    steps = np.eye(3) * 1e-6
    ahead, behind = (
        np.stack([signed_distance(shape, points + sign * s, half, bevel) for s in steps], 1) for sign in (1, -1)
    )
    true = (ahead - behind) / 2e-6
    assert np.abs(np.stack([found.x, found.y, found.z], 1) - true).max() < 2e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_points_inside_have_the_normal_of_the_nearest_face(shape):
    found = normal(SHAPE_CODES[shape], vec([[0.5, 0.0, 0.1], [0.1, 0.0, -0.5]]), torch.tensor(0.7))
    sides = torch.stack([found.x, found.y, found.z], 1)
    assert torch.allclose(sides.norm(dim=1), torch.ones(2), atol=1e-5)
    assert sides[0, 0] > 0.97
    assert sides[1, 2] < -0.97


@pytest.mark.parametrize("shape", SHAPES)
def test_the_ball_around_a_body_holds_it(shape):
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.7, 0.7, (4000, 3))
    inside = points[signed_distance(shape, points, 0.7, bevel_of(shape, 0.7)) < 0]
    assert np.linalg.norm(inside, axis=1).max() <= 0.7 * BALLS[SHAPE_CODES[shape]]


def test_shapes_broadcast():
    origin, direction = vec([[5, 0, 0]] * 4).column(), Vec(-torch.ones(4, 3), torch.zeros(4, 3), torch.zeros(4, 3))
    assert enter(CUBE, origin, direction, torch.full((4, 1), 0.35)).shape == (4, 3)
