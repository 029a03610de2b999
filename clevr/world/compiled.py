"""What takes longest to draw, as loops that Numba compiles: bodies along rays and in mirrors, shadows, highlights.

Torch works out each operation for all points before the next one, so that most of the time goes into fetching and
storing numbers; a compiled loop keeps them in registers. The formulas are the same, operation by operation, in single
precision and without fused products. Results differ from torch's by the last bit of some square roots, which torch
takes from a library that does not round all of them exactly.

Numba keeps what it compiled for as long as this file stays as it is. So numbers of other files, such as how metal
looks, are given to the loops and do not stand in them. Vectors are tuples of three numbers. Functions are put into the
loops that call them (:func:`_part`), so that these are worked out for many points at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.world.appearance import GROUND_ALBEDO, METAL
from clevr.world.arrays import BodyTable, CameraTable, Floats, Integers, LampTable, PacketTable, Points, SpotTable, flat
from clevr.world.primitives import CUBE, CYLINDER, MISS, SPHERE, Bodies
from clevr.world.vectors import PART, PARTS, ROW_LENGTH, RayPackets

if TYPE_CHECKING:
    from clevr.world.materials import SurfacePoints

Vector = tuple[Any, Any, Any]
Metal = tuple[Any, ...]


def _loop(function: Callable[..., Any]) -> Any:
    """Compile a loop when it is first called, and keep the result on disk where there is a place for it."""
    try:
        return numba.njit(function, error_model="numpy", nogil=True, cache=True)
    except RuntimeError:  # no folder can be written to
        return numba.njit(function, error_model="numpy", nogil=True)


def _part(function: Callable[..., Any]) -> Any:
    """A part of a loop, put in its place wherever it is called."""
    options: dict[str, Any] = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(function, error_model="numpy", **options)


# Constants of a loop are in single precision, as torch takes numbers beside its tensors.
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_TINY, _TINY_SQUARE = np.float32(1e-6), np.float32(1e-6 * 1e-6)
_NEAREST = np.float32(1e-3)
_HAIR, _MISS = np.float32(1e-9), np.float32(MISS)
_ON_SURFACE, _NEWTON_STEPS = np.float32(2e-3), 6
_SHARE, _SHARE_CUBED = np.float32(0.66), np.float32(0.16)
_WIDER = np.float32(1.5)
_DARK, _LIT = np.float32(0.999), np.float32(1.0 - 0.999)
_GRAZING, _LEAST_SQUARE = np.float32(0.02), np.float32(1e-9)


# vectors


@_part
def _at(points: Points, index: int) -> Vector:
    return points.x[index], points.y[index], points.z[index]


@_part
def _dot(one: Vector, other: Vector) -> Any:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


@_part
def _minus(one: Vector, other: Vector) -> Vector:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


@_part
def _along(point: Vector, direction: Vector, t: Any) -> Vector:
    return point[0] + direction[0] * t, point[1] + direction[1] * t, point[2] + direction[2] * t


@_part
def _turned(vector: Vector, cos: Any, sin: Any) -> Vector:
    return cos * vector[0] + sin * vector[1], cos * vector[1] - sin * vector[0], vector[2]


@_part
def _least(one: Any, other: Any) -> Any:
    return one if one < other else other


@_part
def _most(one: Any, other: Any) -> Any:
    return one if one > other else other


@_part
def _on_segment(t: Any) -> Any:
    return _least(_most(t, _NEAREST), _ONE)


@_part
def _guarded(value: Any) -> Any:
    return _TINY if abs(value) < _TINY else value


# how much of a lamp a body hides: `clevr.world.lighting.cover`


@_part
def _cone(t: Any, lamp: Any, spread: Any) -> Any:
    return t * lamp + (_ONE - t) * spread


@_part
def _share(cut: Any) -> Any:
    cut = _least(_most(cut, -_ONE), _ONE)
    return _HALF + cut * (_SHARE - _SHARE_CUBED * cut * cut)


@_part
def _sphere_cover(origin: Vector, segment: Vector, radius: Any, lamp: Any, spread: Any) -> Any:
    nearest = _on_segment(-_dot(origin, segment) / _dot(segment, segment))
    miss = _along(origin, segment, nearest)
    return _share((radius - np.sqrt(_dot(miss, miss))) / _cone(nearest, lamp, spread))


@_part
def _cube_face(origin: Any, segment: Any, inverse: Any, half: Any, nearest: Any, cone: Any) -> Any:
    leaving = -origin * inverse + half * abs(inverse) <= _ZERO
    return (half - abs(origin + segment * nearest)) / cone if leaving else _ONE


@_part
def _cube_edge(near: Any, far: Any, width: Any, bevel: Any, lamp: Any, spread: Any) -> Any:
    return ((far - near) * width + bevel) / _cone(_on_segment((far + near) * _HALF), lamp, spread)


@_part
def _cube_edges(one: Any, other: Any, some: Any, more: Any, inner: Any, bevel: Any, lamp: Any, spread: Any) -> Any:
    """Of two pairs of faces, from where a line starts between each and one over how fast it crosses."""
    width = _ONE / np.sqrt(some * some + more * more)
    middle, reach = -one * some, inner * abs(some)
    middle_other, reach_other = -other * more, inner * abs(more)
    return _least(
        _cube_edge(middle - reach, middle_other + reach_other, width, bevel, lamp, spread),
        _cube_edge(middle_other - reach_other, middle + reach, width, bevel, lamp, spread),
    )


@_part
def _cube_cover(origin: Vector, segment: Vector, half: Any, bevel: Any, lamp: Any, spread: Any) -> Any:
    inner = half - bevel
    nearest = _on_segment(-_dot(origin, segment) / _dot(segment, segment))
    cone = _cone(nearest, lamp, spread)
    (x, y, z), (dx, dy, dz) = origin, segment
    i, j, k = _ONE / _guarded(dx), _ONE / _guarded(dy), _ONE / _guarded(dz)
    cut = _cube_face(x, dx, i, half, nearest, cone)
    cut = _least(cut, _cube_face(y, dy, j, half, nearest, cone))
    cut = _least(cut, _cube_face(z, dz, k, half, nearest, cone))
    cut = _least(cut, _cube_edges(x, y, i, j, inner, bevel, lamp, spread))
    cut = _least(cut, _cube_edges(x, z, i, k, inner, bevel, lamp, spread))
    return _share(_least(cut, _cube_edges(y, z, j, k, inner, bevel, lamp, spread)))


@_part
def _from_axis(origin: Vector, segment: Vector, t: Any) -> tuple[Any, Any]:
    x, y = origin[0] + segment[0] * t, origin[1] + segment[1] * t
    away = _most(np.sqrt(x * x + y * y), _TINY)
    return away, (x * segment[0] + y * segment[1]) / away


@_part
def _rim(axis: tuple[Any, Any], ends: tuple[Any, Any], inverse: Any, width: Any, body: tuple[Any, Any]) -> Any:
    """How far a line passes inside the edge between wall and cap, and where; ``body``: inner size, bevel."""
    (away, outward), (near, far), (inner, bevel) = axis, ends, body
    short = _least(inner - away, _ZERO) / np.sqrt(_ONE + outward * outward * inverse * inverse)
    gap = far - near
    return (gap * width if gap > _ZERO else short) + bevel, _on_segment((far + near) * _HALF)


@_part
def _cylinder_cover(origin: Vector, segment: Vector, half: Any, bevel: Any, lamp: Any, spread: Any) -> Any:
    inner = half - bevel
    flat = _most(segment[0] * segment[0] + segment[1] * segment[1], _TINY_SQUARE)
    length = np.sqrt(flat)
    nearest = -(origin[0] * segment[0] + origin[1] * segment[1]) / flat
    miss = abs(origin[0] * segment[1] - origin[1] * segment[0]) / length
    chord = np.sqrt(_most(inner * inner - miss * miss, _ZERO))
    along = chord / length
    inverse = _ONE / _guarded(segment[2])
    middle, reach = -origin[2] * inverse, inner * abs(inverse)
    wall = chord * length / inner
    width = wall / np.sqrt(_ONE + wall * wall * inverse * inverse)
    passing = _on_segment(nearest)
    cut = (half - _from_axis(origin, segment, passing)[0]) / _cone(passing, lamp, spread)
    low, high = middle - reach, middle + reach
    distance, t = _rim(_from_axis(origin, segment, high), (nearest - along, high), inverse, width, (inner, bevel))
    cut = _least(cut, distance / _cone(t, lamp, spread))
    distance, t = _rim(_from_axis(origin, segment, low), (low, nearest + along), inverse, width, (inner, bevel))
    cut = _least(cut, distance / _cone(t, lamp, spread))
    return _share(cut) if middle + half * abs(inverse) > _ZERO else _ZERO


# shadows: `clevr.world.lighting.take_shadows`


@_part
def _may_shade(segment: Vector, to_ball: Vector, ball: Any, lamp: Any, spread: Any) -> Any:
    square = _dot(segment, segment)
    foot = _dot(to_ball, segment) / square
    away = _along(to_ball, segment, -foot)
    widening = lamp - spread
    lean = widening * np.sqrt(_dot(away, away) / (square * _most(square - widening * widening, _TINY)))
    nearest = _least(_most(foot + lean, _ZERO), _ONE)
    miss = _along(to_ball, segment, -nearest)
    reach = ball + spread + nearest * widening
    return _dot(miss, miss) < reach * reach


@_part
def _cover(code: int, origin: Vector, segment: Vector, half: Any, bevel: Any, lamp: Any, spread: Any) -> Any:
    if code == SPHERE:
        return _sphere_cover(origin, segment, half, lamp, spread)
    if code == CUBE:
        return _cube_cover(origin, segment, half, bevel, lamp, spread)
    return _cylinder_cover(origin, segment, half, bevel, lamp, spread)


@_part
def _take_of_row(
    bodies: BodyTable, body: int, rows: PacketTable, row: int, lit: Any, light: Floats, lamp: Any, scattered: bool
) -> None:
    """Take from the light of a row what one body hides of one lamp."""
    place, radius, is_near = lamp
    middle, half, ball = _at(bodies.center, body), bodies.half[body], bodies.ball[body]
    cos, sin, bevel = bodies.cos[body], bodies.sin[body], bodies.bevel[body]
    code = bodies.shape[body]
    for number in range(PARTS):
        part = row * PARTS + number
        point, spread = _at(rows.part_middle, part), rows.part_radius[part]
        segment = _along(place, point, -is_near)
        if not lit[number] or not _may_shade(segment, _minus(middle, point), ball, radius, spread):
            continue
        values = light[number * PART : (number + 1) * PART]
        if not scattered:
            offset = _minus(point, middle)
            turned = _turned(offset, cos, sin), _turned(segment, cos, sin)
            share = _cover(code, turned[0], turned[1], half, bevel, radius, spread * _WIDER)
            if share > _DARK:
                values[:] = _ZERO
            if share > _DARK or share < _LIT:
                continue
        for k in range(PART):
            point = _at(rows.points, part * PART + k)
            segment, offset = _along(place, point, -is_near), _minus(point, middle)
            turned = _turned(offset, cos, sin), _turned(segment, cos, sin)
            hidden = _cover(code, turned[0], turned[1], half, bevel, radius, _ZERO)
            may = _may_shade(segment, _minus(middle, point), ball, radius, _ZERO)
            values[k] *= _ONE - hidden if may else _ONE


@_loop
def _take_shadows(
    bodies: BodyTable, lamps: LampTable, rows: PacketTable, own: Integers, light: Floats, scattered: bool
) -> None:
    num_scenes = len(bodies.first) - 1
    lit = np.empty(PARTS, np.bool_)
    for number in range(len(lamps.radius)):
        for row in range(len(rows.scene)):
            values = light[number, row]
            for part in range(PARTS):
                most = _ZERO
                for k in range(part * PART, (part + 1) * PART):
                    most = _most(most, values[k])
                lit[part] = most > _ZERO
            if not lit.any():
                continue
            scene = rows.scene[row]
            lamp = _at(lamps.places, number * num_scenes + scene), lamps.radius[number], lamps.is_near[number]
            point = _at(rows.middle, row)
            segment = _along(lamp[0], point, -lamp[2])
            for code in range(CYLINDER + 1):
                for body in range(bodies.first[scene], bodies.first[scene + 1]):
                    if bodies.shape[body] == code and body != own[row]:
                        to_ball = _minus(_at(bodies.center, body), point)
                        if _may_shade(segment, to_ball, bodies.ball[body], lamp[1], rows.radius[row]):
                            _take_of_row(bodies, body, rows, row, lit, values, lamp, scattered)


def take_shadows(bodies: Bodies, rows: RayPackets, light: Tensor, own: Tensor | None, *, scattered: bool) -> None:
    """Take from the light what spheres, cubes and cylinders hide of it; see :func:`clevr.world.lighting.take_shadows`.

    Args:
        bodies: the scenes.
        rows: the points.
        light: ``(L, n, ROW_LENGTH)``, contiguous; changed in place.
        own: ``(n,)``, the bodies on which the points lie.
        scattered: the middles of parts tell nothing.
    """
    bodies_of_rows = np.full(len(rows.scene), -1) if own is None else flat(own)
    values = light.view(len(bodies.lamps), len(rows.scene), ROW_LENGTH).numpy()
    _take_shadows(BodyTable.of(bodies), LampTable.of(bodies), PacketTable.of(rows), bodies_of_rows, values, scattered)


# highlights: `clevr.world.materials.highlights`

_LOOKS = (METAL.along, METAL.across, METAL.mirror_roughness, METAL.brushed, METAL.mirror, 0.25 / GROUND_ALBEDO)
_METAL: Metal = tuple(map(np.float32, _LOOKS))
"""Roughness along the marks, across them and of the mirror; shares of light reflected by both; scale of a highlight."""


@_part
def _times(vector: Vector, factor: Any) -> Vector:
    return vector[0] * factor, vector[1] * factor, vector[2] * factor


@_part
def _around(offset: Vector, normal: Vector) -> Any:
    ring = -offset[1], offset[0], _ZERO
    flat = _minus(ring, _times(normal, _dot(ring, normal)))
    return _times(flat, _ONE / np.sqrt(_most(_dot(flat, flat), _LEAST_SQUARE)))


@_part
def _glint(segment: Vector, normal: Vector, view: Vector, around: Vector, radius: Any, metal: Metal) -> Any:
    inverse = _ONE / np.sqrt(_dot(segment, segment))
    half = _minus(_times(segment, inverse), view)
    half = _times(half, _ONE / np.sqrt(_dot(half, half)))
    along, upright = _dot(half, around), _dot(half, normal)
    along, upright = along * along, upright * upright
    aside = _ONE - upright
    spread = inverse * (_HALF * radius)
    rough, rough_across, smooth = spread + metal[0], spread + metal[1], spread + metal[2]
    marks = along / (rough * rough) + upright + (aside - along) / (rough_across * rough_across)
    mirror = aside / (smooth * smooth) + upright
    marks = _ONE / (rough * rough_across * (marks * marks)) * metal[3]
    return marks + _ONE / (smooth * smooth * (mirror * mirror)) * metal[4]


@_loop
def _glints(
    centers: Points, lamps: LampTable, spots: SpotTable, metal: Metal, arriving: Floats, glints: Floats
) -> None:
    num_scenes = len(lamps.places.x) // len(lamps.radius)
    length = arriving.shape[2]
    for row in range(len(spots.body)):
        center = _at(centers, spots.body[row])
        for number in range(len(lamps.radius)):
            place = _at(lamps.places, number * num_scenes + spots.scene[row])
            radius, is_near = lamps.radius[number], lamps.is_near[number]
            for k in range(length):
                at = row * length + k
                point, normal, view = _at(spots.point, at), _at(spots.normal, at), _at(spots.ray, at)
                around = _around(_minus(point, center), normal)
                glint = _glint(_along(place, point, -is_near), normal, view, around, radius, metal)
                scale = _ONE / _most(-_dot(view, normal), _GRAZING) * metal[5]
                glints[number, row, k] = glint * (arriving[number, row, k] * scale)


def glints(bodies: Bodies, spots: SurfacePoints, arriving: Sequence[Tensor]) -> list[Tensor]:
    """Highlights ``(n, k)`` of each lamp, from the irradiance by it of a surface that faces it."""
    light = torch.stack(list(arriving))
    found = torch.empty_like(light)
    _glints(Points.of(bodies.center), LampTable.of(bodies), SpotTable.of(spots), _METAL, light.numpy(), found.numpy())
    return list(found)


# where rays enter bodies: `clevr.world.primitives.enter`


@_part
def _slab(origin: Any, direction: Any, half: Any) -> tuple[Any, Any]:
    inverse = _ONE / (_HAIR if abs(direction) < _HAIR else direction)
    middle, reach = -origin * inverse, half * abs(inverse)
    return middle - reach, middle + reach


@_part
def _enter_sphere(origin: Vector, direction: Vector, half: Any) -> Any:
    square = _dot(direction, direction)
    nearest = -_dot(origin, direction) / square
    miss = _along(origin, direction, nearest)
    under = half * half - _dot(miss, miss)
    t = nearest - np.sqrt(_most(under, _ZERO) / square)
    return t if under > _ZERO and t > _ZERO else _MISS


@_part
def _enter_cube(origin: Vector, direction: Vector, half: Any) -> Any:
    near, far = _slab(origin[0], direction[0], half)
    first, last = _slab(origin[1], direction[1], half)
    near, far = _most(near, first), _least(far, last)
    first, last = _slab(origin[2], direction[2], half)
    near, far = _most(near, first), _least(far, last)
    return near if near < far and near > _ZERO else _MISS


@_part
def _enter_cylinder(origin: Vector, direction: Vector, half: Any) -> Any:
    square = _most(direction[0] * direction[0] + direction[1] * direction[1], _HAIR)
    nearest = -(origin[0] * direction[0] + origin[1] * direction[1]) / square
    x, y = origin[0] + direction[0] * nearest, origin[1] + direction[1] * nearest
    under = half * half - (x * x + y * y)
    along = np.sqrt(_most(under, _ZERO) / square)
    first, last = _slab(origin[2], direction[2], half)
    near, far = _most(nearest - along, first), _least(nearest + along, last)
    return near if under > _ZERO and near < far and near > _ZERO else _MISS


@_part
def _enter_sharp(code: int, origin: Vector, direction: Vector, half: Any) -> Any:
    if code == SPHERE:
        return _enter_sphere(origin, direction, half)
    if code == CUBE:
        return _enter_cube(origin, direction, half)
    return _enter_cylinder(origin, direction, half)


@_part
def _excess(code: int, point: Vector, inner: Any) -> Vector:
    """How far a point lies beyond each pair of faces of the inner body; the wall of a cylinder comes first."""
    if code == CUBE:
        return abs(point[0]) - inner, abs(point[1]) - inner, abs(point[2]) - inner
    return np.sqrt(point[0] * point[0] + point[1] * point[1]) - inner, abs(point[2]) - inner, -_MISS


@_part
def _slope(code: int, point: Vector, direction: Vector, excess: Vector) -> Any:
    if code == CUBE:
        signs = np.sign(point[0]), np.sign(point[1]), np.sign(point[2])
        return _dot((excess[0] * signs[0], excess[1] * signs[1], excess[2] * signs[2]), direction)
    radius = _most(np.sqrt(point[0] * point[0] + point[1] * point[1]), _HAIR)
    outward = (point[0] * direction[0] + point[1] * direction[1]) / radius
    return excess[0] * outward + excess[1] * np.sign(point[2]) * direction[2]


@_part
def _enter_rounded(code: int, origin: Vector, direction: Vector, half: Any, bevel: Any, t: Any) -> Any:
    """Where a ray enters a cube or cylinder, from where it enters the sharp one."""
    inner = half - bevel
    excess = _excess(code, _along(origin, direction, t), inner)
    least, most = _least(excess[0], excess[1]), _most(excess[0], excess[1])
    if _most(least, _least(most, excess[2])) <= _ZERO:
        return t  # on a face
    distance = _ZERO
    for _ in range(_NEWTON_STEPS):
        point = _along(origin, direction, t)
        excess = _excess(code, point, inner)
        excess = _most(excess[0], _ZERO), _most(excess[1], _ZERO), _most(excess[2], _ZERO)
        length = _most(np.sqrt(_dot(excess, excess)), _HAIR)
        distance = length - bevel
        slope = _slope(code, point, direction, excess) / length
        if slope < _ZERO:
            t += _most(distance, _ZERO) / _most(-slope, _HAIR)
        elif distance > _ZERO:
            return _MISS
    return t if distance < bevel * _ON_SURFACE else _MISS


@_loop
def _meet(
    bodies: BodyTable,
    cameras: CameraTable,
    pairs: Integers,
    screen: tuple[Floats, Floats],
    depth: Floats,
    shown: NDArray[np.int32],
) -> None:
    length = depth.shape[1]
    depths = np.empty(length, np.float32)
    for pair in range(pairs.shape[1]):
        body, tile, row = pairs[0, pair], pairs[1, pair], pairs[2, pair]
        code, half, cos, sin = bodies.shape[body], bodies.half[body], bodies.cos[body], bodies.sin[body]
        scene = bodies.scene[body]
        origin = _turned(_minus(_at(cameras.place, scene), _at(bodies.center, body)), cos, sin)
        right = _turned(_at(cameras.right, scene), cos, sin)
        up = _turned(_at(cameras.up, scene), cos, sin)
        forward = _turned(_at(cameras.forward, scene), cos, sin)
        for k in range(length):
            ray = _along(_along(forward, right, screen[0][tile, k]), up, screen[1][tile, k])
            depths[k] = _enter_sharp(code, origin, ray, half)
        for k in range(length):
            t = depths[k]
            if t < depth[row, k]:
                if code != SPHERE:
                    ray = _along(_along(forward, right, screen[0][tile, k]), up, screen[1][tile, k])
                    t = _enter_rounded(code, origin, ray, half, bodies.bevel[body], t)
                if t < depth[row, k]:
                    depth[row, k], shown[row, k] = t, body


def meet(bodies: Bodies, pairs: Tensor, screen: tuple[Tensor, Tensor], depth: Tensor, shown: Tensor) -> None:
    """Find which of pairs of a sphere, cube or cylinder and a tile are nearer than what was found before.

    Args:
        bodies: the scenes.
        pairs: ``(3, m)`` int64: bodies, tiles of the image, and rows of what was found.
        screen: ``(T, k)`` each: where the rays of tiles pass a screen at depth one.
        depth: ``(n, k)``: depth along the view; changed in place.
        shown: ``(n, k)`` int32: the body at that depth; changed in place.
    """
    x, y = (part.numpy() for part in screen)
    _meet(BodyTable.of(bodies), CameraTable.of(bodies), pairs.numpy(), (x, y), depth.numpy(), shown.numpy())


@_loop
def _mirrored(
    bodies: BodyTable, rows: PacketTable, beams: PacketTable, own: Integers, near: Floats, other: Integers
) -> None:
    depths = np.empty(ROW_LENGTH, np.float32)
    for row in range(len(rows.scene)):
        scene, middle, beam = rows.scene[row], _at(rows.middle, row), _at(beams.middle, row)
        for body in range(bodies.first[scene], bodies.first[scene + 1]):
            code, half, cos, sin = bodies.shape[body], bodies.half[body], bodies.cos[body], bodies.sin[body]
            center = _at(bodies.center, body)
            ball = bodies.ball[body] + rows.radius[row]
            may = _may_meet(beam, beams.radius[row], _minus(center, middle), ball)
            if not may or code > CYLINDER or body == own[row]:
                continue
            for k in range(ROW_LENGTH):
                at = row * ROW_LENGTH + k
                origin = _turned(_minus(_at(rows.points, at), center), cos, sin)
                depths[k] = _enter_sharp(code, origin, _turned(_at(beams.points, at), cos, sin), half)
            for k in range(ROW_LENGTH):
                t, at = depths[k], row * ROW_LENGTH + k
                if t < near[row, k]:
                    if code != SPHERE:
                        origin = _turned(_minus(_at(rows.points, at), center), cos, sin)
                        beam_of_point = _turned(_at(beams.points, at), cos, sin)
                        t = _enter_rounded(code, origin, beam_of_point, half, bodies.bevel[body], t)
                    if t < near[row, k]:
                        near[row, k], other[row, k] = t, body


@_part
def _may_meet(beam: Vector, spread: Any, to_ball: Vector, radius: Any) -> Any:
    square = _dot(to_ball, to_ball)
    ahead = _most(_dot(to_ball, beam) / _most(_dot(beam, beam), _TINY), _ZERO)
    miss = _along(to_ball, beam, -ahead)
    reach = radius + (np.sqrt(square) + radius) * spread
    return _dot(miss, miss) < reach * reach


def mirrored(bodies: Bodies, rows: RayPackets, beams: RayPackets, own: Tensor, near: Tensor, other: Tensor) -> None:
    """Find the nearest sphere, cube or cylinder in a mirror, where one is nearer than what was found before.

    Args:
        bodies: the scenes.
        rows: the points.
        beams: the directions from them.
        own: ``(n,)``, the bodies on which the points lie.
        near: ``(n, ROW_LENGTH)``: distance; changed in place.
        other: ``(n, ROW_LENGTH)`` int64: the body at that distance; changed in place.
    """
    packets = PacketTable.of(rows), PacketTable.of(beams)
    _mirrored(BodyTable.of(bodies), *packets, flat(own), near.numpy(), other.numpy())
