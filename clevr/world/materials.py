"""Points on surfaces, the light that reaches them, and what rubber and metal make of it.

CLEVR's metal is a mirror mixed with brushed marks that run around the vertical axis of each body. The marks spread
every highlight up and down a sphere or a wall and fan it out on a flat top.

A rounded edge is hardly wider than a pixel, and on it the surface turns by a right angle: a highlight is much narrower
than what one ray stands for, and would be met by some rays and missed by their neighbours, as a row of beads. So where
a ray's cell of the image reaches an edge, highlights are the mean over points across the cell, each with the normal
that the surface has there. A wider lobe in their place (specular anti-aliasing) would be of no use: highlights are many
times as bright as white, and white stays white only if each point is limited to it before the mean is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from clevr.world.appearance import BACKDROP, GROUND_ALBEDO, METAL, RUBBER
from clevr.world.lighting import bare_ground, strength, take_shadows, to_lamp
from clevr.world.primitives import CUBE, CYLINDER, MISS, SHAPE_CODES, Bodies, enter, normal, reaches_edge
from clevr.world.vectors import RayPackets, Vec, pick


@dataclass(frozen=True)
class SurfacePoints:
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
    cell: Tensor | None = None
    """``(n, k)``: how wide what each ray stands for is at its point; ``None``: rays without a width."""

    def __getitem__(self, rows: Tensor) -> SurfacePoints:
        body, scene = pick(self.body, rows), pick(self.scene, rows)
        return SurfacePoints(body, scene, self.point[rows], self.normal[rows], self.view[rows])


def find_surface_points(
    bodies: Bodies, body: Tensor, start: Vec, ray: Vec, t: Tensor, cell: Tensor | None = None
) -> SurfacePoints:
    """Points ``start + t ray`` on the surfaces of ``body``, ``(n, 1)``."""
    point = start + ray * t
    return SurfacePoints(body, pick(bodies.scene, body), point, _normals(bodies, body, point), ray.unit(), cell)


def _normals(bodies: Bodies, body: Tensor, point: Vec) -> Vec:
    """Unit normals of ``body``, ``(n, 1)``, at points on it (or near it, on its edges)."""
    local, half, shape = bodies.local_point(body, point), pick(bodies.half, body), pick(bodies.shape, body)
    parts = [torch.empty_like(local.x) for _ in range(3)]
    for code in SHAPE_CODES.values():
        row = (shape == code).nonzero()[:, 0]
        outward = normal(code, local[row], pick(half, row))
        for part, values in zip(parts, (outward.x, outward.y, outward.z), strict=True):
            part.index_copy_(0, row, values)
    return bodies.world_direction(body, Vec(*parts))


def lamps_on(bodies: Bodies, spots: SurfacePoints, *, shadows: bool = True) -> Tensor:
    """``(L, n, k)``: irradiance by each lamp at unit strength."""
    light = []
    for lamp, place in zip(bodies.world.lamps, bodies.lamps, strict=True):
        here = place[spots.scene]
        segment = to_lamp(lamp, here, spots.point)
        light.append(strength(here, segment, segment.dot(spots.normal)))
    lit = torch.stack(light)
    if shadows:
        take_shadows(bodies, RayPackets.of(spots.scene[:, 0], spots.point), lit, own=spots.body[:, 0])
    return lit


def floor_below(bodies: Bodies, spots: SurfacePoints) -> list[Tensor]:
    """Radiance of the bare ground under spots, in three channels."""
    return bare_ground(bodies, spots.scene, Vec(spots.point.x, spots.point.y, torch.zeros_like(spots.point.x)))


def matte(bodies: Bodies, spots: SurfacePoints, lit: Tensor) -> list[Tensor]:
    """Radiance of rubber: diffuse light of the lamps, and of the surroundings above and the ground below."""
    up = spots.normal.z
    sky, ground = (1.0 + up) * (0.5 * RUBBER.sky), (1.0 - up) * (0.5 * RUBBER.floor)
    radiance = []
    for channel, floor in enumerate(floor_below(bodies, spots)):
        light = sky + ground * floor
        for number, lamp in enumerate(bodies.world.lamps):
            light = light + lit[number] * (lamp.strength[channel] / GROUND_ALBEDO)
        radiance.append(light * pick(bodies.color[channel], spots.body))
    return radiance


_GRAZING = 0.02
"""Least cosine at which surfaces are shaded; below it the formulas would divide by nothing."""


def shiny(bodies: Bodies, spots: SurfacePoints, lit: Tensor) -> list[Tensor]:
    """Radiance of metal."""
    mirror = spots.view.reflect(spots.normal)
    image = mirror_image(bodies, spots, mirror)
    down = 0.5 - mirror.z.clamp(-0.5, 0.5)
    above = (1.0 - down) * _above(spots.point, mirror)
    reflected = []
    for channel, floor in enumerate(floor_below(bodies, spots)):
        blur = above + down * METAL.floor * floor
        reflected.append(METAL.mirror * image[channel] + METAL.brushed * blur)
    radiance = _with_highlights(bodies, spots.body, reflected, highlights(bodies, spots, lit))
    if spots.cell is not None:
        _smooth_edges(bodies, spots, reflected, lit, radiance)
    return radiance


def _with_highlights(
    bodies: Bodies, body: Tensor, reflected: Sequence[Tensor], glint: Sequence[Tensor]
) -> list[Tensor]:
    """Radiance of metal in three channels, from what it reflects of its surroundings and its highlights."""
    radiance = []
    for channel, light in enumerate(reflected):
        for values, lamp in zip(glint, bodies.world.lamps, strict=True):
            light = light + values * lamp.strength[channel]
        radiance.append(light * pick(bodies.color[channel], body))
    return radiance


_ACROSS = tuple((i + 0.5) / 8 - 0.5 for i in range(8))
_UP = tuple((i * 3 % 8 + 0.5) / 8 - 0.5 for i in range(8))
"""Points of a cell in its widths from its middle: a lattice, so that no two share a column or a row."""
_SLANTED = 0.1
"""Least cosine of a ray to the surface at which the points of its cell are spread."""


def _smooth_edges(
    bodies: Bodies, spots: SurfacePoints, reflected: Sequence[Tensor], lit: Tensor, radiance: Sequence[Tensor]
) -> None:
    """Put means over their cells for the radiance of rays that reach a rounded edge, in place."""
    assert spots.cell is not None
    place = edge_rays(bodies, spots, spots.cell)
    row = place // spots.cell.shape[1]
    body, scene, cell = (
        pick(values.reshape(-1), at) for values, at in ((spots.body, row), (spots.scene, row), (spots.cell, place))
    )
    point, upright, view = (part.reshape(-1)[place] for part in (spots.point, spots.normal, spots.view))
    across, up = torch.tensor((_ACROSS, _UP), device=cell.device)
    offset = (bodies.right[scene] * across + bodies.up[scene] * up) * cell
    offset = offset + view * (offset.dot(upright) / (-view.dot(upright)).clamp(min=_SLANTED))
    finer = SurfacePoints(body, scene, point, _normals(bodies, body, point + offset), view)
    glint = _glints(bodies, finer, _facing_lamps(bodies, finer, upright, [pick(part.view(-1), place) for part in lit]))
    around = [pick(values.view(-1), place) for values in reflected]
    for channel, values in zip(radiance, _with_highlights(bodies, body, around, glint), strict=True):
        mean = reduce(add, values.clamp_(max=1.0).unbind(1)) * (1.0 / len(across))
        channel.view(-1).index_copy_(0, place[:, 0], mean)


def edge_rays(bodies: Bodies, spots: SurfacePoints, cell: Tensor) -> Tensor:
    """``(m, 1)``: places, among all points, of those whose cells reach a rounded edge."""
    shape, found = pick(bodies.shape, spots.body[:, 0]), torch.zeros_like(cell, dtype=torch.bool)
    for code in (CUBE, CYLINDER):
        row = (shape == code).nonzero()[:, 0]
        body = pick(spots.body, row)
        local = bodies.local_point(body, spots.point[row])
        found.index_copy_(0, row, reaches_edge(code, local, pick(bodies.half, body), pick(cell, row)))
    return found.view(-1).nonzero()


def _facing_lamps(bodies: Bodies, spots: SurfacePoints, upright: Vec, lit: Sequence[Tensor]) -> list[Tensor]:
    """What arrives from each lamp at points that face it, where it is known, ``lit``, for the normals ``upright``."""
    arriving = []
    for light, lamp, place in zip(lit, bodies.world.lamps, bodies.lamps, strict=True):
        segment = to_lamp(lamp, place[spots.scene], spots.point)
        cosine = segment.dot(upright) / segment.dot(segment).sqrt()
        arriving.append(light / cosine.clamp(min=_GRAZING) * (segment.dot(spots.normal) > 0))
    return arriving


def highlights(bodies: Bodies, spots: SurfacePoints, lit: Tensor) -> list[Tensor]:
    """Light of each lamp, at unit strength, off the mirror and the brushed marks (GGX, no masking term)."""
    arriving = []
    for number, (lamp, place) in enumerate(zip(bodies.world.lamps, bodies.lamps, strict=True)):
        segment = to_lamp(lamp, place[spots.scene], spots.point)
        cosine = segment.dot(spots.normal) / segment.dot(segment).sqrt()
        arriving.append(lit[number] / cosine.clamp(min=_GRAZING))
    return _glints(bodies, spots, arriving)


def _glints(bodies: Bodies, spots: SurfacePoints, arriving: Sequence[Tensor]) -> list[Tensor]:
    """Highlights, from the irradiance by each lamp of a surface that faces it."""
    if bodies.compiled:
        return bodies.compiled.glints(bodies, spots, arriving)  # type: ignore[no-any-return]
    normal, view = spots.normal, spots.view
    around = _around(bodies, spots)
    scale = (0.25 / GROUND_ALBEDO) / (-view.dot(normal)).clamp(min=_GRAZING)
    glints = []
    for light, lamp, place in zip(arriving, bodies.world.lamps, bodies.lamps, strict=True):
        segment = to_lamp(lamp, place[spots.scene], spots.point)
        inverse = 1.0 / segment.dot(segment).sqrt()
        half = (segment * inverse - view).unit()
        along, upright = half.dot(around), half.dot(normal)
        along, upright = along * along, upright * upright
        aside = 1.0 - upright
        spread = inverse * (0.5 * lamp.radius)
        marks = _lobe(upright, along, aside - along, spread + METAL.along, spread + METAL.across) * METAL.brushed
        rough = spread + METAL.mirror_roughness
        mirror = _lobe(upright, aside, None, rough, rough) * METAL.mirror
        glints.append((marks + mirror) * (light * scale))
    return glints


def _lobe(upright: Tensor, along: Tensor, across: Tensor | None, rough: Tensor, rough_across: Tensor) -> Tensor:
    """Density of microscopic normals about a half vector, times pi.

    Args:
        upright: square of the half vector's part along the normal.
        along: square of its part along the marks.
        across: square of its part across them; ``None``: ``along`` has both.
        rough: roughness along the marks.
        rough_across: roughness across them.
    """
    under = along / (rough * rough) + upright
    if across is not None:
        under = under + across / (rough_across * rough_across)
    return 1.0 / (rough * rough_across * (under * under))


def _around(bodies: Bodies, spots: SurfacePoints) -> Vec:
    """Unit tangents that run around each body's vertical axis."""
    offset = spots.point - bodies.center[spots.body]
    ring = Vec(-offset.y, offset.x, torch.zeros_like(offset.x))
    flat = ring - spots.normal * ring.dot(spots.normal)
    return flat * (1.0 / flat.dot(flat).clamp(min=1e-9).sqrt())


