"""Points on bodies, the lamps' light that reaches them, and what rubber makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.bodies import Bodies
from clevr.world.ground import bare_ground
from clevr.world.light import strength, take_shadows, to_lamp
from clevr.world.look import GROUND_ALBEDO, LAMPS, RUBBER
from clevr.world.rows import Rows
from clevr.world.shapes import SHAPE_CODES, normal
from clevr.world.vectors import Vec, pick


@dataclass(frozen=True)
class Spots:
    """Points on the surfaces of bodies, in ``n`` rows of ``k``."""

    body: Tensor
    """``(n, 1)`` int64: row of the table."""
    scene: Tensor
    """``(n, 1)`` int64."""
    point: Vec
    """``(n, k)``."""
    normal: Vec
    view: Vec
    """Unit vectors along the rays that found them."""

    def __getitem__(self, rows: Tensor) -> Spots:
        body, scene = pick(self.body, rows), pick(self.scene, rows)
        return Spots(body, scene, self.point[rows], self.normal[rows], self.view[rows])


def find_spots(bodies: Bodies, body: Tensor, start: Vec, ray: Vec, t: Tensor) -> Spots:
    """Points ``start + t ray`` on the surfaces of ``body``, ``(n, 1)``."""
    point = start + ray * t
    local, half, shape = bodies.local_point(body, point), pick(bodies.half, body), pick(bodies.shape, body)
    parts = [torch.empty_like(t) for _ in range(3)]
    for code in SHAPE_CODES.values():
        row = (shape == code).nonzero()[:, 0]
        outward = normal(code, local[row], pick(half, row))
        for part, values in zip(parts, (outward.x, outward.y, outward.z), strict=True):
            part.index_copy_(0, row, values)
    return Spots(body, pick(bodies.scene, body), point, bodies.world_direction(body, Vec(*parts)), ray.unit())


def lamps_on(bodies: Bodies, spots: Spots, *, shadows: bool = True) -> Tensor:
    """``(L, n, k)``: irradiance by each lamp at unit strength."""
    light = []
    for number, place in enumerate(bodies.lamps):
        here = place[spots.scene]
        segment = to_lamp(number, here, spots.point)
        light.append(strength(here, segment, segment.dot(spots.normal)))
    lit = torch.stack(light)
    if shadows:
        take_shadows(bodies, Rows.of(spots.scene[:, 0], spots.point), lit, own=spots.body[:, 0])
    return lit


def floor_below(bodies: Bodies, spots: Spots) -> list[Tensor]:
    """Radiance of the bare ground under spots, in three channels."""
    return bare_ground(bodies, spots.scene, Vec(spots.point.x, spots.point.y, torch.zeros_like(spots.point.x)))


def matte(bodies: Bodies, spots: Spots, lit: Tensor) -> list[Tensor]:
    """Radiance of rubber: diffuse light of the lamps, and of the surroundings above and the ground below."""
    up = spots.normal.z
    sky, ground = (1.0 + up) * (0.5 * RUBBER.sky), (1.0 - up) * (0.5 * RUBBER.floor)
    radiance = []
    for channel, floor in enumerate(floor_below(bodies, spots)):
        light = sky + ground * floor
        for number, lamp in enumerate(LAMPS):
            light = light + lit[number] * (lamp.strength[channel] / GROUND_ALBEDO)
        radiance.append(light * pick(bodies.color[channel], spots.body))
    return radiance
