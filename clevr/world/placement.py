"""Where a scene's objects stand, by CLEVR's rules; and scenes without end.

Scene ``i`` of a split is a function of seed, split and ``i`` (:class:`Scenes`). The rules, which objects a scene may
hold and where they may stand, are those of the public generator as it behaves, which is not always as it reads: cubes
are not made smaller than the other shapes, and directions are those of the camera before its jitter.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from clevr.world.camera import directions, project
from clevr.world.scene import COLORS, RELATIONS, Scene, SceneObject
from clevr.world.spec import CLEVR, Vector, WorldSpec
from clevr.world.visibility import all_visible
from fewshot_film.errors import UserError

_EPSILON = 0.2
"""How far an object must lie in a direction before CLEVR says that it lies there."""
_MAX_ROUNDS = 10_000
"""Rounds of placing all objects before the rules are said to leave no room."""

_FIRST: tuple[str, ...] = ("gray", "blue", "brown", "yellow")
_SECOND: tuple[str, ...] = ("red", "green", "purple", "cyan")
CONDITIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "A": {"cube": _FIRST, "sphere": COLORS, "cylinder": _SECOND},
    "B": {"cube": _SECOND, "sphere": COLORS, "cylinder": _FIRST},
}
"""Colours of each shape in the two conditions of CLEVR's generalisation test CoGenT; otherwise any shape has any."""


class PlacementError(UserError, ValueError):
    """A scene configuration that cannot be read, or that leaves no room for the objects."""


@dataclass(frozen=True)
class SceneConfig:
    """How scenes are put together; the defaults are CLEVR's, :meth:`of` gives those of any world."""

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
    """Least number of pixels by which each object must be seen in an image of 320x240."""
    camera_jitter: float = 0.5
    """The camera's place varies by up to this on every axis."""
    lamp_jitter: float = 1.0
    """Each lamp's place varies by up to this on every axis."""
    condition: str = "plain"
    """Which colours the shapes have: plain, which is all, A or B."""
    world: WorldSpec = CLEVR
    """What there is, and where camera and lamps stand."""
    colors: Mapping[str, Sequence[str]] = field(init=False, repr=False)
    """Colours by shape, from the condition."""

    def __post_init__(self) -> None:
        """Check the rules against each other."""
        if self.condition not in ("plain", *CONDITIONS):
            raise PlacementError(
                f"unknown condition {self.condition!r}; expected one of plain, {', '.join(CONDITIONS)}"
            )
        if self.condition != "plain" and self.world.values != CLEVR.values:
            raise PlacementError(
                f"condition {self.condition} is about the colours and shapes of CLEVR, not of the world "
                f"{self.world.name!r}; leave it out"
            )
        if not 1 <= self.min_objects <= self.max_objects:
            raise PlacementError(
                f"scenes of {self.min_objects} to {self.max_objects} objects; expected 1 <= min_objects <= max_objects"
            )
        plain = dict.fromkeys(self.world.values["shape"], self.world.values["color"])
        object.__setattr__(self, "colors", CONDITIONS.get(self.condition, plain))

    @classmethod
    def of(cls, world: WorldSpec, condition: str = "plain") -> SceneConfig:
        """The rules of a world's scenes."""
        return cls(
            world.min_objects,
            world.max_objects,
            camera_jitter=world.camera_jitter,
            lamp_jitter=world.lamp_jitter,
            condition=condition,
            world=world,
        )


@dataclass(frozen=True)
class Setting:
    """What stays the same while a scene's objects are placed again: their number, camera and lamps."""

    num_objects: int
    camera: Vector
    lamps: Mapping[str, Vector]

    def record(self) -> dict[str, Any]:
        """Entries of a scene's record that say where camera and lamps stand."""
        return {"camera": list(self.camera), "lamps": {name: list(place) for name, place in self.lamps.items()}}


