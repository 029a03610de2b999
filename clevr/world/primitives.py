"""CLEVR's three primitives, and scenes as one flat table of bodies over a whole batch.

The further bodies that a world may have are in :mod:`clevr.world.solids`.

Every body stands in its own frame: middle at the origin, upright, a cube's faces along the axes. Cubes and
cylinders have rounded edges, as the meshes of CLEVR have. A rounded body is a smaller sharp one, thickened
by the bevel. A ray is first met with the sharp outer body, which is elementary. Where it enters near an edge,
Newton's method on the distance to the inner body finds the rounding: distance to a convex body is
convex along a line, so the iteration from outside never overshoots and settles in a few steps.

Work goes shape by shape, each a few long vector operations over the whole batch. Bodies of one scene overlap in the
image, though, and whatever is written to an image twice in one operation is written in no certain order. So the
bodies of a shape are dealt into rounds, no two of a round being of one scene, and results are stored round by round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from clevr.world import solids
from clevr.world.camera import axes
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, Form, Vector, WorldSpec
from clevr.world.vectors import Vec, pick
from fewshot_film.errors import UserError, shown
from fewshot_film.extras import optional

SPHERE, CUBE, CYLINDER = 0, 1, 2
SHAPE_CODES: dict[Form, int] = {
    "sphere": SPHERE,
    "cube": CUBE,
    "cylinder": CYLINDER,
    "cone": solids.CONE,
    "torus": solids.TORUS,
    "capsule": solids.CAPSULE,
}
BEVELS = (0.0, 0.165, 0.05, 0.0, 0.0, 0.0)
"""Rounding of the edges by shape code, as a share of the body's half width."""
BALLS = (1.0, 3.0**0.5, 2.0**0.5, 2.0**0.5, 1.0, 1.0)
"""Radius of a ball around a body by shape code, in half widths."""

MISS = float("inf")
_TINY = 1e-9
_FACE = 0.975
"""Part of a body's width that is taken for its inner body at points inside that; less than the bevels leave outside."""
_NEWTON_STEPS = 6
_ON_SURFACE = 2e-3
"""Newton's last distance from a rounded edge, in bevels, below which the ray counts as a hit."""


