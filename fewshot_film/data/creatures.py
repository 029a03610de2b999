"""Generated creatures: objects with parts in front of a background; no download, the same for the same seed.

A class is a body plan and, for every other class, its colours; the rest show
themselves in any colours. Images of a class differ in pose, turn, size, place, colours, light and background.

Body plans of invented creatures: the numbers that make one, and the outlines of its parts in any pose.

The plane has x to the right and y down; a creature looks up, is about 2 units long and symmetric about x = 0 until it
moves. An outline is ``(N, 2)``.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw

from fewshot_film.data.generated import GeneratedSource, lit, numbered
from fewshot_film.data.source import ImageSource
from fewshot_film.data.splits import Split
from fewshot_film.run.seeding import numpy_generator

Mark = Literal["none", "bars", "lines", "dots", "belly"]
Part = Literal["trunk", "head", "limb", "eye"]


@dataclass(frozen=True)
class Limbs:
    """One pair of legs, arms or wings."""

    angle: float
    """Where they leave the body, radians from the head."""
    length: float
    width: float
    bend: float
    """Turn at the joint in the middle, radians."""
    foot: float
    """Radius of what is at the end; 0 for a point."""


@dataclass(frozen=True)
class Plan:
    """What all images of one creature have in common."""

    waves: tuple[float, ...]
    """Height of the 2nd, 3rd, ... wave of the body's outline."""
    aspect: float
    """Width of the body, of its length 1."""
    limbs: tuple[Limbs, ...]
    head: float
    """Radius of the head; 0 where it is one with the body."""
    ears: Literal["none", "round", "pointed", "antennae"]
    ear_size: float
    eyes: int
    eye_size: float
    tail: float
    """Length of the tail; 0 for none."""
    tail_curl: float
    mark: Mark
    mark_count: int


def draw_plan(rng: Generator) -> Plan:
    """A random creature."""
    pairs = int(rng.choice([0, 1, 2, 2, 3, 4]))
    angles = np.sort(rng.uniform(0.9, 2.5, pairs))
    shared = rng.uniform(0.35, 0.85), rng.uniform(0.06, 0.16), rng.uniform(-1.1, 1.1), rng.choice([0.0, 0.0, 1.3, 1.9])
    limbs = [Limbs(float(a), shared[0] * rng.uniform(0.8, 1.2), shared[1], shared[2], shared[3]) for a in angles]
    if pairs and rng.uniform() < 0.25:  # wings, wide and thin-jointed
        limbs[0] = Limbs(float(angles[0]), rng.uniform(0.7, 1.0), rng.uniform(0.22, 0.4), rng.uniform(-0.4, 0.4), 0.0)
    return Plan(
        waves=tuple(rng.normal(0, 0.16, 4) / np.array([1, 1.2, 1.6, 2])),
        aspect=float(rng.uniform(0.45, 1.15)),
        limbs=tuple(limbs),
        head=float(rng.choice([0.0, 1.0, 1.0]) * rng.uniform(0.28, 0.5)),
        ears=rng.choice(["none", "round", "pointed", "antennae"]),
        ear_size=float(rng.uniform(0.12, 0.32)),
        eyes=int(rng.choice([1, 2, 2, 2, 3])),
        eye_size=float(rng.uniform(0.06, 0.14)),
        tail=float(rng.choice([0.0, 1.0]) * rng.uniform(0.4, 0.9)),
        tail_curl=float(rng.uniform(-1.6, 1.6)),
        mark=rng.choice(["none", "bars", "lines", "dots", "belly"]),
        mark_count=int(rng.integers(2, 6)),
    )


def outlines(plan: Plan, rng: Generator) -> Iterator[tuple[Part, np.ndarray]]:
    """Parts of a creature in a random pose, from the hindmost to the foremost; for its marks see `marks`."""
    if plan.tail:
        bend = plan.tail_curl + rng.normal(0, 0.25)
        yield "limb", _strip(_arc((0.0, _radius(plan, math.pi)), math.pi / 2, plan.tail, bend), 0.12, 0.02)
    for limb in plan.limbs:
        for side in (-1, 1):
            yield from _limb(plan, limb, side, rng)
    if plan.ears == "antennae":
        yield from (("limb", part) for part in _ears(plan, rng))
    yield "trunk", body(plan)
    if plan.head:
        yield from (("limb", part) for part in _ears(plan, rng) if plan.ears != "antennae")
        yield "head", _disc(_head(plan), plan.head)
    elif plan.ears != "antennae":
        yield from (("limb", part) for part in _ears(plan, rng))
    yield from (("eye", part) for part in _eyes(plan))


def body(plan: Plan) -> np.ndarray:
    """Outline of the body."""
    angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    radius = np.array([_radius(plan, angle) for angle in angles])
    return np.stack([plan.aspect * radius * np.sin(angles), -radius * np.cos(angles)], 1)