def draw_setting(generator: np.random.Generator, rules: SceneConfig) -> Setting:
    """Draw the number of objects and the places of camera and lamps."""
    span = rules.max_objects - rules.min_objects + 1
    number = rules.min_objects + int(generator.random() * span)
    world = rules.world
    camera = _jitter(generator, world.camera, rules.camera_jitter)
    lamps = {lamp.name: _jitter(generator, lamp.position, rules.lamp_jitter) for lamp in world.lamps if lamp.jitter}
    return Setting(number, camera, lamps)


def place(generator: np.random.Generator, setting: Setting, rules: SceneConfig) -> tuple[SceneObject, ...]:
    """Draw objects and places for them until all keep their distance.

    Raises:
        PlacementError: the objects did not fit in many rounds.
    """
    for _ in range(_MAX_ROUNDS):
        things = _try_place(generator, setting.num_objects, rules)
        if things is not None:
            return things
    raise PlacementError(
        f"{setting.num_objects} objects did not fit within {rules.reach} of the middle in {_MAX_ROUNDS} rounds: "
        "allow a smaller margin or gap, or fewer objects"
    )


def complete(
    things: Sequence[SceneObject],
    setting: Setting,
    width: int,
    height: int,
    split: str,
    index: int,
    world: WorldSpec = CLEVR,
) -> Scene:
    """Make a scene of objects: directions, relations, pixel coordinates in an image of ``width`` x ``height``.

    The places of camera and lamps go into ``extra``, where the renderer looks for them.
    """
    places = [thing.coords for thing in things]
    seen = [
        (round(column), round(row), depth)
        for column, row, depth in project(places, setting.camera, width, height).tolist()
    ]
    axes = directions(world.camera)
    return Scene(
        objects=tuple(_seen_at(thing, pixels) for thing, pixels in zip(things, seen, strict=True)),
        directions=axes,
        relationships=relate(places, axes),
        image_index=index,
        image_filename=f"CLEVR_{split}_{index:06d}.png",
        split=split,
        extra=setting.record(),
        world=world,
    )


def _seen_at(thing: SceneObject, pixels: Vector) -> SceneObject:
    return SceneObject(
        thing.shape, thing.size, thing.color, thing.material, thing.coords, thing.rotation, pixels
    )  # faster than `replace`