def enter(shape: int, origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    """Ray parameter at which rays from outside enter a body, ``MISS`` where they do not.

    Args:
        shape: code of the body's shape.
        origin: starts of the rays, in the body's frame.
        direction: directions, of any length; the parameter is in units of it.
        half: half the body's width.
    Returns:
        Parameters, broadcast over the arguments; only entries at positive parameters count.
    """
    if shape == SPHERE:
        return _enter_sphere(origin, direction, half)
    if shape > CYLINDER:
        return solids.enter(shape, origin, direction, half)
    outer = _enter_cube if shape == CUBE else _enter_cylinder
    t = outer(origin, direction, half)
    bevel = half * BEVELS[shape]
    point = origin + direction * t
    excess = _excess(shape, point, half - bevel)
    index = ((t < MISS) & (_second(excess) > 0)).reshape(-1).nonzero()[:, 0]
    x, y, z, dx, dy, dz, size, sharp = (
        pick(part.expand(t.shape).reshape(-1), index) for part in (*_parts(origin), *_parts(direction), half, t)
    )
    t.view(-1).index_copy_(0, index, _refine(shape, Vec(x, y, z), Vec(dx, dy, dz), size, sharp))
    return t


def normal(shape: int, point: Vec, half: Tensor) -> Vec:
    """Outward unit normals at points on the surface of a body, in its frame.

    Points somewhat inside get the normal of the nearest face: the mean of rays on either side of an edge lies there.
    """
    if shape == SPHERE:
        return point.unit()
    if shape > CYLINDER:
        return solids.normal(shape, point, half)
    inner = half * (1.0 - BEVELS[shape])
    if shape == CUBE:
        widest = torch.maximum(torch.maximum(point.x.abs(), point.y.abs()), point.z.abs())
        inner = torch.minimum(inner, widest * _FACE)
        return Vec(*(p - p.clamp(-inner, inner) for p in _parts(point))).unit()
    radius = (point.x * point.x + point.y * point.y).sqrt().clamp(min=_TINY)
    inner = torch.minimum(inner, torch.maximum(radius, point.z.abs()) * _FACE)
    out = (radius - inner).clamp(min=0.0) / radius
    return Vec(point.x * out, point.y * out, point.z - point.z.clamp(-inner, inner)).unit()


def reaches_edge(shape: int, point: Vec, half: Tensor, reach: Tensor) -> Tensor:
    """Whether points on the surface of a body, in its frame, lie on one of its rounded edges or within reach of it."""
    return _second(_excess(shape, point, half * (1.0 - BEVELS[shape]))) > -reach


def _parts(vec: Vec) -> tuple[Tensor, Tensor, Tensor]:
    return vec.x, vec.y, vec.z


def _enter_sphere(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    square = direction.dot(direction)
    nearest = -origin.dot(direction) / square
    miss = origin + direction * nearest
    under = half * half - miss.dot(miss)
    t = nearest - (under.clamp(min=0.0) / square).sqrt()
    return torch.where((under > 0) & (t > 0), t, MISS)


def _enter_cube(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    near, far = _slab(origin.x, direction.x, half)
    for o, d in ((origin.y, direction.y), (origin.z, direction.z)):
        first, last = _slab(o, d, half)
        near, far = torch.maximum(near, first), torch.minimum(far, last)
    return torch.where((near < far) & (near > 0), near, MISS)


def _enter_cylinder(origin: Vec, direction: Vec, half: Tensor) -> Tensor:
    square = (direction.x * direction.x + direction.y * direction.y).clamp(min=_TINY)
    nearest = -(origin.x * direction.x + origin.y * direction.y) / square
    miss_x, miss_y = origin.x + direction.x * nearest, origin.y + direction.y * nearest
    under = half * half - (miss_x * miss_x + miss_y * miss_y)
    along = (under.clamp(min=0.0) / square).sqrt()
    first, last = _slab(origin.z, direction.z, half)
    near, far = torch.maximum(nearest - along, first), torch.minimum(nearest + along, last)
    return torch.where((under > 0) & (near < far) & (near > 0), near, MISS)


def _slab(origin: Tensor, direction: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Where a line enters and leaves the space between two planes."""
    inverse = 1.0 / torch.where(direction.abs() < _TINY, _TINY, direction)
    middle, reach = -origin * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def _excess(shape: int, point: Vec, inner: Tensor) -> list[Tensor]:
    """How far points lie beyond each pair of faces (or the wall) of the inner body."""
    if shape == CUBE:
        return [p.abs() - inner for p in _parts(point)]
    return [(point.x * point.x + point.y * point.y).sqrt() - inner, point.z.abs() - inner]


def _second(excess: list[Tensor]) -> Tensor:
    """The second largest of two or three."""
    a, b = torch.minimum(*excess[:2]), torch.maximum(*excess[:2])
    return a if len(excess) == 2 else torch.maximum(a, torch.minimum(b, excess[2]))


def _refine(shape: int, origin: Vec, direction: Vec, half: Tensor, t: Tensor) -> Tensor:
    """Move parameters on the sharp outer body inward to the rounded one, ``MISS`` where the ray passes it."""
    bevel = half * BEVELS[shape]
    inner = half - bevel
    distance = torch.zeros_like(t)
    for _ in range(_NEWTON_STEPS):
        point = origin + direction * t
        excess = [e.clamp(min=0.0) for e in _excess(shape, point, inner)]
        length = sum(e * e for e in excess).sqrt().clamp(min=_TINY)  # type: ignore[union-attr]
        distance = length - bevel
        slope = _slope(shape, point, direction, excess) / length
        step = distance.clamp(min=0.0) / (-slope).clamp(min=_TINY)
        t = torch.where((slope < 0) & (t < MISS), t + step, torch.where(distance > 0, MISS, t))
    return torch.where(distance < bevel * _ON_SURFACE, t, MISS)


def _slope(shape: int, point: Vec, direction: Vec, excess: list[Tensor]) -> Tensor:
    """Change of half the squared distance to the inner body along the ray."""
    if shape == CUBE:
        x, y, z = excess
        return x * point.x.sign() * direction.x + y * point.y.sign() * direction.y + z * point.z.sign() * direction.z
    radius = (point.x * point.x + point.y * point.y).sqrt().clamp(min=_TINY)
    outward = (point.x * direction.x + point.y * direction.y) / radius
    return excess[0] * outward + excess[1] * point.z.sign() * direction.z


class SceneError(UserError, ValueError):
    """A scene that cannot be shown: an unknown attribute, say."""


@dataclass(frozen=True)
class BodyGroup:
    """Bodies of one shape, dealt into ``R`` rounds with at most one from each scene."""

    shape: int
    """Code of their shape, -1 where there may be any."""
    bodies: Tensor
    """``(g,)`` int64: rows of the table, round by round."""
    round: Tensor
    """``(g,)`` int64: their rounds."""
    of_scene: Tensor
    """``(R, B)`` int64: the body of each scene in each round, -1 where there is none."""

    def split(self, rounds: Tensor, *values: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Split lists into rounds; ``rounds`` says, in ascending order, of which round each of their entries is."""
        counts = torch.bincount(rounds, minlength=len(self.of_scene)).tolist()
        return zip(*(part.split(counts) for part in values), strict=True)


@dataclass(frozen=True)
class Bodies:
    """The objects of ``B`` scenes, ``M`` in all, with cameras and lamps."""

    world: WorldSpec
    """What all of them are scenes of."""
    num_scenes: int
    scene: Tensor
    """``(M,)`` int64: which scene a body is of."""
    index: Tensor
    """``(M,)`` int64: its place among the objects of its scene."""
    shape: Tensor
    """``(M,)`` int64."""
    metal: Tensor
    """``(M,)`` bool."""
    center: Vec
    half: Tensor
    """``(M,)``: half its width."""
    ball: Tensor
    """``(M,)``: radius of a ball around it."""
    cos: Tensor
    sin: Tensor
    color: Tensor
    """``(3, M)``: linear albedo."""
    camera: Vec
    """``(B,)``."""
    right: Vec
    up: Vec
    forward: Vec
    lamps: tuple[Vec, ...]
    """One ``(B,)`` per lamp."""
    places: Vec
    """``(L B,)``: the same, one lamp after the other."""
    lamp_radii: Tensor
    """``(L,)``."""
    lamp_is_near: Tensor
    """``(L,)`` bool: whether it shines from its place, not from one direction everywhere."""
    groups: tuple[BodyGroup, ...]
    """The bodies of each shape."""
    together: BodyGroup
    """All of them."""
    compiled: ModuleType | None
    """:mod:`clevr.world.compiled`, where its loops are to be used for spheres, cubes and cylinders."""

    @property
    def uncompiled(self) -> tuple[BodyGroup, ...]:
        """The groups that are left where compiled loops have done their part."""
        return tuple(group for group in self.groups if not self.compiled or group.shape > CYLINDER)

    def local_point(self, bodies: Tensor, points: Vec) -> Vec:
        """Points of the world in the frames of ``bodies`` (shapes broadcast)."""
        return self.local_direction(bodies, points - self.center[bodies])

    def local_direction(self, bodies: Tensor, directions: Vec) -> Vec:
        """Directions of the world in the frames of ``bodies``."""
        return directions.rotate(pick(self.cos, bodies), -pick(self.sin, bodies))

    def world_direction(self, bodies: Tensor, directions: Vec) -> Vec:
        """Directions in the frames of ``bodies`` as the world has them."""
        return directions.rotate(pick(self.cos, bodies), pick(self.sin, bodies))


def pack(scenes: Sequence[Scene], device: torch.device | str = "cpu", *, compiled: bool = False) -> Bodies:
    """Put scenes on a device.

    A scene without a recorded camera or lamps gets the mean ones.

    Args:
        scenes: ``B`` of them, of one world.
        device: where to put them.
        compiled: use compiled loops, on the CPU alone.

    Raises:
        MissingExtraError: Numba is not installed, which the loops need.
        SceneError: an object has a shape, size, material or colour that its world does not have, the place of the
            camera or of a lamp is not three numbers, or the scenes are of several worlds.
    """
    world = _one_world(scenes)
    table = [row for number, scene in enumerate(scenes) for row in _rows(number, scene)]
    columns = np.array(table, dtype=np.float64).reshape(len(table), 11)
    whole = torch.from_numpy(columns[:, :4].astype(np.int64)).to(device)
    real = torch.from_numpy(columns[:, 4:].astype(np.float32)).to(device)
    cameras = np.array([_place(scene, scene.extra, "camera", world.camera) for scene in scenes]).reshape(-1, 3)
    frames = np.array([axes(camera) for camera in cameras]).reshape(-1, 3, 3)
    right, up, forward = (_vec(frames[:, i], device) for i in range(3))
    places = np.array([_lamps(scene) for scene in scenes]).reshape(-1, len(world.lamps), 3)
    return Bodies(
        world=world,
        num_scenes=len(scenes),
        scene=whole[:, 0],
        index=whole[:, 1],
        shape=whole[:, 2],
        metal=whole[:, 3].bool(),
        center=Vec.of(real[:, :3]),
        half=real[:, 3].contiguous(),
        ball=real[:, 4].contiguous(),
        cos=real[:, 5].contiguous(),
        sin=real[:, 6].contiguous(),
        color=torch.from_numpy(_colors(scenes)).to(device),
        camera=_vec(cameras, device),
        right=right,
        up=up,
        forward=forward,
        lamps=tuple(_vec(places[:, i], device) for i in range(len(world.lamps))),
        places=_vec(places.swapaxes(0, 1).reshape(-1, 3), device),
        lamp_radii=torch.tensor([lamp.radius for lamp in world.lamps], device=device),
        lamp_is_near=torch.tensor([not lamp.distant for lamp in world.lamps], device=device),
        groups=tuple(_group(columns, code, len(scenes), device) for code in sorted(set(columns[:, 2].astype(int)))),
        together=_group(columns, -1, len(scenes), device),
        compiled=optional("clevr.world.compiled", extra="compiled", what="compiled drawing") if compiled else None,
    )


def _one_world(scenes: Sequence[Scene]) -> WorldSpec:
    world = scenes[0].world if scenes else CLEVR
    other = next((scene.world for scene in scenes if scene.world is not world and scene.world != world), None)
    if other is not None:
        raise SceneError(
            f"scenes of the worlds {world.name!r} and {other.name!r} in one batch; expected scenes of one world: draw "
            "them one after the other"
        )
    return world


def _rows(number: int, scene: Scene) -> list[tuple[float, ...]]:
    """One row of the table for each object: scene, index, shape, metal, place, half width, ball, turn."""
    rows: list[tuple[float, ...]] = []
    world = scene.world
    for index, thing in enumerate(scene.objects):
        _check(scene, index)
        shape, metal = SHAPE_CODES[world.forms[thing.shape]], world.looks[thing.material] == "mirror"
        half = world.half_widths[thing.size]
        turn = thing.rotation if shape == CUBE else 0.0
        sizes = (half, half * BALLS[shape], math.cos(turn), math.sin(turn))
        rows.append((number, index, shape, metal, *thing.coords, *sizes))
    return rows


def _check(scene: Scene, index: int) -> None:
    thing = scene.objects[index]
    for field, known in scene.world.values.items():
        value = getattr(thing, field)
        if value not in known:
            raise SceneError(
                f"scene {scene.image_index}, object {index}: unknown {field} {shown(value)}; "
                f"expected one of {', '.join(known)}"
            )


def _lamps(scene: Scene) -> list[Vector]:
    return [_place(scene, scene.extra.get("lamps", {}), lamp.name, lamp.position) for lamp in scene.world.lamps]


def _place(scene: Scene, record: Mapping[str, object], key: str, default: Vector) -> Vector:
    """A place that a scene's record may hold."""
    try:
        x, y, z = (float(value) for value in record.get(key, default))  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"scene {scene.image_index}: the place of {key!r} is {shown(record.get(key))}; expected three numbers"
        ) from error
    return (x, y, z)


def _colors(scenes: Sequence[Scene]) -> np.ndarray:
    colors = [scene.world.albedos[thing.color] for scene in scenes for thing in scene.objects]
    return np.array(colors, dtype=np.float32).reshape(-1, 3).T.copy()


def _group(columns: np.ndarray, code: int, num_scenes: int, device: torch.device | str) -> BodyGroup:
    """Deal the bodies of a shape, or all where it is -1, into rounds."""
    scene, shape = columns[:, 0].astype(np.int64), columns[:, 2].astype(np.int64)
    bodies = np.flatnonzero(shape == code) if code >= 0 else np.arange(len(shape))
    first = np.searchsorted(scene[bodies], scene[bodies])  # bodies are in the order of their scenes
    rounds = np.arange(len(bodies)) - first
    order = np.argsort(rounds, kind="stable")
    bodies, rounds = bodies[order], rounds[order]
    of_scene = np.full((rounds.max(initial=-1) + 1, num_scenes), -1, dtype=np.int64)
    of_scene[rounds, scene[bodies]] = bodies
    return BodyGroup(code, *(torch.from_numpy(part).to(device) for part in (bodies, rounds, of_scene)))


def _vec(rows: np.ndarray, device: torch.device | str) -> Vec:
    return Vec.of(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)).to(device))
