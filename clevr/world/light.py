"""Light from the lamps: how strong it arrives, and which bodies stand in its way."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, Group
from clevr.world.look import DISTANT, LAMPS
from clevr.world.shadows import cover
from clevr.world.shapes import CUBE, CYLINDER
from clevr.world.vectors import Vec

REACH = {CUBE: 3.0**0.5, CYLINDER: 2.0**0.5}
"""Radius of the ball around a body, in half widths (1 for a sphere)."""


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


def ball_radius(bodies: Bodies) -> Tensor:
    """``(M,)``: radius of a ball around each body."""
    factor = torch.ones_like(bodies.half)
    for shape, reach in REACH.items():
        factor = torch.where(bodies.shape == shape, reach, factor)
    return bodies.half * factor


def may_shade(segment: Vec, to_ball: Vec, radius: Tensor, lamp: Tensor, spread: Tensor | float) -> Tensor:
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
    reach = radius + lamp * nearest + spread * (1.0 - nearest)
    return miss.dot(miss) < reach * reach


def covers(bodies: Bodies, group: Group, body: Tensor, point: Vec, segment: Vec, lamp: Tensor) -> Tensor:
    """Share of the lamps that bodies of one group hide from points (all arguments broadcast)."""
    origin = bodies.local_point(body, point)
    return cover(group.shape, origin, bodies.local_direction(body, segment), bodies.half[body], lamp)


def lamp_radii(device: torch.device) -> Tensor:
    """``(L,)``."""
    return torch.tensor([lamp.radius for lamp in LAMPS], device=device)


def shading_pairs(bodies: Bodies, radius: Tensor) -> Iterator[tuple[Group, Tensor, Tensor]]:
    """For each group: which of its bodies may hide which lamp from which body.

    Yields:
        The group, its body in each body's scene ``(M,)``, and whether that may shade it, ``(M, L)``.
    """
    lamp = lamp_radii(radius.device)
    for group in bodies.groups:
        blocker = group.of_scene[bodies.scene]
        other = (blocker >= 0) & (blocker != torch.arange(len(blocker), device=blocker.device))
        may = []
        for number, place in enumerate(bodies.lamps):
            segment = to_lamp(number, place[bodies.scene], bodies.center)
            to_ball = bodies.center[blocker] - bodies.center
            may.append(other & may_shade(segment, to_ball, radius[blocker], lamp[number], radius))
        yield group, blocker, torch.stack(may, dim=1)