def relate(places: Sequence[Vector], axes: Mapping[str, Vector]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Which objects lie to the left and right, in front of and behind each object."""
    points = np.array(places, dtype=np.float64).reshape(-1, 3)
    relations = {}
    for name in RELATIONS:
        along = (points @ np.array(axes[name])).tolist()
        relations[name] = tuple(
            tuple([number for number, other in enumerate(along) if other - mine > _EPSILON]) for mine in along
        )
    return relations


def _jitter(generator: np.random.Generator, position: Vector, reach: float) -> Vector:
    x, y, z = (p + reach * (2.0 * u - 1.0) for p, u in zip(position, generator.random(3).tolist(), strict=True))
    return (x, y, z)


@lru_cache(maxsize=64)
def _across(camera: Vector) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of x and of y, how far each reaches along the directions right and front."""
    axes = directions(camera)
    return tuple(zip(axes["right"][:2], axes["front"][:2], strict=True))  # type: ignore[return-value]


def _try_place(generator: np.random.Generator, number: int, rules: SceneConfig) -> tuple[SceneObject, ...] | None:
    """Place objects one by one; ``None`` when one found no room in ``max_tries`` tries."""
    sizes = rules.world.values["size"]
    (right_x, front_x), (right_y, front_y) = _across(rules.world.camera)
    reach, margin = rules.reach, rules.margin
    spots: list[tuple[float, float, float]] = []  # along the directions right and front, with half widths
    drawn: list[tuple[str, float, float, list[float]]] = []
    for _ in range(number):
        first, *tries = generator.random(1 + 2 * rules.max_tries).tolist()
        size = sizes[int(first * len(sizes))]
        half = rules.world.half_widths[size]
        gap = half + rules.min_gap
        for u, v in zip(tries[::2], tries[1::2], strict=True):
            x, y = reach * (2.0 * u - 1.0), reach * (2.0 * v - 1.0)
            right, front = x * right_x + y * right_y, x * front_x + y * front_y
            for other_right, other_front, other_half in spots:
                across, along, least = right - other_right, front - other_front, other_half + gap
                if (
                    -margin < across < margin
                    or -margin < along < margin
                    or across * across + along * along < least * least
                ):
                    break
            else:
                break
        else:
            return None
        spots.append((right, front, half))
        drawn.append((size, x, y, generator.random(4).tolist()))
    return tuple(_object(size, x, y, looks, rules) for size, x, y, looks in drawn)


def _object(size: str, x: float, y: float, draws: Sequence[float], rules: SceneConfig) -> SceneObject:
    """An object that stands on the ground, of the shape, colour, turn and material that four numbers draw."""
    world, (of_shape, of_color, turn, of_material) = rules.world, draws
    shapes, materials = world.values["shape"], world.values["material"]
    shape = shapes[int(of_shape * len(shapes))]
    color = rules.colors[shape][int(of_color * len(rules.colors[shape]))]
    material = materials[int(of_material * len(materials))]
    return SceneObject(shape, size, color, material, (x, y, world.height(shape, size)), 360.0 * turn)


_MAX_ARRANGEMENTS = 1000
"""Arrangements of a scene before its rules are said to hide too much."""


@dataclass(frozen=True)
class Scenes:
    """The scenes of one split.

    Every scene has its own random generator, so it is the same whatever was asked for before, in whichever batch, on
    every machine. Whether objects can be seen is always judged in an image of 320x240, so a scene does not depend
    on the size at which it is shown either; only its pixel coordinates do.
    """

    seed: int
    split: str = "train"
    rules: SceneConfig = field(default_factory=SceneConfig)
    width: int = 320
    """Width of the image that ``pixel_coords`` are of."""
    height: int = 240
    """Height of that image."""

    def __getitem__(self, index: int) -> Scene:
        """Scene ``index``."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int]) -> list[Scene]:
        """The scenes of these indices; a few dozen at once are cheaper than one by one.

        Raises:
            PlacementError: an index or the seed is negative, or no arrangement is found that shows every object.
        """
        generators = [self._generator(index) for index in indices]
        settings = [draw_setting(generator, self.rules) for generator in generators]
        found: dict[int, tuple[SceneObject, ...]] = {}
        waiting = list(range(len(indices)))
        for _ in range(_MAX_ARRANGEMENTS):
            if not waiting:
                break
            tried = [place(generators[i], settings[i], self.rules) for i in waiting]
            drafts = [
                Scene(things, {}, {}, extra=settings[i].record(), world=self.rules.world)
                for i, things in zip(waiting, tried, strict=True)
            ]
            seen = all_visible(drafts, self.rules.min_pixels)
            found.update((i, things) for i, things, good in zip(waiting, tried, seen, strict=True) if good)
            waiting = [i for i, good in zip(waiting, seen, strict=True) if not good]
        if waiting:
            raise PlacementError(
                f"scene {indices[waiting[0]]} of {self.split!r}: no arrangement in {_MAX_ARRANGEMENTS} rounds shows "
                f"{self.rules.min_pixels} pixels of all {settings[waiting[0]].num_objects} objects; "
                "ask for fewer pixels or objects, larger sizes or a nearer camera"
            )
        size = (self.width, self.height, self.split)
        return [complete(found[i], settings[i], *size, index, self.rules.world) for i, index in enumerate(indices)]

    def _generator(self, index: int) -> np.random.Generator:
        if index < 0 or self.seed < 0:
            raise PlacementError(f"seed {self.seed}, scene {index}: both must be 0 or more")
        return np.random.Generator(np.random.PCG64([self.seed, zlib.crc32(self.split.encode()), index]))
