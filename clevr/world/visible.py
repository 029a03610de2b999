"""Which body every sample of a picture shows, and how far away it is."""

from __future__ import annotations

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, Group
from clevr.world.grid import TILE, Grid
from clevr.world.shapes import CYLINDER, MISS, SPHERE, enter
from clevr.world.vectors import Vec


def trace(bodies: Bodies, grid: Grid) -> tuple[Tensor, Tensor]:
    """Find the nearest body along every ray.

    Returns:
        Bodies and depths, both ``(B * P, samples ** 2)`` in tile order: row of the table (int32), -1 where the ground
        shows, and depth along the view (infinite there).
    """
    per_pixel = grid.samples**2
    per_tile = TILE * TILE * per_pixel
    size = (bodies.num_scenes * grid.num_pixels // (TILE * TILE), per_tile)
    depth = torch.full(size, MISS, device=grid.device)
    shown = torch.full(size, -1, dtype=torch.int32, device=grid.device)
    bounds, numbers = screen_bounds(bodies, grid), grid.tile_numbers()
    columns, rows = (
        (corner.reshape(-1, TILE * TILE, 1) + shift).reshape(-1, per_tile)
        for corner, shift in zip(grid.corners(), grid.shifts(), strict=True)
    )
    x, y = grid.screen(columns, rows)
    for group in bodies.groups:
        body, tile = _tiles(group, bounds, numbers)
        row = bodies.scene[body] * len(x) + tile
        t = _meet(bodies, group, body, x[tile], y[tile])
        before = depth[row]
        nearer = t < before
        depth[row] = torch.where(nearer, t, before)
        shown[row] = torch.where(nearer, body.int()[:, None], shown[row])
    return shown.reshape(-1, per_pixel), depth.reshape(-1, per_pixel)


def _meet(bodies: Bodies, group: Group, body: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Depths at which the rays through screen points ``(n, k)`` enter their bodies ``(n,)``."""
    scene = bodies.scene[body]
    right, up, forward = (
        bodies.local_direction(body, axis[scene]).column() for axis in (bodies.right, bodies.up, bodies.forward)
    )
    origin = bodies.local_point(body, bodies.camera[scene]).column()
    return enter(group.shape, origin, forward + right * x + up * y, bodies.half[body, None])


def screen_bounds(bodies: Bodies, grid: Grid) -> Tensor:
    """``(4, M)``: left, top, right and bottom of a box around each body in the picture, in pixels."""
    scene = bodies.scene
    offset = bodies.center - bodies.camera[scene]
    right, up, forward = bodies.right[scene], bodies.up[scene], bodies.forward[scene]
    middle = Vec(offset.dot(right), offset.dot(up), offset.dot(forward))
    ball = bodies.shape == SPHERE
    low_x, high_x, low_y, high_y = (
        torch.where(ball, a, b) for a, b in zip(_ball_bounds(middle, bodies.half), _box_bounds(bodies), strict=True)
    )
    left, top = low_x * grid.scale + grid.width / 2, grid.height / 2 - high_y * grid.scale
    return torch.stack([left, top, high_x * grid.scale + grid.width / 2, grid.height / 2 - low_y * grid.scale])


def _ball_bounds(middle: Vec, half: Tensor) -> tuple[Tensor, ...]:
    """Extent on the screen of balls, from the tangents of the view in each direction."""
    under = middle.z * middle.z - half * half
    bounds = []
    for side in (middle.x, middle.y):
        swing = half * (side * side + under).clamp(min=0.0).sqrt()
        bounds += [(side * middle.z - swing) / under, (side * middle.z + swing) / under]
    return tuple(bounds)


def _box_bounds(bodies: Bodies) -> tuple[Tensor, ...]:
    """Extent on the screen of the corners of each body's box; a cylinder's box faces the camera."""
    scene = bodies.scene
    facing = bodies.right[scene]
    round_ = bodies.shape == CYLINDER
    cos, sin = torch.where(round_, facing.x, bodies.cos), torch.where(round_, facing.y, bodies.sin)
    seen = []
    for i in (-1.0, 1.0):
        for j in (-1.0, 1.0):
            for k in (-1.0, 1.0):
                reach = Vec(cos * i - sin * j, sin * i + cos * j, torch.full_like(cos, k)) * bodies.half
                corner = bodies.center + reach - bodies.camera[scene]
                depth = corner.dot(bodies.forward[scene])
                seen.append((corner.dot(bodies.right[scene]) / depth, corner.dot(bodies.up[scene]) / depth))
    x, y = (torch.stack(axis) for axis in zip(*seen, strict=True))
    return x.amin(0), x.amax(0), y.amin(0), y.amax(0)


def _tiles(group: Group, bounds: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The tiles that the group's bodies may touch: bodies and tile numbers, pair by pair."""
    left, top, right, bottom = (bounds[:, group.bodies] / TILE).floor().long().unsqueeze(-1).unbind(0)
    row, column = (torch.arange(size, device=numbers.device) for size in numbers.shape)
    hit_row, hit_column = (row >= top) & (row <= bottom), (column >= left) & (column <= right)
    member, r, c = (hit_row[:, :, None] & hit_column[:, None, :]).nonzero(as_tuple=True)
    return group.bodies[member], numbers[r, c]
