"""Scenes as tensors: one flat table of bodies over a whole batch.

Work goes shape by shape, each a few long vector operations over the whole batch. Bodies of one scene overlap in the
picture, though, and whatever is written to a picture twice in one operation is written in no certain order. So the
bodies of a shape are dealt into rounds, no two of a round being of one scene, and results are stored round by round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clevr.world.camera import MEAN_CAMERA, axes
from clevr.world.look import COLORS, LAMPS, SIZES
from clevr.world.scene import MATERIALS, Scene, Vector
from clevr.world.shapes import BALLS, SHAPE_CODES
from clevr.world.vectors import Vec, pick
from fewshot_film.errors import UserError


class SceneError(UserError, ValueError):
    """A scene that cannot be shown: an unknown attribute, say."""


@dataclass(frozen=True)
class Group:
    """Bodies of one shape, dealt into ``R`` rounds with at most one from each scene."""

    shape: int
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
    groups: tuple[Group, ...]

    def local_point(self, bodies: Tensor, points: Vec) -> Vec:
        """Points of the world in the frames of ``bodies`` (shapes broadcast)."""
        return self.local_direction(bodies, points - self.center[bodies])

    def local_direction(self, bodies: Tensor, directions: Vec) -> Vec:
        """Directions of the world in the frames of ``bodies``."""
        return directions.rotate(pick(self.cos, bodies), -pick(self.sin, bodies))

    def world_direction(self, bodies: Tensor, directions: Vec) -> Vec:
        """Directions in the frames of ``bodies`` as the world has them."""
        return directions.rotate(pick(self.cos, bodies), pick(self.sin, bodies))


def pack(scenes: Sequence[Scene], device: torch.device | str = "cpu") -> Bodies:
    """Put scenes on a device.

    A scene without a recorded camera or lamps gets the mean ones.

    Raises:
        SceneError: an object has a shape, size, material or colour that CLEVR does not have, or the place of the camera
            or of a lamp is not three numbers.
    """
    table = [row for number, scene in enumerate(scenes) for row in _rows(number, scene)]
    columns = np.array(table, dtype=np.float64).reshape(len(table), 11)
    whole = torch.from_numpy(columns[:, :4].astype(np.int64)).to(device)
    real = torch.from_numpy(columns[:, 4:].astype(np.float32)).to(device)
    cameras = np.array([_place(scene, scene.extra, "camera", MEAN_CAMERA) for scene in scenes]).reshape(-1, 3)
    frames = np.array([axes(camera) for camera in cameras]).reshape(-1, 3, 3)
    right, up, forward = (_vec(frames[:, i], device) for i in range(3))
    lamps = [
        [_place(scene, scene.extra.get("lamps", {}), lamp.name, lamp.position) for lamp in LAMPS] for scene in scenes
    ]
    places = np.array(lamps).reshape(-1, len(LAMPS), 3)
    return Bodies(
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
        lamps=tuple(_vec(places[:, i], device) for i in range(len(LAMPS))),
        places=_vec(places.swapaxes(0, 1).reshape(-1, 3), device),
        groups=_groups(columns[:, 0].astype(np.int64), columns[:, 2].astype(np.int64), len(scenes), device),
    )


def _rows(number: int, scene: Scene) -> list[tuple[float, ...]]:
    """One row of the table for each object: scene, index, shape, metal, place, half width, ball, turn."""
    rows: list[tuple[float, ...]] = []
    for index, thing in enumerate(scene.objects):
        _check(scene, index)
        shape, metal = SHAPE_CODES[thing.shape], thing.material == "metal"
        half = SIZES[thing.size]
        turn = thing.rotation if thing.shape == "cube" else 0.0
        sizes = (half, half * BALLS[shape], math.cos(turn), math.sin(turn))
        rows.append((number, index, shape, metal, *thing.coords, *sizes))
    return rows


def _check(scene: Scene, index: int) -> None:
    thing = scene.objects[index]
    for field, known in (("shape", SHAPE_CODES), ("size", SIZES), ("color", COLORS), ("material", MATERIALS)):
        value = getattr(thing, field)
        if value not in known:
            raise SceneError(
                f"scene {scene.image_index}, object {index}: unknown {field} {value!r}; "
                f"expected one of {', '.join(known)}"
            )


def _place(scene: Scene, record: Mapping[str, object], key: str, default: Vector) -> Vector:
    """A place that a scene's record may hold."""
    try:
        x, y, z = (float(value) for value in record.get(key, default))  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"scene {scene.image_index}: the place of {key!r} is {record.get(key)!r}; expected three numbers"
        ) from error
    return (x, y, z)


def _colors(scenes: Sequence[Scene]) -> np.ndarray:
    colors = [COLORS[thing.color] for scene in scenes for thing in scene.objects]
    return np.array(colors, dtype=np.float32).reshape(-1, 3).T.copy()


def _groups(scene: np.ndarray, shape: np.ndarray, num_scenes: int, device: torch.device | str) -> tuple[Group, ...]:
    """Deal the bodies of each shape into rounds."""
    groups = []
    for code in sorted(set(shape.tolist())):
        bodies = np.flatnonzero(shape == code)
        first = np.searchsorted(scene[bodies], scene[bodies])  # bodies are in the order of their scenes
        rounds = np.arange(len(bodies)) - first
        order = np.argsort(rounds, kind="stable")
        bodies, rounds = bodies[order], rounds[order]
        of_scene = np.full((rounds.max() + 1, num_scenes), -1, dtype=np.int64)
        of_scene[rounds, scene[bodies]] = bodies
        groups.append(Group(code, *(torch.from_numpy(table).to(device) for table in (bodies, rounds, of_scene))))
    return tuple(groups)


def _vec(rows: np.ndarray, device: torch.device | str) -> Vec:
    return Vec.of(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)).to(device))
