"""The grey ground: its light, the soft shadows on it, and the tint of what stands near."""

from __future__ import annotations

import torch
from torch import Tensor

from clevr.world.bodies import Bodies
from clevr.world.grid import BLOCK, Grid
from clevr.world.light import covers, may_shade, strength, to_lamp
from clevr.world.look import BACKDROP, LAMPS, TINT
from clevr.world.vectors import Vec

_FARTHEST = 60.0
"""Depth at which rays that never meet the ground are said to meet it."""


def ground_light(bodies: Bodies, grid: Grid, shown: Tensor) -> Tensor:
    """``(3, B, P)``: radiance of the ground at the pixels in tile order, shadows and tint included."""
    point = _ground_points(bodies, grid, shown)
    rows = _Rows(bodies, point)
    seen = _lamps_seen(bodies, rows).reshape(len(LAMPS), *point.x.shape)
    scene = torch.arange(bodies.num_scenes, device=grid.device)[:, None]
    bare = bare_ground(bodies, scene, point, seen)
    tint = _tint(bodies, rows)
    return torch.stack([(b + t.reshape(b.shape)).clamp(min=0.0) for b, t in zip(bare, tint, strict=True)])


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
    bare = (shown < 0).reshape(bodies.num_scenes, grid.num_pixels, -1).float()
    count = bare.sum(2)
    hidden = (count == 0) * 0.5
    x, y = grid.screen(
        *(
            corner + hidden + (bare * shift).sum(2) / count.clamp(min=1.0)
            for corner, shift in zip(grid.corners(), grid.shifts(), strict=True)
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


class _Rows:
    """The points of all blocks of all pictures, one block a row, and a ball around each."""

    def __init__(self, bodies: Bodies, point: Vec) -> None:
        x, y, z = (part.reshape(-1, BLOCK * BLOCK) for part in (point.x, point.y, point.z))
        self.points = Vec(x, y, z)
        low, high = Vec(x.amin(1), y.amin(1), z.amin(1)), Vec(x.amax(1), y.amax(1), z.amax(1))
        half = (high - low) * 0.5
        self.middle, self.radius = low + half, half.dot(half).sqrt()
        self.scene = torch.arange(len(x), device=x.device) // (len(x) // bodies.num_scenes)


def _lamps_seen(bodies: Bodies, rows: _Rows) -> Tensor:
    """``(L, rows, pixels)``: share of each lamp that is seen from the ground."""
    seen = torch.ones(len(LAMPS), *rows.points.x.shape, device=rows.scene.device)
    places = [place[rows.scene] for place in bodies.lamps]
    for group in bodies.groups:
        body = group.of_scene[rows.scene]
        to_ball = bodies.center[body] - rows.middle
        for number, place in enumerate(places):
            segment, lamp = to_lamp(number, place, rows.middle), LAMPS[number].radius
            may = (body >= 0) & may_shade(segment, to_ball, bodies.ball[body], lamp, rows.radius)
            row = may.nonzero()[:, 0]
            point = rows.points[row]
            segment = to_lamp(number, place[row].column(), point)
            seen[number, row] *= 1.0 - covers(bodies, group, body[row, None], point, segment, lamp)
    return seen


def _tint(bodies: Bodies, rows: _Rows) -> list[Tensor]:
    """What bodies add to the ground near them (light of their colour) less what they take (of the surroundings)."""
    tint = [torch.zeros_like(rows.points.x) for _ in range(3)]
    for group in bodies.groups:
        body = group.of_scene[rows.scene]
        offset = bodies.center[body] - rows.middle
        reach = bodies.half[body] * TINT.reach + rows.radius
        row = ((body >= 0) & (offset.dot(offset) < reach * reach)).nonzero()[:, 0]
        share = _view_of_ball(bodies, body[row, None], rows.points[row]) * TINT.bulk[group.shape]
        for channel, values in enumerate(tint):
            gain = bodies.color[channel][body[row], None] * TINT.gain
            values[row] += share * ((1.0 - share) * gain - TINT.loss)
    return tint


def _view_of_ball(bodies: Bodies, body: Tensor, point: Vec) -> Tensor:
    """Share of the sky, weighted by the cosine, that a ball of a body's size takes as seen from the ground."""
    offset = bodies.center[body] - point
    half = bodies.half[body]
    square = offset.dot(offset)
    share = offset.z * half * half / (square * square.sqrt())
    return (share - TINT.reach**-3).clamp(0.0, 1.0)