def mirror_image(bodies: Bodies, spots: SurfacePoints, mirror: Vec) -> list[Tensor]:
    """Radiance that arrives at spots from the unit directions ``mirror``."""
    near, other = _nearest_body(bodies, spots, mirror)
    image = surroundings(bodies, spots.scene, spots.point, mirror, shadows=True)
    hit = (other >= 0).reshape(-1).nonzero()  # (h, 1): from here on, rows of one
    body, distance = pick(other.view(-1), hit), pick(near.view(-1), hit)
    there = find_surface_points(bodies, body, spots.point.reshape(-1)[hit], mirror.reshape(-1)[hit], distance)
    for channel, values in enumerate(_second_look(bodies, there)):
        image[channel].view(-1).scatter_(0, hit[:, 0], values[:, 0])
    return image


def _nearest_body(bodies: Bodies, spots: SurfacePoints, mirror: Vec) -> tuple[Tensor, Tensor]:
    """Distance to and row of the first other body in the mirror, -1 where there is none."""
    near = torch.full_like(mirror.x, MISS)
    other = torch.full_like(mirror.x, -1, dtype=torch.int64)
    rows = RayPackets.of(spots.scene[:, 0], spots.point)
    beams = RayPackets.of(rows.scene, mirror)
    if bodies.compiled:
        bodies.compiled.mirrored(bodies, rows, beams, spots.body[:, 0], near, other)
    for group in bodies.uncompiled:
        body = group.of_scene.index_select(1, rows.scene)  # (R, n)
        there = (body >= 0) & (body != spots.body[:, 0])
        body = body.clamp(min=0)
        to_ball, ball = bodies.center[body] - rows.middle, pick(bodies.ball, body) + rows.radius
        round_, row = (there & may_meet(beams.middle, beams.radius, to_ball, ball)).nonzero().unbind(1)
        body = body[round_, row, None]
        origin = bodies.local_point(body, spots.point[row])
        distances = enter(group.shape, origin, bodies.local_direction(body, mirror[row]), pick(bodies.half, body))
        for into, t, new in group.split(round_, row, distances, body):
            before = pick(near, into)
            other.index_copy_(0, into, torch.where(t < before, new, pick(other, into)))
            near.index_copy_(0, into, torch.minimum(t, before))
    return near, other


