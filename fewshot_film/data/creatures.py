"""Generated creatures: objects with parts in front of a background; no download, the same for the same seed.

A class is a body plan (`fewshot_film.data.creature_plans`) and, for every other class, its colours; the rest show
themselves in any colours. Images of a class differ in pose, turn, size, place, colours, light and background.
"""

from __future__ import annotations

import colorsys
import math
from functools import lru_cache, partial

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw

from fewshot_film.data.creature_plans import Plan, body, draw_plan, marks, outlines
from fewshot_film.data.generated import GeneratedSource, lit, numbered
from fewshot_film.data.source import ImageSource
from fewshot_film.data.splits import Split
from fewshot_film.run.seeding import numpy_generator

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
