"""Which object each pixel shows, against a slow search along every ray."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clevr.world.camera import FOCAL, axes
from clevr.world.primitives import BEVELS, SHAPE_CODES, pack
from clevr.world.ray_casting import BLOCK, TILE, Grid, screen_bounds, trace
from clevr.world.render import object_ids
from clevr.world.scene import Scene
from tests.clevr.world.examples import drawn, scene_of, thing
from tests.reference.clevr_world_primitives import first_hits

CPU = torch.device("cpu")


def slow_ids(scene: Scene, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Object numbers (-1 for the ground) and depths of the middles of the pixels."""
    camera = np.array(scene.extra["camera"])
    right, up, forward = axes(camera)
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = (column - width / 2) / (FOCAL * width), (height / 2 - row) / (FOCAL * width)
    rays = (forward + x[..., None] * right + y[..., None] * up).reshape(-1, 3)
    length = np.linalg.norm(rays, axis=1)
    depths = []
    for one in scene.objects:
        half = 0.7 if one.size == "large" else 0.35
        turn = one.rotation if one.shape == "cube" else 0.0
        back = np.array([[math.cos(turn), math.sin(turn), 0], [-math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
        local = (rays / length[:, None]) @ back.T
        bevel = half * BEVELS[SHAPE_CODES[one.shape]]
        depths.append(first_hits(one.shape, back @ (camera - one.coords), local, half, bevel) / length)
    nearest = np.min(depths, axis=0)
    ids = np.where(np.isfinite(nearest), np.argmin(depths, axis=0), -1)
    return ids.reshape(height, width), nearest.reshape(height, width)


def test_every_pixel_shows_the_nearest_object():
    width, height = 80, 60
    for scene in drawn(6):
        ids, depths = slow_ids(scene, width, height)
        grid = Grid(width, height, 1, CPU)
        found = object_ids([scene], width, height)[0].numpy()
        depth = grid.to_image(trace(pack([scene]), grid).depth.reshape(1, -1))[0].numpy()
        assert (found != ids).mean() < 0.001  # rays that touch an edge
        same = (found == ids) & (ids >= 0)
        assert np.abs(depth[same] - depths[same]).max() < 2e-3
        assert np.isinf(depth[found < 0]).all()


def test_padding_is_cut_off():
    scene = drawn(1)[0]
    whole = object_ids([scene], 80, 56)
    for width, height in ((77, 53), (9, 5), (1, 1)):
        assert object_ids([scene], width, height).shape == (1, height, width)
    assert torch.equal(whole, object_ids([scene, scene], 80, 56)[1:])


def test_tile_order_and_back():
    grid = Grid(20, 12, 1, CPU)
    column, row = (grid.to_image(part[None])[0] for part in grid.corners())
    assert torch.equal(column, torch.arange(20.0).expand(12, 20))
    assert torch.equal(row, torch.arange(12.0)[:, None].expand(12, 20))
    assert grid.num_pixels == 24 * 16
    for size in (2, TILE, BLOCK):
        first = [part[: size * size].max().item() for part in grid.corners()]
        assert first == [size - 1, size - 1]


def test_bounds_hold_every_pixel_of_an_object():
    scenes = drawn(12)
    bounds = screen_bounds(pack(scenes), Grid(320, 240, 1, CPU))
    body = 0
    for scene, ids in zip(scenes, object_ids(scenes, 320, 240), strict=True):
        for number in range(len(scene.objects)):
            rows, columns = (ids == number).nonzero(as_tuple=True)
            left, top, right, bottom = bounds[:, body].tolist()
            assert left <= columns.min() + 0.5
            assert columns.max() + 0.5 <= right
            assert top <= rows.min() + 0.5
            assert rows.max() + 0.5 <= bottom
            body += 1


def test_a_lone_sphere_fills_its_bounds():
    bodies = pack([scene_of(thing("sphere", 0.5, -0.5))])
    grid = Grid(640, 480, 1, CPU)
    rows, columns = (object_ids([scene_of(thing("sphere", 0.5, -0.5))], 640, 480)[0] == 0).nonzero(as_tuple=True)
    left, top, right, bottom = screen_bounds(bodies, grid)[:, 0].tolist()
    assert abs(columns.min() - left) < 2
    assert abs(columns.max() + 1 - right) < 2
    assert abs(rows.min() - top) < 2
    assert abs(rows.max() + 1 - bottom) < 2


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_each_sample_has_a_cell_a_column_and_a_row_of_its_own(samples: int):
    column, row = Grid(16, 16, samples, CPU).shifts()
    cells = (column * samples).floor() * samples + (row * samples).floor()
    assert sorted(cells.tolist()) == list(range(samples**2))
    fine = ((torch.arange(samples**2) + 0.5) / samples**2).tolist()
    assert sorted(column.tolist()) == pytest.approx(fine)
    assert sorted(row.tolist()) == pytest.approx(fine)
    assert [column.mean().item(), row.mean().item()] == pytest.approx([0.5, 0.5])


def test_looking_at_some_bodies_shows_what_looking_at_all_does():
    scenes = drawn(3)
    grid = Grid(96, 72, 2, CPU)
    bodies = pack(scenes)
    whole, part = trace(bodies, grid), trace(bodies, grid, only=bodies.index == 1)
    assert part.rows is not None
    assert len(part.rows) < len(whole.shown)
    assert torch.equal(whole.shown[part.rows], part.shown)
    assert torch.equal(whole.depth[part.rows], part.depth)
    shows = torch.isin(whole.shown, (bodies.index == 1).nonzero()[:, 0].int()).flatten(1).any(1).nonzero()[:, 0]
    assert torch.isin(shows, part.rows).all()
