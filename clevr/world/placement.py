"""CLEVR's rules: which objects a scene may hold and where they may stand.

The rules are those of the public generator as it behaves, which is not always as it reads: cubes are not made smaller than
the other shapes, and the number written as ``rotation`` is an angle in radians.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clevr.world.camera import MEAN_CAMERA, directions, pixel_coords
from clevr.world.look import LAMPS, SIZES
from clevr.world.scene import COLORS, MATERIALS, RELATIONS, SHAPES, Scene, SceneObject, Vector

_EPSILON = 0.2
"""How far an object must lie in a direction before CLEVR says that it lies there."""

_FIRST: tuple[str, ...] = ("gray", "blue", "brown", "yellow")
_SECOND: tuple[str, ...] = ("red", "green", "purple", "cyan")
CONDITIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "plain": dict.fromkeys(SHAPES, COLORS),
    "A": {"cube": _FIRST, "sphere": COLORS, "cylinder": _SECOND},
    "B": {"cube": _SECOND, "sphere": COLORS, "cylinder": _FIRST},
}
"""Colours of each shape: CLEVR's own, and the two conditions of its generalisation test CoGenT."""


class PlacementError(ValueError):
    """Rules that cannot be read, or that leave no room for the objects."""


@dataclass(frozen=True)
class Rules:
    """How scenes are put together; the defaults are CLEVR's."""

    min_objects: int = 3
    """Fewest objects in a scene."""
    max_objects: int = 10
    """Most objects in a scene."""
    reach: float = 3.0
    """Objects stand at x and y between minus this and this."""
    min_gap: float = 0.25
    """Least distance between two objects, each taken as a circle of its half width."""
    margin: float = 0.4
    """Least distance between the middles of two objects along each of the four directions."""
    max_tries: int = 50
    """Tries to place an object before all are taken away again."""
    min_pixels: int = 200
    """Least number of pixels by which each object must be seen in a picture of 320x240."""
    camera_jitter: float = 0.5
    """The camera's place varies by up to this on every axis."""
    lamp_jitter: float = 1.0
    """Each lamp's place varies by up to this on every axis."""
    condition: str = "plain"
    """Which colours the shapes have: plain, A or B."""
    colors: Mapping[str, Sequence[str]] = field(init=False, repr=False)
    """Colours by shape, from the condition."""

    def __post_init__(self) -> None:
        """Check the rules against each other."""
        if self.condition not in CONDITIONS:
            raise PlacementError(f"unknown condition {self.condition!r}; expected one of {', '.join(CONDITIONS)}")
        if not 1 <= self.min_objects <= self.max_objects:
            raise PlacementError(
                f"scenes of {self.min_objects} to {self.max_objects} objects; expected 1 <= min_objects <= max_objects"
            )
        object.__setattr__(self, "colors", CONDITIONS[self.condition])


@dataclass(frozen=True)
class Setting:
    """What stays the same while a scene's objects are placed again: their number, camera and lamps."""

    num_objects: int
    camera: Vector
    lamps: Mapping[str, Vector]


def draw_setting(generator: np.random.Generator, rules: Rules) -> Setting:
    """Draw the number of objects and the places of camera and lamps."""
    span = rules.max_objects - rules.min_objects + 1
    number = rules.min_objects + int(generator.random() * span)
    camera = _jitter(generator, MEAN_CAMERA, rules.camera_jitter)
    lamps = {lamp.name: _jitter(generator, lamp.position, rules.lamp_jitter) for lamp in LAMPS if lamp.jitter}
    return Setting(number, camera, lamps)


def place(generator: np.random.Generator, setting: Setting, rules: Rules, max_rounds: int = 10_000) -> list[SceneObject]:
    """Draw objects and places for them until all keep their distance.

    Raises:
        PlacementError: the objects did not fit in ``max_rounds`` rounds.
    """
    for _ in range(max_rounds):
        things = _try_place(generator, setting.num_objects, rules)
        if things is not None:
            return things
    raise PlacementError(
        f"{setting.num_objects} objects did not fit within +-{rules.reach} in {max_rounds} rounds: "
        "allow a smaller margin or gap, or fewer objects"
    )


def finish(things: Sequence[SceneObject], setting: Setting, *, width: int, height: int, index: int, split: str) -> Scene:
    """Complete a scene: directions, relations, pixel coordinates, and the places of camera and lamps in ``extra``."""
    seen = tuple(
        SceneObject(
            shape=thing.shape,
            size=thing.size,
            color=thing.color,
            material=thing.material,
            coords=thing.coords,
            rotation=thing.rotation,
            pixel_coords=pixel_coords(thing.coords, setting.camera, width, height),
        )
        for thing in things
    )
    axes = directions()
    return Scene(
        objects=seen,
        directions=axes,
        relationships=relate([thing.coords for thing in things], axes),
        image_index=index,
        image_filename=f"CLEVR_{split}_{index:06d}.png",
        split=split,
        extra={
            "camera": list(setting.camera),
            "lamps": {name: list(position) for name, position in setting.lamps.items()},
        },
    )


def relate(places: Sequence[Vector], axes: Mapping[str, Vector]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Which objects lie to the left and right, in front of and behind each object."""
    points = np.array(places, dtype=np.float64).reshape(-1, 3)
    relations = {}
    for name in RELATIONS:
        along = points @ np.array(axes[name])
        holds = along[None, :] - along[:, None] > _EPSILON
        relations[name] = tuple(tuple(np.flatnonzero(row).tolist()) for row in holds)
    return relations


def _jitter(generator: np.random.Generator, position: Vector, reach: float) -> Vector:
    x, y, z = (p + reach * (2.0 * float(generator.random()) - 1.0) for p in position)
    return (x, y, z)


def _pick(generator: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(generator.random() * len(options))]


def _try_place(generator: np.random.Generator, number: int, rules: Rules) -> list[SceneObject] | None:
    """Place objects one by one; ``None`` when one found no room in ``max_tries`` tries."""
    axes = directions()
    across = np.array([axes["right"][:2], axes["front"][:2]]).T
    spots, halves = np.empty((number, 2)), np.empty(number)
    things: list[SceneObject] = []
    for i in range(number):
        size = _pick(generator, tuple(SIZES))
        tries = rules.reach * (2.0 * generator.random((rules.max_tries, 2)) - 1.0)
        offset = tries[:, None, :] - spots[None, :i]
        clear = np.sqrt((offset**2).sum(-1)) - halves[:i] - SIZES[size] >= rules.min_gap
        apart = (np.abs(offset @ across) >= rules.margin).all(-1)
        good = (clear & apart).all(-1)
        if not good.any():
            return None
        spots[i], halves[i] = tries[int(good.argmax())], SIZES[size]
        shape = _pick(generator, SHAPES)
        color = _pick(generator, rules.colors[shape])
        rotation = 360.0 * float(generator.random())
        material = _pick(generator, MATERIALS)
        x, y = (float(value) for value in spots[i])
        things.append(SceneObject(shape, size, color, material, (x, y, SIZES[size]), rotation))
    return things
