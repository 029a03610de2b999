"""Light from the lamps: how strong it arrives, and which bodies stand in its way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, Group
from clevr.world.look import DISTANT, LAMPS
from clevr.world.shadows import cover
from clevr.world.vectors import Vec


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
    return cosine.clamp(min=0.0) * facing.clamp(min=0.0) / (square * square)


def may_shade(segment: Vec, to_ball: Vec, radius: Tensor, lamp: float, spread: Tensor | float = 0.0) -> Tensor:
    """Whether a ball may hide part of a lamp from any point in a ball of radius ``spread`` about a point.

    Args:
        segment: from the points to the lamp.
        to_ball: from the points to the blocking ball's middle.
        radius: of the blocking ball.
        lamp: radius of the lamp.
        spread: how far the lit points lie from those given.
    """
    nearest = (to_ball.dot(segment) / segment.dot(segment)).clamp(0.0, 1.0)
    miss = to_ball - segment * nearest
    reach = radius + nearest * lamp + spread * (1.0 - nearest)
    return miss.dot(miss) < reach * reach


def covers(bodies: Bodies, group: Group, body: Tensor, point: Vec, segment: Vec, lamp: float) -> Tensor:
    """Share of a lamp that bodies of one group hide from points (all arguments broadcast)."""
    origin = bodies.local_point(body, point)
    return cover(group.shape, origin, bodies.local_direction(body, segment), bodies.half[body], lamp)


def take_shadows(
    bodies: Bodies, scene: Tensor, point: Vec, segments: Sequence[Vec], light: Tensor, own: Tensor | None = None
) -> None:
    """Take from the light at points what bodies hide of it, in place.

    Args:
        bodies: the scenes.
        scene: ``(F,)``, of the points.
        point: ``(F,)``.
        segments: one ``(F,)`` per lamp, from the points to it.
        light: ``(L, F)``.
        own: ``(F,)``, the bodies on which the points lie. A body is convex: it is not asked whether it shades itself.
    """
    for group in bodies.groups:
        blocker = group.of_scene[scene]
        pairs = _pairs(bodies, group)[:, own] if own is not None else None
        spot = (blocker >= 0 if pairs is None else pairs.any(0)).nonzero()[:, 0]
        body, here = blocker[spot], point[spot]
        to_ball, radius = bodies.center[body] - here, bodies.ball[body]
        for number, segment in enumerate(segments):
            toward, lamp = segment[spot], LAMPS[number].radius
            may = may_shade(toward, to_ball, radius, lamp) & (light[number, spot] > 0)
            hit = may.nonzero()[:, 0]
            share = covers(bodies, group, body[hit], here[hit], toward[hit], lamp)
            light[number, spot[hit]] *= 1.0 - share


def _pairs(bodies: Bodies, group: Group) -> Tensor:
    """``(L, M)``: whether the group's body in a body's scene may hide a lamp from it."""
    blocker = group.of_scene[bodies.scene]
    other = (blocker >= 0) & (blocker != torch.arange(len(blocker), device=blocker.device))
    to_ball = bodies.center[blocker] - bodies.center
    may = []
    for number, place in enumerate(bodies.lamps):
        segment = to_lamp(number, place[bodies.scene], bodies.center)
        may.append(other & may_shade(segment, to_ball, bodies.ball[blocker], LAMPS[number].radius, bodies.ball))
    return torch.stack(may)
