"""The grey ground: its light, the soft shadows on it, and the tint of what stands near."""

from __future__ import annotations

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, Group
from clevr.world.grid import BLOCK, Grid
from clevr.world.light import ball_radius, covers, lamp_radii, may_shade, strength, to_lamp
from clevr.world.look import BACKDROP, LAMPS, TINT
from clevr.world.vectors import Vec

_FARTHEST = 60.0
"""Depth at which rays that never meet the ground are said to meet it."""


def ground_points(bodies: Bodies, grid: Grid, shown: Tensor) -> Vec:
    """``(B, P)``: where the rays through the pixels meet the ground, in tile order.

    A pixel's ray goes through the middle of those of its samples that show ground: at the foot of a body the pixel's own
    middle may lie under the body, in the dark.
    """
    bare = (shown < 0).reshape(bodies.num_scenes, grid.num_pixels, -1).float()
    count = bare.sum(2).clamp(min=1.0)
    hidden = (bare.sum(2) == 0) * 0.5
    column, row = (
        corner + hidden + (bare * shift).sum(2) / count for corner, shift in zip(grid.corners(), grid.shifts(), strict=True)
    )
    x, y = grid.screen(column, row)
    camera, right, up, forward = (v.column() for v in (bodies.camera, bodies.right, bodies.up, bodies.forward))
    ray = forward + right * x + up * y
    depth = (camera.z / (-ray.z).clamp(min=1e-3)).clamp(max=_FARTHEST)
    point = camera + ray * depth
    return Vec(point.x, point.y, torch.zeros_like(point.x))


def backdrop(point: Vec) -> Tensor:
    """Light on the ground that no body hides: of the surroundings, and of the rise of the ground far behind."""
    behind = point.y * BACKDROP.y + point.x * BACKDROP.x
    rise = ((behind - BACKDROP.start) / (BACKDROP.end - BACKDROP.start)).clamp(0.0, 1.0)
    return BACKDROP.near + (BACKDROP.far - BACKDROP.near) * rise * rise * (3.0 - 2.0 * rise)


def bare_ground(bodies: Bodies, scene: Tensor, point: Vec, seen: Tensor | None = None) -> list[Tensor]:
    """Radiance of the ground in three channels.

    Args:
        bodies: the scenes.
        scene: index of each point's scene, to broadcast against the points.
        point: on the ground.
        seen: ``(L, ...)``, share of each lamp that is seen from the points; all of all lamps by default.
    """
    ambient = backdrop(point)
    radiance = [ambient, ambient, ambient]
    for number, lamp in enumerate(LAMPS):
        place = bodies.lamps[number][scene]
        segment = to_lamp(number, place, point)
        light = strength(place, segment, segment.z)
        if seen is not None:
            light = light * seen[number]
        radiance = [value + light * share for value, share in zip(radiance, lamp.strength, strict=True)]
    return radiance


def ground_light(bodies: Bodies, grid: Grid, shown: Tensor) -> Tensor:
    """``(3, B, P)``: radiance of the ground at the pixels in tile order, shadows and tint included."""
    point = ground_points(bodies, grid, shown)
    scene = torch.arange(bodies.num_scenes, device=grid.device)[:, None]
    seen = lamps_seen(bodies, grid, point)
    radiance = bare_ground(bodies, scene, point, seen.reshape(len(LAMPS), *point.x.shape))
    tint = ground_tint(bodies, grid, point)
    return torch.stack([(r + t).clamp(min=0.0) for r, t in zip(radiance, tint, strict=True)])


def lamps_seen(bodies: Bodies, grid: Grid, point: Vec) -> Tensor:
    """``(L, B * blocks, pixels)``: share of each lamp that is seen from the ground."""
    rows = _blocks(point, grid)
    num_rows = len(rows.x)
    seen = torch.ones(len(LAMPS), num_rows, BLOCK * BLOCK, device=grid.device)
    middle, spread = _balls(rows)
    radius, lamp = ball_radius(bodies), lamp_radii(grid.device)
    scene = torch.arange(num_rows, device=grid.device) // (num_rows // bodies.num_scenes)
    places = [place[scene] for place in bodies.lamps]
    for group in bodies.groups:
        body = group.of_scene[scene]
        to_ball = bodies.center[body] - middle
        for number, place in enumerate(places):
            segment = to_lamp(number, place, middle)
            may = (body >= 0) & may_shade(segment, to_ball, radius[body], lamp[number], spread)
            row = may.nonzero()[:, 0]
            here = rows[row]
            full = to_lamp(number, place[row].column(), here)
            seen[number, row] *= 1.0 - covers(bodies, group, body[row, None], here, full, lamp[number])
    return seen


def ground_tint(bodies: Bodies, grid: Grid, point: Vec) -> list[Tensor]:
    """What bodies add to the ground near them (their colour) less what they take (the surroundings)."""
    rows = _blocks(point, grid)
    tint = [torch.zeros_like(rows.x) for _ in range(3)]
    middle, spread = _balls(rows)
    scene = torch.arange(len(rows.x), device=grid.device) // (len(rows.x) // bodies.num_scenes)
    for group in bodies.groups:
        body = group.of_scene[scene]
        offset = bodies.center[body] - middle
        reach = bodies.half[body] * TINT.reach + spread
        row = ((body >= 0) & (offset.dot(offset) < reach * reach)).nonzero()[:, 0]
        share = _view_of_ball(bodies, body[row, None], rows[row]) * TINT.bulk[group.shape]
        for channel, values in enumerate(tint):
            gain = bodies.color[channel][body[row], None] * TINT.gain
            values[row] += share * ((1.0 - share) * gain - TINT.loss)
    return [values.reshape(point.x.shape) for values in tint]


def _view_of_ball(bodies: Bodies, body: Tensor, point: Vec) -> Tensor:
    """Share of the sky, weighted by the cosine, that a ball of a body's size takes as seen from the ground."""
    offset = bodies.center[body] - point
    half = bodies.half[body]
    square = offset.dot(offset)
    share = offset.z * half * half / (square * square.sqrt())
    return (share - TINT.reach**-3).clamp(0.0, 1.0)


def _blocks(point: Vec, grid: Grid) -> Vec:
    shape = (-1, BLOCK * BLOCK)
    return Vec(point.x.reshape(shape), point.y.reshape(shape), point.z.reshape(shape))


def _balls(rows: Vec) -> tuple[Vec, Tensor]:
    """A ball around the points of each row: middle and radius."""
    low = Vec(rows.x.amin(1), rows.y.amin(1), rows.z.amin(1))
    high = Vec(rows.x.amax(1), rows.y.amax(1), rows.z.amax(1))
    reach = (high - low) * 0.5
    return low + reach, reach.dot(reach).sqrt()
