"""Light from the bodies: matte rubber, and metal with one reflection."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.bodies import Bodies
from clevr.world.grid import Grid
from clevr.world.ground import bare_ground
from clevr.world.light import ball_radius, covers, lamp_radii, may_shade, shading_pairs, strength, to_lamp
from clevr.world.look import GROUND_ALBEDO, LAMPS, METAL, RUBBER
from clevr.world.shapes import CUBE, MISS, SHAPE_CODES, enter, normal
from clevr.world.vectors import Vec


@dataclass(frozen=True)
class Spots:
    """Points on the surfaces of bodies, in one flat list."""

    body: Tensor
    """``(F,)`` int64: row of the table."""
    scene: Tensor
    point: Vec
    normal: Vec
    view: Vec
    """Unit vectors along the ray that found them."""

    def __getitem__(self, index: Tensor) -> Spots:
        return Spots(self.body[index], self.scene[index], self.point[index], self.normal[index], self.view[index])


def spots_of(bodies: Bodies, body: Tensor, start: Vec, ray: Vec, t: Tensor) -> Spots:
    """Surface points where rays ``start + t ray`` meet ``body``."""
    point = start + ray * t
    local, half = bodies.local_point(body, point), bodies.half[body]
    shape = bodies.shape[body]
    parts = [torch.empty_like(t) for _ in range(3)]
    for code in SHAPE_CODES.values():
        where = (shape == code).nonzero()[:, 0]
        outward = normal(code, local[where], half[where])
        for part, values in zip(parts, (outward.x, outward.y, outward.z), strict=True):
            part[where] = values
    outward = bodies.world_direction(body, Vec(*parts))
    return Spots(body, bodies.scene[body], point, outward, ray.unit())


def surface_light(bodies: Bodies, grid: Grid, shown: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Radiance of every sample that shows a body.

    Args:
        bodies: the scenes.
        grid: the picture.
        shown: from ``trace``.
        depth: from ``trace``.
    Returns:
        Flat indices of the samples ``(F,)`` and their radiance ``(3, F)``.
    """
    sample = (shown.reshape(-1) >= 0).nonzero()[:, 0]
    body = shown.reshape(-1)[sample].long()
    t = depth.reshape(-1)[sample]
    scene = bodies.scene[body]
    tile = torch.div(sample, grid.per_tile, rounding_mode="floor") % grid.num_tiles
    offset = sample % grid.per_tile
    corner_x, corner_y = grid.tile_corners()
    offset_x, offset_y = grid.sample_offsets()
    x, y = grid.screen(corner_x[tile] + offset_x[offset], corner_y[tile] + offset_y[offset])
    ray = bodies.forward[scene] + bodies.right[scene] * x + bodies.up[scene] * y
    spots = spots_of(bodies, body, bodies.camera[scene], ray, t)
    radiance = torch.empty(3, len(sample), device=grid.device)
    metal = bodies.metal[body]
    lamps = lamps_on(bodies, spots)
    for where, shade in ((~metal, matte), (metal, shiny)):
        index = where.nonzero()[:, 0]
        radiance[:, index] = torch.stack(shade(bodies, spots[index], lamps[:, index]))
    return sample, radiance


def lamps_on(bodies: Bodies, spots: Spots) -> Tensor:
    """``(L, F)``: irradiance by each lamp at unit strength, shadows included."""
    light, segments = [], []
    for number, place in enumerate(bodies.lamps):
        here = place[spots.scene]
        segment = to_lamp(number, here, spots.point)
        light.append(strength(number, here, segment, segment.dot(spots.normal)))
        segments.append(segment)
    lit = torch.stack(light)
    radii, balls = lamp_radii(lit.device), ball_radius(bodies)
    for group, blocker, may in shading_pairs(bodies, balls):
        for number in range(len(LAMPS)):
            spot = (may[:, number][spots.body] & (lit[number] > 0)).nonzero()[:, 0]
            body, point, segment = blocker[spots.body[spot]], spots.point[spot], segments[number][spot]
            hit = may_shade(segment, bodies.center[body] - point, balls[body], radii[number], 0.0).nonzero()[:, 0]
            share = covers(bodies, group, body[hit], point[hit], segment[hit], radii[number])
            lit[number, spot[hit]] *= 1.0 - share
    return lit


def matte(bodies: Bodies, spots: Spots, lit: Tensor) -> list[Tensor]:
    """Radiance of rubber."""
    up = spots.normal.z
    floor = bare_ground(bodies, spots.scene, Vec(spots.point.x, spots.point.y, torch.zeros_like(up)))
    radiance = []
    for channel in range(3):
        direct = sum(lit[n] * (lamp.strength[channel] / GROUND_ALBEDO) for n, lamp in enumerate(LAMPS))
        ambient = (1.0 + up) * (0.5 * RUBBER.sky) + (1.0 - up) * (0.5 * RUBBER.floor) * floor[channel]
        radiance.append((direct + ambient) * bodies.color[channel][spots.body])
    return radiance


