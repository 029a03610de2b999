"""Light from the lamps: how strong it arrives, and which bodies stand in its way."""

from __future__ import annotations

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, Group
from clevr.world.look import DISTANT, LAMPS
from clevr.world.rows import PART, PARTS, Rows
from clevr.world.shadows import cover
from clevr.world.vectors import Vec, pick


def to_lamp(lamp: int, place: Vec, point: Vec) -> Vec:
    """Segments from points to the middle of a lamp, whose places broadcast against the points."""
    return place if lamp == DISTANT else place - point


def strength(place: Vec, segment: Vec, cosine: Tensor) -> Tensor:
    """Irradiance by a lamp of unit strength, nothing in the way.

    Args:
        place: of the lamp, which faces the origin.
        segment: from the lit points to the lamp.
        cosine: inner products of the segments with the surface's unit normals; negative ones count as zero.
    """
    square = segment.dot(segment)
    facing = segment.dot(place) / place.dot(place).sqrt()
    return cosine.clamp(min=0.0) * (facing.clamp(min=0.0) / (square * square))


def may_shade(segment: Vec, to_ball: Vec, radius: Tensor, lamp: Tensor, spread: Tensor) -> Tensor:
    """Whether a ball may hide part of a lamp from any point in a ball of radius ``spread`` about a point.

    What reaches from the lit ball to the lamp is a cone. The place on its axis is found from which the blocking ball is
    least far outside.

    Args:
        segment: from the points to the lamp.
        to_ball: from the points to the blocking ball's middle.
        radius: of the blocking ball.
        lamp: radius of the lamp.
        spread: how far the lit points lie from those given.
    """
    square = segment.dot(segment)
    foot = to_ball.dot(segment) / square
    away = to_ball - segment * foot
    widening = lamp - spread
    lean = widening * (away.dot(away) / (square * (square - widening * widening).clamp(min=1e-6))).sqrt()
    nearest = (foot + lean).clamp(0.0, 1.0)
    miss = to_ball - segment * nearest
    reach = radius + spread + nearest * widening
    return miss.dot(miss) < reach * reach


def covers(bodies: Bodies, group: Group, body: Tensor, point: Vec, segment: Vec, lamp: Tensor) -> Tensor:
    """Share of a lamp that bodies of one group hide from points (all arguments broadcast)."""
    origin = bodies.local_point(body, point)
    return cover(group.shape, origin, bodies.local_direction(body, segment), pick(bodies.half, body), lamp)


def take_shadows(bodies: Bodies, rows: Rows, light: Tensor, own: Tensor | None = None) -> None:
    """Take from the light at points what bodies hide of it, in place.

    A ball around a body tells where it may shade: first for rows, then for their parts, in the end for points.

    Args:
        bodies: the scenes.
        rows: the points.
        light: ``(L, n, LENGTH)``.
        own: ``(n,)``, the bodies on which the points lie. A body is convex: it is not asked whether it shades itself.
    """
    lit, device = light.amax(2) > 0, light.device
    points, light = rows.points.reshape(-1, PART), light.view(-1, PART)
    lamps, parts = torch.arange(len(LAMPS), device=device), torch.arange(PARTS, device=device)
    radii = torch.tensor([lamp.radius for lamp in LAMPS], device=device)
    segments = _to_lamps(bodies, lamps[:, None], rows.scene, rows.middle)
    for group in bodies.groups:
        blocker = group.of_scene.index_select(1, rows.scene)[:, None]  # (R, 1, n)
        there = blocker >= 0 if own is None else (blocker >= 0) & (blocker != own)
        blocker = blocker.clamp(min=0)
        to_ball, ball = bodies.center[blocker] - rows.middle, pick(bodies.ball, blocker)
        may = there & lit & may_shade(segments, to_ball, ball, radii[:, None], rows.radius)
        round_, lamp, row = may.nonzero().repeat_interleave(PARTS, 0).unbind(1)
        body, scene = blocker[round_, 0, row], pick(rows.scene, row)
        part = (row.view(-1, PARTS) * PARTS + parts).view(-1)
        middle, spread = rows.part_middle[part], pick(rows.part_radius, part)
        segment, offset = _to_lamps(bodies, lamp, scene, middle), bodies.center[body] - middle
        may = may_shade(segment, offset, pick(bodies.ball, body), pick(radii, lamp), spread)
        index = may.nonzero()  # (m, 1)
        round_, lamp, scene, body, part = (pick(values, index) for values in (round_, lamp, scene, body, part))
        point, size = points[part[:, 0]], pick(radii, lamp)
        segment, offset = _to_lamps(bodies, lamp, scene, point), bodies.center[body] - point
        may = may_shade(segment, offset, pick(bodies.ball, body), size, torch.zeros_like(size))
        seen = torch.where(may, 1.0 - covers(bodies, group, body, point, segment, size), 1.0)
        place = (lamp * (len(light) // len(LAMPS)) + part)[:, 0]
        for into, share in group.split(round_[:, 0], place, seen):
            light.index_copy_(0, into, pick(light, into) * share)


def _to_lamps(bodies: Bodies, lamp: Tensor, scene: Tensor, point: Vec) -> Vec:
    """Segments from points to the middles of various lamps of various scenes (all arguments broadcast)."""
    place = bodies.places[lamp * bodies.num_scenes + scene]
    return place - point * (lamp != DISTANT)