def may_meet(beam: Vec, spread: Tensor, to_ball: Vec, radius: Tensor) -> Tensor:
    """Whether any ray from a point may meet a ball, rays whose directions differ from ``beam`` by up to ``spread``."""
    square = to_ball.dot(to_ball)
    ahead = (to_ball.dot(beam) / beam.dot(beam).clamp(min=1e-6)).clamp(min=0.0)
    miss = to_ball - beam * ahead
    reach = radius + (square.sqrt() + radius) * spread
    return miss.dot(miss) < reach * reach


def _second_look(bodies: Bodies, spots: SurfacePoints) -> list[Tensor]:
    """Radiance of bodies seen in a mirror: no shadows on them, and no bodies mirrored in them once more."""
    lit = lamps_on(bodies, spots, shadows=False)
    radiance = matte(bodies, spots, lit)
    index = pick(bodies.metal, spots.body[:, 0]).nonzero()[:, 0]
    spots = spots[index]
    around = surroundings(bodies, spots.scene, spots.point, spots.view.reflect(spots.normal), shadows=False)
    reflected = [values * (METAL.mirror + METAL.brushed) for values in around]
    again = _with_highlights(bodies, spots.body, reflected, highlights(bodies, spots, lit.index_select(1, index)))
    for channel, values in zip(radiance, again, strict=True):
        channel.index_copy_(0, index, values)
    return radiance