def shiny(bodies: Bodies, spots: Spots, lit: Tensor) -> list[Tensor]:
    """Radiance of metal."""
    mirror = spots.view.reflect(spots.normal)
    seen = reflected(bodies, spots, mirror)
    marks, mirror_marks = highlights(bodies, spots, lit)
    up = (mirror.z * 2.0).clamp(-1.0, 1.0)
    floor = bare_ground(bodies, spots.scene, Vec(spots.point.x, spots.point.y, torch.zeros_like(up)))
    radiance = []
    for channel in range(3):
        glint = sum((marks[n] + mirror_marks[n]) * lamp.strength[channel] for n, lamp in enumerate(LAMPS))
        blur = (1.0 - up) * 0.5 * floor[channel] * RUBBER.floor
        light = METAL.mirror * seen[channel] + METAL.brushed * blur + glint
        radiance.append(light * bodies.color[channel][spots.body])
    return radiance


def highlights(bodies: Bodies, spots: Spots, lit: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Light of the lamps off the brushed marks and off the mirror, for lamps of unit strength."""
    marks, mirrors = [], []
    n = spots.normal
    around = _around(bodies, spots)
    across = n.cross(around)
    facing = (-spots.view.dot(n)).clamp(min=0.02)
    for number, place in enumerate(bodies.lamps):
        segment = to_lamp(number, place[spots.scene], spots.point)
        square = segment.dot(segment)
        inverse = 1.0 / square.sqrt()
        half = (segment * inverse - spots.view).unit()
        cosine = (segment.dot(n) * inverse).clamp(min=0.02)
        h_n, h_t, h_b = half.dot(n), half.dot(around), half.dot(across)
        irradiance = lit[number] / (facing * cosine * (4.0 * GROUND_ALBEDO))
        spread = LAMPS[number].radius * inverse * 0.5
        marks.append(METAL.brushed * irradiance * _lobe(h_n, h_t, h_b, METAL.along + spread, METAL.across + spread))
        rough = METAL.mirror_roughness + spread
        mirrors.append(METAL.mirror * irradiance * _lobe(h_n, h_t, h_b, rough, rough))
    return marks, mirrors


def _lobe(h_n: Tensor, h_t: Tensor, h_b: Tensor, along: Tensor | float, across: Tensor | float) -> Tensor:
    """Anisotropic GGX distribution times pi."""
    t, b = h_t / along, h_b / across
    under = t * t + b * b + h_n * h_n
    return 1.0 / (along * across * under * under)


def _around(bodies: Bodies, spots: Spots) -> Vec:
    """Unit tangents that run around each body's vertical axis."""
    offset = spots.point - bodies.center[spots.body]
    ring = Vec(-offset.y, offset.x, torch.zeros_like(offset.x))
    flat = ring - spots.normal * ring.dot(spots.normal)
    return flat * (1.0 / flat.dot(flat).clamp(min=1e-9).sqrt())


def reflected(bodies: Bodies, spots: Spots, mirror: Vec) -> list[Tensor]:
    """Radiance that arrives at spots from the directions ``mirror``."""
    near = torch.full_like(mirror.x, MISS)
    other = torch.full_like(spots.body, -1)
    radius = ball_radius(bodies)
    for group in bodies.groups:
        body = group.of_scene[spots.scene]
        to_ball = bodies.center[body] - spots.point
        ahead = to_ball.dot(mirror)
        miss = to_ball.dot(to_ball) - ahead * ahead
        may = (body >= 0) & (body != spots.body) & (ahead > 0) & (miss < radius[body] * radius[body])
        spot = may.nonzero()[:, 0]
        body = body[spot]
        origin = bodies.local_point(body, spots.point[spot])
        t = enter(group.shape, origin, bodies.local_direction(body, mirror[spot]), bodies.half[body])
        closer = t < near[spot]
        near[spot] = torch.where(closer, t, near[spot])
        other[spot] = torch.where(closer, body, other[spot])
    seen = surroundings(bodies, spots.scene, spots.point, mirror)
    spot = (other >= 0).nonzero()[:, 0]
    there = spots_of(bodies, other[spot], spots.point[spot], mirror[spot], near[spot])
    for channel, values in enumerate(second_look(bodies, there)):
        seen[channel][spot] = values
    return seen


def surroundings(bodies: Bodies, scene: Tensor, point: Vec, direction: Vec) -> list[Tensor]:
    """Radiance of the ground and of what is above it, along directions from points."""
    down = (-direction.z).clamp(min=1e-4)
    floor = point + direction * (point.z / down).clamp(max=40.0)
    ground = bare_ground(bodies, scene, Vec(floor.x, floor.y, torch.zeros_like(floor.x)))
    below = direction.z < 0
    return [torch.where(below, values, METAL.sky) for values in ground]


def second_look(bodies: Bodies, spots: Spots) -> list[Tensor]:
    """Radiance of bodies seen in a mirror: without shadows, and metal without a further mirror image."""
    light = []
    for number, place in enumerate(bodies.lamps):
        here = place[spots.scene]
        segment = to_lamp(number, here, spots.point)
        light.append(strength(number, here, segment, segment.dot(spots.normal)))
    lit = torch.stack(light)
    plain = matte(bodies, spots, lit)
    metal = bodies.metal[spots.body]
    around = surroundings(bodies, spots.scene, spots.point, spots.view.reflect(spots.normal))
    share = METAL.mirror + METAL.brushed
    return [
        torch.where(metal, values * share * bodies.color[channel][spots.body], plain[channel])
        for channel, values in enumerate(around)
    ]
