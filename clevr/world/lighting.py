"""Light from the lamps, soft shadows, and the grey ground with the tint of what stands near.

Shadows are in closed form: how much of a small area light a convex body hides. Seen from a point, a lamp of radius
``r`` at the end of the segment ``p + t d`` (``t = 1``) fills a cone whose radius grows as ``r t``. Where the axis of
that cone passes a silhouette edge of a body at signed distance ``c`` (positive inside) and at parameter ``t``, the
edge cuts the lamp's disc at ``c / (r t)``. For a box, a cylinder and a sphere the distance to every silhouette edge
is elementary:

* box: the edge between faces ``i`` and ``j`` is missed by ``(far_j - near_i) |d_i d_j| / sqrt(d_i^2 + d_j^2)``
  where ``near`` and ``far`` are where the line enters and leaves the two slabs;
* cylinder: radius less distance to the axis, and the same rule between cap and wall at the rim (beyond the rim, the
  distance to its tangent);
* sphere: radius less distance to the centre.

A rounded edge is a sharp edge of a smaller body moved out by the bevel. No samples, hence no grain, and an image
costs about one hard shadow test. ``tests/reference`` has the brute-force answer it is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add, mul

import torch
from torch import Tensor

from clevr.world import solids
from clevr.world.appearance import BACKDROP, TINT
from clevr.world.primitives import BEVELS, CUBE, CYLINDER, SPHERE, Bodies, BodyGroup
from clevr.world.ray_casting import BLOCK, TILE, Grid, View
from clevr.world.spec import Lamp
from clevr.world.vectors import PART, PARTS, RayPackets, Vec, pick

_TINY = 1e-6
_NEAREST = 1e-3
"""Smallest segment parameter at which an edge counts: a contact shadow is sharp, not infinitely so."""


def cover(
    shape: int, origin: Vec, segment: Vec, half: Tensor, lamp: Tensor | float, spread: Tensor | float = 0.0
) -> Tensor:
    """Share of a lamp that a body hides.

    Args:
        shape: code of the body's shape.
        origin: points in the body's frame.
        segment: from the points to the lamp's middle.
        half: half the body's width.
        lamp: radius of the lamp.
        spread: how far points may lie from those given (CLEVR's bodies only): 0 or 1 then holds for all such points.
    Returns:
        Values in [0, 1], broadcast over the arguments.
    """
    if shape == SPHERE:
        return sphere_cover(origin, segment, half, lamp, spread)
    if shape > CYLINDER:
        return _share(solids.cover(shape, origin, segment, half, lamp))
    rounded = cube_cover if shape == CUBE else cylinder_cover
    return rounded(origin, segment, half, half * BEVELS[shape], lamp, spread)


def _cone(t: Tensor, lamp: Tensor | float, spread: Tensor | float) -> Tensor:
    """Radius, at segment parameter ``t``, of what reaches from a ball of radius ``spread`` to a lamp."""
    return t * lamp + (1.0 - t) * spread if isinstance(spread, Tensor) else t * lamp


def sphere_cover(
    origin: Vec, segment: Vec, radius: Tensor, lamp: Tensor | float, spread: Tensor | float = 0.0
) -> Tensor:
    """Share of the lamp that a sphere hides."""
    nearest = (-origin.dot(segment) / segment.dot(segment)).clamp(_NEAREST, 1.0)
    miss = origin + segment * nearest
    return _share((radius - miss.dot(miss).sqrt()) / _cone(nearest, lamp, spread))


def cube_cover(
    origin: Vec, segment: Vec, half: Tensor, bevel: Tensor, lamp: Tensor | float, spread: Tensor | float = 0.0
) -> Tensor:
    """Share of the lamp that a cube with rounded edges hides; ``half`` is half its width."""
    inner = half - bevel
    nearest = (-origin.dot(segment) / segment.dot(segment)).clamp(_NEAREST, 1.0)
    inside: list[Tensor] = []
    inverse, middle, reach = [], [], []
    cone = _cone(nearest, lamp, spread)
    for o, d in ((origin.x, segment.x), (origin.y, segment.y), (origin.z, segment.z)):
        inverse.append(1.0 / torch.where(d.abs() < _TINY, _TINY, d))
        middle.append(-o * inverse[-1])
        reach.append(inner * inverse[-1].abs())
        leaving = middle[-1] + half * inverse[-1].abs() <= 0
        beside = (half - (o + d * nearest).abs()) / cone
        inside.append(torch.where(leaving, beside, 1.0))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        width = 1.0 / (inverse[i] * inverse[i] + inverse[j] * inverse[j]).sqrt()
        for a, b in ((i, j), (j, i)):
            near, far = middle[a] - reach[a], middle[b] + reach[b]
            inside.append(((far - near) * width + bevel) / _cone(_depth(near, far), lamp, spread))
    return _share(reduce(torch.minimum, inside))


def cylinder_cover(
    origin: Vec, segment: Vec, half: Tensor, bevel: Tensor, lamp: Tensor | float, spread: Tensor | float = 0.0
) -> Tensor:
    """Share of the lamp that an upright cylinder hides; ``half`` is its radius and half its height."""
    inner = half - bevel
    flat = (segment.x * segment.x + segment.y * segment.y).clamp(min=_TINY * _TINY)
    length = flat.sqrt()
    nearest = -(origin.x * segment.x + origin.y * segment.y) / flat
    miss = (origin.x * segment.y - origin.y * segment.x).abs() / length
    chord = (inner * inner - miss * miss).clamp(min=0.0).sqrt()
    along = chord / length
    inverse = 1.0 / torch.where(segment.z.abs() < _TINY, _TINY, segment.z)
    middle, reach = -origin.z * inverse, inner * inverse.abs()
    wall = chord * length / inner
    width = wall / (1.0 + wall * wall * inverse * inverse).sqrt()
    passing = nearest.clamp(_NEAREST, 1.0)
    inside = (half - _from_axis(origin, segment, passing)[0]) / _cone(passing, lamp, spread)
    low, high = middle - reach, middle + reach
    for near, far, cap in ((nearest - along, high, high), (low, nearest + along, low)):
        away, outward = _from_axis(origin, segment, cap)
        short = (inner - away).clamp(max=0.0) / (1.0 + outward * outward * inverse * inverse).sqrt()
        gap = far - near
        distance = torch.where(gap > 0, gap * width, short) + bevel
        inside = torch.minimum(inside, distance / _cone(_depth(near, far), lamp, spread))
    return _share(inside) * (middle + half * inverse.abs() > 0)


def _from_axis(origin: Vec, segment: Vec, t: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from the vertical axis of the points at ``t``, and how fast it grows with ``t``."""
    x, y = origin.x + segment.x * t, origin.y + segment.y * t
    away = (x * x + y * y).sqrt().clamp(min=_TINY)
    return away, (x * segment.x + y * segment.y) / away


def _depth(near: Tensor, far: Tensor) -> Tensor:
    """Segment parameter at which the line passes the edge between two faces."""
    return ((far + near) * 0.5).clamp(_NEAREST, 1.0)


def _share(cut: Tensor) -> Tensor:
    """Share of a disc on one side of a line at ``cut`` radii from its middle (within 0.007)."""
    cut = cut.clamp(-1.0, 1.0)
    return 0.5 + cut * (0.66 - 0.16 * cut * cut)


def to_lamp(lamp: Lamp, place: Vec, point: Vec) -> Vec:
    """Segments from points to the middle of a lamp, whose places broadcast against the points."""
    return place if lamp.distant else place - point


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


def covers(
    bodies: Bodies,
    group: BodyGroup,
    body: Tensor,
    point: Vec,
    segment: Vec,
    lamp: Tensor,
    spread: Tensor | float = 0.0,
) -> Tensor:
    """Share of a lamp that bodies of one group hide from points (all arguments broadcast); see :func:`cover`."""
    origin = bodies.local_point(body, point)
    return cover(group.shape, origin, bodies.local_direction(body, segment), pick(bodies.half, body), lamp, spread)


_WIDER = 1.5
"""By how much the ball around a part is widened before its middle tells of all its points."""
_DARK = 0.999
"""Share of a lamp from which on all of it counts as hidden from a part; below one less this, nothing of it."""


def take_shadows(
    bodies: Bodies, rows: RayPackets, light: Tensor, own: Tensor | None = None, *, scattered: bool = False
) -> None:
    """Take from the light at points what bodies hide of it, in place.

    A ball around a body tells where it may shade: first for rows, then for their parts. Parts that lie in the full
    shadow or in the full light altogether are told by their middles; the points of the others are looked at one by one.

    Args:
        bodies: the scenes.
        rows: the points.
        light: ``(L, n, ROW_LENGTH)``.
        own: ``(n,)``, the bodies on which the points lie. A body is not asked whether it shades itself: all are convex
            but the torus, whose own shadow on its inner side is left out.
        scattered: the points of a part lie so far apart that its middle tells nothing, and that most of them are out of
            the reach of what may shade some.
    """
    if bodies.compiled:
        bodies.compiled.take_shadows(bodies, rows, light, own, scattered=scattered)
    if not bodies.uncompiled:
        return
    light = light.view(-1, PART)
    pairs = _may_shade_parts(bodies, rows, light.amax(1) > 0, own)
    for group in bodies.uncompiled:
        mine = pairs[(pick(bodies.shape, pairs.body) == group.shape).nonzero()[:, 0]]
        if group.shape <= CYLINDER and not scattered:
            mine = _decide_by_middles(bodies, group, rows, mine, light)
        _take_by_points(bodies, group, rows.points.reshape(-1, PART), mine, light, scattered)


@dataclass(frozen=True)
class _Shades:
    """``m`` pairs of a body and a part of a row that it may shade from a lamp, in the order of rounds."""

    round: Tensor
    lamp: Tensor
    scene: Tensor
    body: Tensor
    part: Tensor
    place: Tensor
    """Rows of the light, which has as many for each lamp as there are parts."""

    def __getitem__(self, index: Tensor) -> _Shades:
        return _Shades(*(pick(getattr(self, field.name), index) for field in fields(self)))


def _may_shade_parts(bodies: Bodies, rows: RayPackets, lit_part: Tensor, own: Tensor | None) -> _Shades:
    """What may shade which parts of rows, of those that are lit: first found for rows."""
    radii, group = bodies.lamp_radii, bodies.together
    lamps, parts = (torch.arange(count, device=lit_part.device) for count in (len(radii), PARTS))
    lit = lit_part.view(len(lamps), -1, PARTS).any(2)
    blocker = group.of_scene.index_select(1, rows.scene)[:, None]  # (R, 1, n)
    there = blocker >= 0 if own is None else (blocker >= 0) & (blocker != own)
    blocker = blocker.clamp(min=0)
    to_ball, ball = bodies.center[blocker] - rows.middle, pick(bodies.ball, blocker)
    may = torch.cat(
        [
            may_shade(_to_lamps(bodies, lamp, rows.scene, rows.middle), to_ball, ball, radius, rows.radius)
            for lamp, radius in zip(lamps[:, None], radii, strict=True)
        ],
        dim=1,
    )
    may &= there & lit
    round_, lamp, row = may.nonzero().repeat_interleave(PARTS, 0).unbind(1)
    part = (row.view(-1, PARTS) * PARTS + parts).view(-1)
    place = lamp * (len(lit_part) // len(lamps)) + part
    pairs = _Shades(round_, lamp, pick(rows.scene, row), blocker[round_, 0, row], part, place)
    pairs = pairs[pick(lit_part, place).nonzero()[:, 0]]
    middle = rows.part_middle[pairs.part]
    segment, to_ball = _to_lamps(bodies, pairs.lamp, pairs.scene, middle), bodies.center[pairs.body] - middle
    size, spread = pick(radii, pairs.lamp), pick(rows.part_radius, pairs.part)
    return pairs[may_shade(segment, to_ball, pick(bodies.ball, pairs.body), size, spread).nonzero()[:, 0]]


def _decide_by_middles(bodies: Bodies, group: BodyGroup, rows: RayPackets, pairs: _Shades, light: Tensor) -> _Shades:
    """Put out the light of parts that are dark altogether; what is left of the pairs, without those that are lit."""
    middle, spread = rows.part_middle[pairs.part], pick(rows.part_radius, pairs.part)
    segment = _to_lamps(bodies, pairs.lamp, pairs.scene, middle)
    share = covers(bodies, group, pairs.body, middle, segment, pick(bodies.lamp_radii, pairs.lamp), spread * _WIDER)
    light.index_fill_(0, pairs.place[share > _DARK], 0.0)
    return pairs[((share >= 1.0 - _DARK) & (share <= _DARK)).nonzero()[:, 0]]


def _take_by_points(
    bodies: Bodies, group: BodyGroup, points: Vec, pairs: _Shades, light: Tensor, scattered: bool
) -> None:
    """Take from the light at the points of parts, ``(parts, PART)``, what one body each hides of it."""
    lamp, scene, body = (values[:, None] for values in (pairs.lamp, pairs.scene, pairs.body))
    point, size = points[pairs.part], pick(bodies.lamp_radii, lamp)
    segment, offset = _to_lamps(bodies, lamp, scene, point), bodies.center[body] - point
    may = may_shade(segment, offset, pick(bodies.ball, body), size, torch.zeros_like(size))
    if scattered:
        near = may.view(-1).nonzero()  # (m, 1): from here on, rows of one
        row = near // PART
        body, size = (pick(values[:, 0], row) for values in (body, size))
        point, segment = (part.reshape(-1)[near] for part in (point, segment))
        place, round_ = pick(pairs.place, row) * PART + near % PART, pick(pairs.round, row)[:, 0]
        light, place = light.view(-1, 1), place[:, 0]
        seen = 1.0 - covers(bodies, group, body, point, segment, size)
    else:
        place, round_ = pairs.place, pairs.round
        seen = torch.where(may, 1.0 - covers(bodies, group, body, point, segment, size), 1.0)
    for into, share in bodies.together.split(round_, place, seen):
        light.index_copy_(0, into, pick(light, into) * share)


def _to_lamps(bodies: Bodies, lamp: Tensor, scene: Tensor, point: Vec) -> Vec:
    """Segments from points to the middles of various lamps of various scenes (all arguments broadcast)."""
    place = bodies.places[lamp * bodies.num_scenes + scene]
    return place - point * pick(bodies.lamp_is_near, lamp)


_FARTHEST = 60.0
"""Depth at which rays that never meet the ground are said to meet it."""


CACHED = 320 * 240
"""Pixels of whole images that are worked on at once: as many as a core's caches hold."""


def ground_light(bodies: Bodies, grid: Grid, view: View) -> Tensor:
    """``(3, B, P)``: light of the ground in the pixels in tile order, by the share of each pixel that shows ground."""
    assert view.rows is not None
    bare = view.shown < 0
    share = reduce(add, bare.float().unbind(1)) * (1.0 / grid.samples**2)
    point = _ground_points(bodies, grid, view.rows, bare, share).reshape(-1, BLOCK * BLOCK)
    scene = torch.arange(bodies.num_scenes, device=grid.device)
    rows = RayPackets.of(scene.repeat_interleave(grid.num_pixels // BLOCK**2), point)
    # no shadows are looked for where no part of a tile shows ground
    seen = torch.ones(len(bodies.lamps), bodies.num_scenes * grid.num_tiles, TILE * TILE, device=grid.device)
    seen.index_fill_(1, view.rows[~bare.flatten(1).any(1)], 0.0)
    take_shadows(bodies, rows, seen)
    image = torch.empty(3, bodies.num_scenes, grid.num_pixels, device=grid.device)
    size = max(1, CACHED // grid.num_pixels)
    parts = [part.reshape(bodies.num_scenes, -1).split(size) for part in (point.x, point.y, point.z)]
    lamps_seen = seen.view(len(bodies.lamps), bodies.num_scenes, -1).split(size, 1)
    for into, one, x, y, z, lamps in zip(image.split(size, 1), scene.split(size), *parts, lamps_seen, strict=True):
        into.copy_(torch.stack(bare_ground(bodies, one[:, None], Vec(x, y, z), lamps)))
    add_tint(bodies, rows, list(image.view(3, -1, BLOCK * BLOCK)))
    tiles = image.view(3, -1, TILE * TILE)
    tiles.index_copy_(1, view.rows, tiles.index_select(1, view.rows) * share)
    return image.clamp_(min=0.0)


def bare_ground(bodies: Bodies, scene: Tensor, point: Vec, seen: Tensor | None = None) -> list[Tensor]:
    """Radiance of the ground in three channels, without tint.

    Args:
        bodies: the scenes.
        scene: index of each point's scene, to broadcast against the points.
        point: on the ground.
        seen: ``(L, ...)``, share of each lamp that is seen from the points; all of all lamps by default.
    """
    radiance = [_backdrop(point)]
    radiance += [radiance[0].clone(), radiance[0].clone()]
    for number, (lamp, places) in enumerate(zip(bodies.world.lamps, bodies.lamps, strict=True)):
        light = _on_ground(lamp, places[scene], point)
        if seen is not None:
            light = seen[number] * light
        for value, share in zip(radiance, lamp.strength, strict=True):
            value += light * share
    return radiance


def _on_ground(lamp: Lamp, place: Vec, point: Vec) -> Tensor:
    """As :func:`strength` on the ground, which faces up: fewer steps for the same."""
    square = place.dot(place)
    if lamp.distant:
        return place.z.clamp(min=0.0) * square.sqrt() / (square * square)
    toward = place * (place.z.clamp(min=0.0) / square.sqrt())
    x, y = place.x - point.x, place.y - point.y
    facing = (x * toward.x).add_(y * toward.y).add_(place.z * toward.z).clamp_(min=0.0)
    distance = x.mul_(x).add_(y.mul_(y)).add_(place.z * place.z)
    return facing.div_(distance.mul_(distance))


def _ground_points(bodies: Bodies, grid: Grid, tiles: Tensor, bare: Tensor, share: Tensor) -> Vec:
    """``(B, P)``: where the rays through the pixels meet the ground, in tile order.

    A pixel's ray goes through the middle of those of its samples that show ground: at the foot of a body the pixel's
    own middle may lie under the body, in the dark.

    Args:
        bodies: of the scenes.
        grid: of the image.
        tiles: ``(n,)``, those in which bodies may be seen, counted through the batch.
        bare: ``(n, S, TILE ** 2)``, their samples that show ground.
        share: ``(n, TILE ** 2)``, how many of a pixel's samples do so.
    """
    scenes = torch.arange(bodies.num_scenes, device=grid.device).split(max(1, CACHED // grid.num_pixels))
    whole = [_on_plane(bodies, some[:, None], *grid.middles()) for some in scenes]
    x, y = (torch.cat([getattr(point, axis) for point in whole]) for axis in "xy")
    row, pixel = ((share > 0) & (share < 1)).nonzero().unbind(1)
    place = pick(tiles, row) * TILE**2 + pixel
    samples = bare.transpose(1, 2)[row, pixel].float()
    inverse = 1.0 / reduce(add, samples.unbind(1))
    at = [
        pick(corner, place % grid.num_pixels) + reduce(add, map(mul, samples.unbind(1), shifts.tolist())) * inverse
        for corner, shifts in zip(grid.corners(), grid.shifts(), strict=True)
    ]
    partly = _on_plane(bodies, place // grid.num_pixels, *grid.screen(*at))
    for into, values in ((x, partly.x), (y, partly.y)):
        into.view(-1).index_copy_(0, place, values)
    return Vec(x, y, torch.zeros_like(x))


def _on_plane(bodies: Bodies, scene: Tensor, x: Tensor, y: Tensor) -> Vec:
    """Where rays through points of the screen meet the ground."""
    camera = bodies.camera[scene]
    ray = bodies.forward[scene] + bodies.right[scene] * x + bodies.up[scene] * y
    depth = (camera.z / ray.z.neg_().clamp_(min=1e-3)).clamp_(max=_FARTHEST)
    return Vec(ray.x.mul_(depth).add_(camera.x), ray.y.mul_(depth).add_(camera.y), torch.zeros_like(depth))


def _backdrop(point: Vec) -> Tensor:
    """Light on the ground that comes from no lamp, growing toward the backdrop."""
    behind = point.x * BACKDROP.x + point.y * BACKDROP.y
    rise = ((behind - BACKDROP.start) / (BACKDROP.end - BACKDROP.start)).clamp(0.0, 1.0)
    return BACKDROP.near + (BACKDROP.far - BACKDROP.near) * rise * rise * (3.0 - 2.0 * rise)


def add_tint(bodies: Bodies, rows: RayPackets, light: Sequence[Tensor]) -> None:
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
