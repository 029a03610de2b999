"""The grey ground: its light, the soft shadows on it, and the tint of what stands near."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add, mul

import torch
from torch import Tensor

from clevr.world.bodies import Bodies
from clevr.world.grid import BLOCK, Grid
from clevr.world.light import strength, take_shadows, to_lamp
from clevr.world.look import BACKDROP, LAMPS, TINT
from clevr.world.rows import Rows
from clevr.world.vectors import Vec, pick

_FARTHEST = 60.0
"""Depth at which rays that never meet the ground are said to meet it."""


def ground_light(bodies: Bodies, grid: Grid, shown: Tensor) -> Tensor:
    """``(3, B, P)``: radiance of the ground at the pixels in tile order, shadows and tint included."""
    point = _ground_points(bodies, grid, shown).reshape(-1, BLOCK * BLOCK)
    scene = torch.arange(bodies.num_scenes, device=grid.device)
    rows = Rows.of(scene.repeat_interleave(grid.num_pixels // BLOCK**2), point)
    seen = torch.ones(len(LAMPS), *point.x.shape, device=grid.device)
    take_shadows(bodies, rows, seen)
    light = bare_ground(bodies, rows.scene[:, None], point, seen)
    add_tint(bodies, rows, light)
    return torch.stack([part.clamp(min=0.0).reshape(bodies.num_scenes, -1) for part in light])


def bare_ground(bodies: Bodies, scene: Tensor, point: Vec, seen: Tensor | None = None) -> list[Tensor]:
    """Radiance of the ground in three channels, without tint.

    Args:
        bodies: the scenes.
        scene: index of each point's scene, to broadcast against the points.
        point: on the ground.
        seen: ``(L, ...)``, share of each lamp that is seen from the points; all of all lamps by default.
    """
    ambient = _backdrop(point)
    radiance = [ambient, ambient, ambient]
    for number, lamp in enumerate(LAMPS):
        place = bodies.lamps[number][scene]
        segment = to_lamp(number, place, point)
        light = strength(place, segment, segment.z)
        if seen is not None:
            light = light * seen[number]
        radiance = [value + light * share for value, share in zip(radiance, lamp.strength, strict=True)]
    return radiance


def _ground_points(bodies: Bodies, grid: Grid, shown: Tensor) -> Vec:
    """``(B, P)``: where the rays through the pixels meet the ground, in tile order.

    A pixel's ray goes through the middle of those of its samples that show ground: at the foot of a body the pixel's
    own middle may lie under the body, in the dark.
    """
    bare = [sample.reshape(bodies.num_scenes, -1).float() for sample in (shown < 0).unbind(1)]
    count = reduce(add, bare)
    hidden, share = (count == 0) * 0.5, 1.0 / count.clamp(min=1.0)
    x, y = grid.screen(
        *(
            corner + hidden + reduce(add, map(mul, bare, shifts.tolist())) * share
            for corner, shifts in zip(grid.corners(), grid.shifts(), strict=True)
        )
    )
    camera, right, up, forward = (v.column() for v in (bodies.camera, bodies.right, bodies.up, bodies.forward))
    ray = forward + right * x + up * y
    depth = (camera.z / (-ray.z).clamp(min=1e-3)).clamp(max=_FARTHEST)
    point = camera + ray * depth
    return Vec(point.x, point.y, torch.zeros_like(point.x))


def _backdrop(point: Vec) -> Tensor:
    """Light on the ground that comes from no lamp, growing toward the backdrop."""
    behind = point.x * BACKDROP.x + point.y * BACKDROP.y
    rise = ((behind - BACKDROP.start) / (BACKDROP.end - BACKDROP.start)).clamp(0.0, 1.0)
    return BACKDROP.near + (BACKDROP.far - BACKDROP.near) * rise * rise * (3.0 - 2.0 * rise)


def add_tint(bodies: Bodies, rows: Rows, light: Sequence[Tensor]) -> None:
    """Add what bodies give the ground near them (light of their colour), less what they take (of the surroundings)."""
    for group in bodies.groups:
        body = group.of_scene.index_select(1, rows.scene)  # (R, n)
        there = body >= 0
        body = body.clamp(min=0)
        offset = bodies.center[body] - rows.middle
        reach = pick(bodies.half, body) * TINT.reach + rows.radius
        round_, row = (there & (offset.dot(offset) < reach * reach)).nonzero().unbind(1)
        body = body[round_, row, None]
        shares = _view_of_ball(bodies, body, rows.points[row]) * TINT.bulk[group.shape]
        for into, share, color in group.split(round_, row, shares, bodies.color[:, body[:, 0]].T):
            for channel, values in enumerate(light):
                values.index_add_(0, into, share * ((1.0 - share) * (color[:, channel, None] * TINT.gain) - TINT.loss))


def _view_of_ball(bodies: Bodies, body: Tensor, point: Vec) -> Tensor:
    """Share of the sky, weighted by the cosine, that a ball of a body's size takes as seen from the ground."""
    offset = bodies.center[body] - point
    half = pick(bodies.half, body)
    square = offset.dot(offset)
    share = offset.z * half * half / (square * square.sqrt())
    return (share - TINT.reach**-3).clamp(0.0, 1.0)
