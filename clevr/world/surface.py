"""Points on bodies, the lamps' light that reaches them, and what rubber makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.bodies import Bodies
from clevr.world.ground import bare_ground
from clevr.world.light import strength, take_shadows, to_lamp
from clevr.world.look import GROUND_ALBEDO, LAMPS, RUBBER
from clevr.world.shapes import SHAPE_CODES, normal
from clevr.world.vectors import Vec


@dataclass(frozen=True)
class Spots:
    """Points on the surfaces of bodies, in one flat list."""

    body: Tensor
    """``(F,)`` int64: row of the table."""
    scene: Tensor
    """``(F,)`` int64."""
    point: Vec
    normal: Vec
    view: Vec
    """Unit vectors along the rays that found them."""

    def __getitem__(self, index: Tensor) -> Spots:
        return Spots(self.body[index], self.scene[index], self.point[index], self.normal[index], self.view[index])


def find_spots(bodies: Bodies, body: Tensor, start: Vec, ray: Vec, t: Tensor) -> Spots:
    """Points ``start + t ray`` on the surfaces of ``body``."""
    point = start + ray * t
    local, half, shape = bodies.local_point(body, point), bodies.half[body], bodies.shape[body]
    parts = [torch.empty_like(t) for _ in range(3)]
    for code in SHAPE_CODES.values():
        where = (shape == code).nonzero()[:, 0]
        outward = normal(code, local[where], half[where])
        for part, values in zip(parts, (outward.x, outward.y, outward.z), strict=True):
            part[where] = values
    return Spots(body, bodies.scene[body], point, bodies.world_direction(body, Vec(*parts)), ray.unit())


def lamps_on(bodies: Bodies, spots: Spots, *, shadows: bool = True) -> Tensor:
    """``(L, F)``: irradiance by each lamp at unit strength."""
    light, segments = [], []
    for number, place in enumerate(bodies.lamps):
        here = place[spots.scene]
        segment = to_lamp(number, here, spots.point)
        light.append(strength(here, segment, segment.dot(spots.normal)))
        segments.append(segment)
    lit = torch.stack(light)
    if shadows:
        take_shadows(bodies, spots.scene, spots.point, segments, lit, own=spots.body)
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
        radiance.append(light * bodies.color[channel][spots.body])
    return radiance
