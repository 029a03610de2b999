"""Bodies, lamps and points as NumPy arrays, for the loops of :mod:`clevr.world.compiled`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.world.primitives import BEVELS, Bodies
from clevr.world.vectors import RayPackets, Vec

if TYPE_CHECKING:
    from clevr.world.materials import SurfacePoints

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Points(NamedTuple):
    """Arrays of the three coordinates of points, directions or places."""

    x: Floats
    y: Floats
    z: Floats

    @classmethod
    def of(cls, points: Vec, shape: torch.Size | None = None) -> Points:
        """The same points, one after the other; broadcast to ``shape``, where one is given."""
        parts = (points.x, points.y, points.z)
        return cls(*(flat(part if shape is None else part.expand(shape)) for part in parts))


class BodyTable(NamedTuple):
    """The ``M`` bodies of ``B`` scenes."""

    first: Integers
    """``(B + 1,)``: the first body of each scene, and of one more."""
    scene: Integers
    shape: Integers
    center: Points
    cos: Floats
    sin: Floats
    half: Floats
    bevel: Floats
    """Radius of the rounded edges."""
    ball: Floats

    @classmethod
    def of(cls, bodies: Bodies) -> BodyTable:
        """The same bodies."""
        bevel = bodies.half * torch.tensor(BEVELS)[bodies.shape]
        columns = (bodies.cos, bodies.sin, bodies.half, bevel, bodies.ball)
        scene = flat(bodies.scene)
        first = np.searchsorted(scene, np.arange(bodies.num_scenes + 1))
        return cls(first, scene, flat(bodies.shape), Points.of(bodies.center), *map(flat, columns))


class LampTable(NamedTuple):
    """The ``L`` lamps of ``B`` scenes."""

    places: Points
    """``(L B,)``: one lamp after the other."""
    radius: Floats
    is_near: Floats
    """``(L,)``: 1, or 0 for a lamp that shines from one direction everywhere."""

    @classmethod
    def of(cls, bodies: Bodies) -> LampTable:
        """The lamps of the bodies' scenes."""
        return cls(Points.of(bodies.places), flat(bodies.lamp_radii), flat(bodies.lamp_is_near.float()))


class CameraTable(NamedTuple):
    """The cameras of ``B`` scenes."""

    place: Points
    right: Points
    up: Points
    forward: Points

    @classmethod
    def of(cls, bodies: Bodies) -> CameraTable:
        """The cameras of the bodies' scenes."""
        return cls(*map(Points.of, (bodies.camera, bodies.right, bodies.up, bodies.forward)))


class PacketTable(NamedTuple):
    """Rows of points, as :class:`clevr.world.vectors.RayPackets`."""

    scene: Integers
    points: Points
    middle: Points
    radius: Floats
    part_middle: Points
    part_radius: Floats

    @classmethod
    def of(cls, rows: RayPackets) -> PacketTable:
        """The same rows."""
        balls = (Points.of(rows.middle), flat(rows.radius), Points.of(rows.part_middle), flat(rows.part_radius))
        return cls(flat(rows.scene), Points.of(rows.points), *balls)


class SpotTable(NamedTuple):
    """Points on the surfaces of bodies, ``n`` rows of ``k``, as :class:`clevr.world.materials.SurfacePoints`."""

    body: Integers
    """``(n,)``."""
    scene: Integers
    point: Points
    """``(n k,)``."""
    normal: Points
    ray: Points
    """Unit vectors along the rays that found them."""

    @classmethod
    def of(cls, spots: SurfacePoints) -> SpotTable:
        """The same points."""
        shape = spots.normal.x.shape  # several normals may belong to one point
        vectors = (Points.of(part, shape) for part in (spots.point, spots.normal, spots.view))
        return cls(flat(spots.body), flat(spots.scene), *vectors)


def flat(values: Tensor) -> NDArray[Any]:
    """The numbers of a tensor one after the other, without a copy where they lie so."""
    array: NDArray[Any] = values.contiguous().view(-1).numpy()
    return array
