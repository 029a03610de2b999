"""Light on ground, rubber and metal against the plain formulas in double precision."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from clevr.world.appearance import BACKDROP, METAL
from clevr.world.camera import MEAN_CAMERA, project
from clevr.world.lighting import bare_ground, covers, may_shade
from clevr.world.materials import SurfacePoints, mirror_image
from clevr.world.primitives import BEVELS, SHAPE_CODES, pack
from clevr.world.ray_casting import Grid, trace
from clevr.world.render import radiance
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR
from clevr.world.vectors import ROW_LENGTH, Vec
from tests.clevr.world.examples import drawn, scene_of, thing
from tests.reference.clevr_world_primitives import hidden_share

LAMPS = CLEVR.lamps

CPU = torch.device("cpu")


def vec(*rows) -> Vec:
    return Vec.of(torch.tensor(np.array(rows), dtype=torch.float32))


def irradiance(lamp: int, place, point, normal) -> float:
    """Of a lamp of unit strength that faces the origin; the last lamp shines from one direction."""
    place, point = np.array(place, dtype=float), np.array(point, dtype=float)
    segment = place if lamp == 3 else place - point
    distance = np.linalg.norm(segment)
    at_lamp = max(segment @ place / np.linalg.norm(place) / distance, 0)
    return max(segment @ np.array(normal) / distance, 0) * at_lamp / distance**2


def test_the_bare_ground_is_the_sum_of_its_lamps():
    points = np.array([[0, 0, 0], [3, -2, 0], [-3, 3, 0], [2, 2.5, 0]], dtype=float)
    bodies = pack([scene_of(thing())])
    found = torch.stack(bare_ground(bodies, torch.zeros(4, dtype=torch.long), vec(*points))).T.numpy()
    for point, light in zip(points, found, strict=True):
        lamps = sum(
            irradiance(i, lamp.position, point, (0, 0, 1)) * np.array(lamp.strength) for i, lamp in enumerate(LAMPS)
        )
        assert ((light - lamps) >= BACKDROP.near - 1e-4).all()
        assert ((light - lamps) <= BACKDROP.far + 1e-4).all()


def ground_ratio(scene: Scene, point: tuple[float, float, float]) -> float:
    """Light at a point of the ground in an image, over the light there without objects (green channel)."""
    grid = Grid(640, 480, 1, CPU)
    column, row, _ = project([point], MEAN_CAMERA, 640, 480)[0]
    with_, without = (
        radiance(pack([one]), grid)[0, 1, int(row), int(column)] for one in (scene, scene_of(thing("sphere", 50)))
    )
    return float(with_ / without)


def test_shadows_fall_where_rays_say():
    one = thing("cylinder", 0.0, 0.0)
    scene = scene_of(one)
    bodies = pack([scene])
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.uniform(-2.5, 2.5, (60, 2)), np.zeros((60, 1))], axis=1)
    points = points[np.hypot(points[:, 0], points[:, 1]) > 0.75]
    for number, lamp in enumerate(LAMPS[:3]):
        place = np.array(lamp.position)
        group, body = bodies.groups[0], torch.zeros(len(points), dtype=torch.long)
        found = covers(bodies, group, body, vec(*points), vec(*(place - points)), torch.tensor(lamp.radius)).numpy()
        bevel = 0.7 * BEVELS[SHAPE_CODES["cylinder"]]
        center = np.array(one.coords)
        true = [hidden_share("cylinder", p - center, place - center, 0.7, bevel, lamp.radius, 8) for p in points]
        assert np.abs(found - true).mean() < 0.01, number


def test_a_body_darkens_the_ground_in_its_shadow_alone():
    shadow = (-0.9, 0.5, 0.0)  # away from key lamp and sun
    assert ground_ratio(scene_of(thing("sphere", 0, 0)), shadow) < 0.75
    assert ground_ratio(scene_of(thing("sphere", 2.5, -2.5, size="small")), (-2.5, 2.5, 0)) == pytest.approx(
        1, abs=0.02
    )


def test_no_shadow_is_missed_by_the_quick_test():
    scenes = drawn(10)
    bodies = pack(scenes)
    rng = np.random.default_rng(0)
    points = vec(*np.concatenate([rng.uniform(-4, 4, (3000, 2)), rng.uniform(0, 1.4, (3000, 1))], axis=1))
    for group in bodies.groups:
        body = group.bodies[torch.from_numpy(rng.integers(0, len(group.bodies), 3000))]
        for number, lamp in enumerate(LAMPS[:3]):
            segment = bodies.lamps[number][bodies.scene[body]] - points
            share = covers(bodies, group, body, points, segment, torch.tensor(lamp.radius))
            to_ball = bodies.center[body] - points
            may = may_shade(segment, to_ball, bodies.ball[body], torch.tensor(lamp.radius), torch.tensor(0.0))
            assert share[~may].max() < 0.35  # only penumbrae beyond the ball that the plain rule overstates
            assert (share[~may] > 0.02).float().mean() < 0.005


def test_rubber_is_the_sum_of_its_lamps_times_its_colour():
    # The top of a lone sphere, seen by every lamp.
    scene = scene_of(thing("sphere", 0, 0, color="yellow"))
    point = (0.0, 0.0, 1.4)
    column, row, _ = project([point], MEAN_CAMERA, 640, 480)[0]
    light = radiance(pack([scene]), Grid(640, 480, 1, CPU))[0, :, int(row) + 1, int(column)].numpy()
    lamps = sum(
        irradiance(i, lamp.position, point, (0, 0, 1)) * np.array(lamp.strength) / 0.8 for i, lamp in enumerate(LAMPS)
    )
    color = np.array([255, 238, 51]) / 255
    assert light == pytest.approx((lamps + 0.0231) * color, rel=0.06)


def test_colours_of_rubber_scale():
    grid = Grid(80, 60, 1, CPU)
    gray, red = (radiance(pack([scene_of(thing("cube", color=color))]), grid)[0] for color in ("gray", "red"))
    inside = trace(pack([scene_of(thing("cube"))]), grid).shown
    shown = grid.to_image(inside.reshape(1, -1))[0] == 0
    ratio = (red / gray)[:, shown]
    for channel, value in enumerate((173 / 87, 35 / 87, 35 / 87)):
        assert ratio[channel].mean().item() == pytest.approx(value, rel=0.05)


def mirror_at(scene: Scene, direction: tuple[float, float, float]) -> np.ndarray:
    """What a spot on object 0, one unit above the ground, sees in a direction."""
    bodies = pack([scene])
    zero = torch.zeros(1, 1, dtype=torch.long)
    point, unit = (scene.objects[0].coords[0], scene.objects[0].coords[1], 1.0), direction / np.linalg.norm(direction)
    point, normal, view, mirror = (
        vec(*[one] * ROW_LENGTH).reshape(1, ROW_LENGTH) for one in (point, (0.0, 0.0, 1.0), (0.0, 0.0, -1.0), unit)
    )
    return torch.stack(mirror_image(bodies, SurfacePoints(zero, zero, point, normal, view), mirror))[:, 0, 0].numpy()


def test_a_mirror_shows_sky_backdrop_ground_and_bodies():
    one = thing("sphere", 0, 0, material="metal")
    alone = scene_of(one)
    assert mirror_at(alone, (0, 0, 1)) == pytest.approx(np.full(3, BACKDROP.sky), rel=0.01)
    toward = (BACKDROP.x, BACKDROP.y, 0.4)
    assert mirror_at(alone, toward) == pytest.approx(np.full(3, BACKDROP.radiance), rel=0.05)
    bodies = pack([alone])
    ground = torch.stack(bare_ground(bodies, torch.zeros(1, dtype=torch.long), vec((1.5, -1.5, 0.0))))[:, 0].numpy()
    assert mirror_at(alone, (1.5, -1.5, -1.0)) == pytest.approx(ground, rel=0.1)
    red = scene_of(one, thing("cube", 2.5, 0, color="red"))
    seen = mirror_at(red, (1, 0, -0.1))
    assert seen[0] > 3.5 * seen[1]


def test_a_mirror_shows_the_nearer_of_two_bodies():
    one = thing("sphere", -2, 0, material="metal")
    near, far = thing("cube", 0.5, 0, color="red"), thing("cube", 3, 0, color="blue")
    for things in ((one, near, far), (one, far, near)):
        seen = mirror_at(scene_of(*things), (1, 0, -0.1))
        assert seen[0] > 2 * seen[2]


def test_a_mirror_shows_shadows_on_the_ground():
    one, high = thing("sphere", 2.0, -2.0, material="metal"), thing("cube", -1.0, 0.5)
    spot, dark = np.array([2.0, -2.0, 1.0]), np.array([-2.3, 1.2, 0.0])  # beyond the cube, away from the key lamp
    away = tuple(dark - spot)
    lit = mirror_at(scene_of(one), away)
    shaded = mirror_at(scene_of(one, dataclasses.replace(high, coords=(-1.5, 1.9, 0.7))), away)
    assert shaded.mean() < lit.mean()


def test_highlights_lie_where_the_mirror_meets_a_lamp():
    scene = scene_of(thing("sphere", 0, 0, material="metal", color="gray"))
    grid = Grid(640, 480, 1, CPU)
    light = radiance(pack([scene]), grid)[0].sum(0)
    center, camera = np.array([0, 0, 0.7]), np.array(MEAN_CAMERA)
    for lamp in LAMPS:
        normal = np.array([0.0, 0.0, 1.0])
        for _ in range(50):  # the normal halves the angle between lamp and camera
            point = center + 0.7 * normal
            a, b = np.array(lamp.position) - point, camera - point
            half = a / np.linalg.norm(a) + b / np.linalg.norm(b)
            normal = half / np.linalg.norm(half)
        column, row, _ = project([point], camera, 640, 480)[0]
        assert light[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2].max() > 2.5, lamp.name


def test_metal_without_lamps_reflects_no_more_than_it_gets():
    assert METAL.mirror + METAL.brushed < 1.05
    assert math.isfinite(METAL.horizon)