def marks(plan: Plan, rng: Generator) -> Iterator[np.ndarray]:
    """Outlines of what is drawn on the body and may reach beyond it."""
    places = (np.arange(plan.mark_count) + 0.5) / plan.mark_count * 2 - 1
    half = 0.42 / plan.mark_count
    if plan.mark in ("bars", "lines"):
        for place in places:
            bar = np.array([[-9, place - half], [9, place - half], [9, place + half], [-9, place + half]])
            yield bar if plan.mark == "bars" else plan.aspect * bar[:, ::-1]
    elif plan.mark == "dots":
        for y in places:
            for x in (-0.45, 0.05, 0.5):
                shift = rng.normal(0, 0.06, 2)
                yield _disc((plan.aspect * x + shift[0], y + shift[1]), 0.9 * half)
    elif plan.mark == "belly":
        yield 0.6 * body(plan) + np.array([0.0, 0.2])


def _radius(plan: Plan, angle: float) -> float:
    """Distance of the outline from the middle, by the angle from the head."""
    return max(0.3, 1 + sum(wave * math.cos((order + 2) * angle) for order, wave in enumerate(plan.waves)))


def _head(plan: Plan) -> tuple[float, float]:
    return 0.0, -_radius(plan, 0.0) - 0.45 * plan.head


def _limb(plan: Plan, limb: Limbs, side: int, rng: Generator) -> Iterator[tuple[Part, np.ndarray]]:
    radius = 0.85 * _radius(plan, limb.angle)
    start = side * plan.aspect * radius * math.sin(limb.angle), -radius * math.cos(limb.angle)
    direction = math.atan2(-math.cos(limb.angle), math.sin(limb.angle)) + rng.normal(0, 0.15)
    bend = limb.bend + rng.normal(0, 0.2)
    path = _arc((abs(start[0]), start[1]), direction, limb.length, bend)
    path[:, 0] *= side
    yield "limb", _strip(path, limb.width, 0.6 * limb.width)
    if limb.foot:
        yield "limb", _disc(path[-1], 0.5 * limb.foot * limb.width)


def _ears(plan: Plan, rng: Generator) -> Iterator[np.ndarray]:
    if plan.ears == "none":
        return
    x, y = _head(plan) if plan.head else (0.0, -0.75 * _radius(plan, 0.0))
    reach = plan.head or 0.35
    for side in (-1, 1):
        centre = np.array([x + side * 0.7 * reach, y - 0.7 * reach])
        if plan.ears == "round":
            yield _disc(centre, plan.ear_size)
        elif plan.ears == "pointed":
            tip = centre + np.array([side * 0.6, -1.4]) * plan.ear_size * rng.uniform(0.85, 1.15)
            inner, outer = (x + side * 0.15 * reach, y - 0.8 * reach), (x + side * 0.95 * reach, y - 0.1 * reach)
            yield np.array([tip, inner, outer])
        else:
            path = _arc((abs(centre[0]) * 0.6, y - 0.6 * reach), -1.2 + rng.normal(0, 0.1), 2.2 * plan.ear_size, 0.7)
            path[:, 0] *= side
            yield _strip(path, 0.06, 0.04)
            yield _disc(path[-1], 0.05)


def _eyes(plan: Plan) -> Iterator[np.ndarray]:
    x, y = _head(plan) if plan.head else (0.0, -0.55 * _radius(plan, 0.0))
    gap = 0.85 * (plan.head or 0.4 * plan.aspect)
    for place in np.linspace(-gap / 2, gap / 2, plan.eyes) if plan.eyes > 1 else [0.0]:
        yield _disc((x + float(place), y - 0.1), plan.eye_size)


def _arc(start: tuple[float, float], direction: float, length: float, bend: float) -> np.ndarray:
    """Points of a line that turns by ``bend`` along its way."""
    angles = direction + bend * np.linspace(0, 1, 8)
    steps = length / 8 * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.asarray(np.array(start) + np.cumsum(np.vstack([np.zeros((1, 2)), steps]), 0))


def _strip(path: np.ndarray, width: float, end_width: float) -> np.ndarray:
    """Outline of a line whose width goes from one value to another."""
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    half = np.linspace(width, end_width, len(path))[:, None] / 2
    return np.vstack([path + half * across, (path - half * across)[::-1]])