def surroundings(bodies: Bodies, scene: Tensor, point: Vec, direction: Vec, *, shadows: bool) -> list[Tensor]:
    """Radiance of ground, backdrop and sky along unit directions from points above the ground."""
    below = (0.5 - direction.z * (0.5 / METAL.horizon)).clamp(0.0, 1.0)
    floor = point + direction * (point.z / (-direction.z).clamp(min=_GRAZING))
    floor = Vec(floor.x, floor.y, torch.zeros_like(floor.x))
    seen = _lamps_seen(bodies, scene, floor, direction.z < 0) if shadows else None
    above = _above(point, direction)
    return [above + (values - above) * below for values in bare_ground(bodies, scene, floor, seen)]


_FAR = 20.0
"""Distance from the middle of the ground from which on no shadow is looked for in a mirror."""


def _lamps_seen(bodies: Bodies, scene: Tensor, floor: Vec, where: Tensor) -> Tensor:
    """``(L, n, k)``: share of each lamp that is seen from points of the ground; all of it unless ``where``."""
    seen = torch.ones(len(bodies.lamps), *floor.x.shape, device=scene.device)
    where = where & (floor.x * floor.x + floor.y * floor.y < _FAR * _FAR)
    index = where.any(1).nonzero()[:, 0]
    # other points stand in the middle, so that they do not spread the packets
    within = pick(where, index)
    points = Vec(*(torch.where(within, pick(part, index), 0.0) for part in (floor.x, floor.y, floor.z)))
    rows = RayPackets.of(pick(scene[:, 0], index), points)
    part = within.float().expand(len(bodies.lamps), -1, -1).clone()
    take_shadows(bodies, rows, part, scattered=True)
    return torch.where(where, seen.index_copy_(1, index, part), 1.0)


def _above(point: Vec, direction: Vec) -> Tensor:
    """Radiance of what is above the ground along unit directions: the backdrop's wall, else the sky."""
    b = BACKDROP
    toward = (direction.x * b.x + direction.y * b.y).clamp(min=_GRAZING)
    t = (b.distance - (point.x * b.x + point.y * b.y)) / toward
    side = point.y * b.x - point.x * b.y + t * (direction.y * b.x - direction.x * b.y)
    soft = 1.0 / (t * b.softness)
    share = ((b.height - point.z - t * direction.z) * soft + 0.5).clamp(0.0, 1.0)
    share = share * ((b.right - side) * soft + 0.5).clamp(0.0, 1.0) * ((side - b.left) * soft + 0.5).clamp(0.0, 1.0)
    return BACKDROP.sky + (BACKDROP.radiance - BACKDROP.sky) * share