def _disc(centre: tuple[float, float] | np.ndarray, radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    outline: np.ndarray = np.asarray(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    return outline


VERSION = 1
"""Goes up when the same seed would give other images."""

SIDE = 84
"""Side of an image in pixels."""
CLASSES = {"train": 240, "val": 60, "test": 72}
"""How many classes each part has."""

_FINE = 2  # an image is drawn this much larger and then shrunk, which smooths its edges
_CANVAS = _FINE * SIDE


def creatures(split: str | None = None, *, pictures: int = 20, seed: int = 0) -> ImageSource:
    """Open the generated set of creatures.

    Args:
        split: ``train``, ``val`` or ``test`` classes; None for all.
        pictures: images a class.
        seed: with class and number, decides every image.

    Raises:
        SourceError: there is no such split.
        ValueError: ``pictures`` is below 1.
    """
    draw = partial(draw_creature, seed=seed)
    return GeneratedSource("creatures", creature_split(), split, pictures, draw, f"{VERSION} {seed}")


def creature_split() -> Split:
    """Class names of the train, val and test classes."""
    return {part: [f"creature {number:03d}" for number in numbers] for part, numbers in numbered(CLASSES).items()}


def draw_creature(class_name: str, number: int, seed: int = 0) -> Image.Image:
    """One image of one class, `SIDE` x `SIDE`, RGB.

    Args:
        class_name: ``creature NUMBER``; any number from 0 on is a class.
        number: which image of the class.
        seed: seed of everything.
    """
    rng = numpy_generator(seed, f"creatures/{class_name}", number)
    plan, colours = _class(class_name, seed)
    if int(class_name.rpartition(" ")[2]) % 2:
        colours = draw_colours(rng)
    page = background(rng)
    place = _View(rng)
    pen = ImageDraw.Draw(page)
    for kind, outline in outlines(plan, rng):
        colour = np.clip(colours[kind] + rng.normal(0, 0.03, 3), 0, 1)
        pen.polygon(place(outline), fill=_bytes(colour))
        if kind == "trunk":
            _paint_marks(page, plan, place, colours["mark"], rng)
        if kind == "eye":
            pen.polygon(place((outline + outline.mean(0)) / 2), fill=(15, 15, 20))  # the pupil
    return lit(np.asarray(page.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255, rng)


def draw_colours(rng: Generator) -> dict[str, np.ndarray]:
    """Colours of a creature: trunk and marks differ in lightness, limbs are near the trunk, eyes are light."""
    hue, light = rng.uniform(0, 1), rng.uniform(0.25, 0.75)
    other = light + (0.35 if light < 0.5 else -0.35)
    saturation = rng.uniform(0.25, 0.95)
    trunk = np.array(colorsys.hls_to_rgb(hue, light, saturation))
    return {
        "trunk": trunk,
        "head": trunk,
        "mark": np.array(colorsys.hls_to_rgb((hue + rng.normal(0, 0.25)) % 1, other, rng.uniform(0.2, 0.9))),
        "limb": np.array(colorsys.hls_to_rgb((hue + rng.normal(0, 0.12)) % 1, 0.75 * light, saturation)),
        "eye": np.array([0.95, 0.95, 0.9]),
    }


def background(rng: Generator) -> Image.Image:
    """A plain or blotched ground of muted colours, twice the side of an image."""
    coarse = rng.uniform(0.15, 0.9) + rng.normal(0, 0.12, 3) + rng.uniform(0, 0.12) * rng.standard_normal((4, 4, 3))
    ground = Image.fromarray((255 * np.clip(coarse, 0, 1)).round().astype(np.uint8))
    return ground.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC)


@lru_cache(maxsize=512)
def _class(class_name: str, seed: int) -> tuple[Plan, dict[str, np.ndarray]]:
    rng = numpy_generator(seed, f"creatures/{class_name}/plan")
    return draw_plan(rng), draw_colours(rng)


class _View:
    """Where a creature stands: turned, sized, slanted, perhaps mirrored, and shifted."""

    def __init__(self, rng: Generator) -> None:
        angle = math.radians(30) * rng.uniform(-1, 1)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        slant = np.array([[rng.choice([-1.0, 1.0]), 0.15 * rng.uniform(-1, 1)], [0.0, 1.0]])
        size = 0.23 * _CANVAS * rng.uniform(0.8, 1.15, 2)
        self._matrix = turn @ slant * size
        self._shift = _CANVAS * (0.5 + 0.07 * rng.uniform(-1, 1, 2))

    def __call__(self, outline: np.ndarray) -> list[tuple[float, float]]:
        """Corners in the image."""
        return [(float(x), float(y)) for x, y in outline @ self._matrix.T + self._shift]


def _paint_marks(page: Image.Image, plan: Plan, place: _View, colour: np.ndarray, rng: Generator) -> None:
    """Paint the marks as far as they lie on the body."""
    inside, painted = Image.new("L", page.size), Image.new("L", page.size)
    ImageDraw.Draw(inside).polygon(place(body(plan)), fill=255)
    pen = ImageDraw.Draw(painted)
    for outline in marks(plan, rng):
        pen.polygon(place(outline), fill=255)
    page.paste(_bytes(np.clip(colour + rng.normal(0, 0.03, 3), 0, 1)), mask=ImageChops.darker(inside, painted))


def _bytes(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (255 * colour).round().astype(int).tolist()
    return red, green, blue
