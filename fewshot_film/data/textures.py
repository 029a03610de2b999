"""Generated textures: no download, any number of classes and images, the same for the same seed.

A class is a family of patterns with the numbers that shape it, and, for every other class, its colours; the rest show
themselves in any colours. Images of a class differ in the place that is seen, turn, zoom, light, colours and noise.
The numbers of a family's classes are spread evenly over what they may be, so that no two classes are nearly alike.
"""

from __future__ import annotations

import colorsys
from functools import partial

import numpy as np
from numpy.random import Generator
from PIL import Image

from fewshot_film.data.generated import GeneratedSource, lit, numbered
from fewshot_film.data.source import ImageSource
from fewshot_film.data.splits import Split
from fewshot_film.data.texture_fields import FAMILIES, NUM_PARAMETERS, draw_grid
from fewshot_film.run.seeding import numpy_generator

VERSION = 1
"""Goes up when the same seed would give other images."""

CLASSES_A_FAMILY = {"train": 40, "val": 10, "test": 12}
"""How many classes every family has in each part."""
TURN = np.deg2rad(20.0)
"""Largest turn of an image, either way."""
ZOOM = 1.2
"""Largest enlargement of an image, and reduction."""


def textures(split: str | None = None, *, pictures: int = 20, seed: int = 0) -> ImageSource:
    """Open the generated set of textures.

    Args:
        split: ``train``, ``val`` or ``test`` classes; None for all.
        pictures: images a class.
        seed: with class and number, decides every image.

    Raises:
        SourceError: there is no such split.
        ValueError: ``pictures`` is below 1.
    """
    draw = partial(draw_texture, seed=seed)
    return GeneratedSource("textures", texture_split(), split, pictures, draw, f"{VERSION} {seed}")


def texture_split() -> Split:
    """Class names (``family/number``) of the train, val and test classes."""
    return {
        part: [f"{family}/{number:03d}" for family in FAMILIES for number in numbers]
        for part, numbers in numbered(CLASSES_A_FAMILY).items()
    }


def draw_texture(class_name: str, number: int, seed: int = 0) -> Image.Image:
    """One image of one class, 84 x 84, RGB.

    Args:
        class_name: ``family/number`` of the class; any number from 0 on is a class.
        number: which image of the class.
        seed: seed of everything.
    """
    family, _, place = class_name.partition("/")
    rng = numpy_generator(seed, f"textures/{class_name}", number)
    own = numpy_generator(seed, f"textures/{class_name}/colours")
    grid = draw_grid(rng, float(TURN), ZOOM)
    field = FAMILIES[family](class_parameters(int(place)), grid, rng)
    has_colours = int(place) % 2 == 0
    palette = draw_palette(own if has_colours else rng)
    return to_picture(field, _jittered(palette, rng), rng)


def class_parameters(number: int) -> np.ndarray:
    """The numbers of a class of any family, ``(NUM_PARAMETERS,)`` in [0, 1), no two classes near each other.

    Source: the additive recurrence on powers of the generalised golden ratio, Roberts, "The unreasonable
    effectiveness of quasirandom sequences", 2018.
    """
    ratio = 1.5
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (NUM_PARAMETERS + 1))
    steps = ratio ** -np.arange(1, NUM_PARAMETERS + 1)
    return np.asarray((0.5 + (number + 1) * steps) % 1)


def draw_palette(rng: Generator) -> np.ndarray:
    """Two to four colours that stand apart in lightness, ``(K, 3)`` in [0, 1], from the dark to the light end."""
    count = int(rng.integers(2, 5))
    hue, spread = rng.uniform(0, 1), rng.uniform(0.05, 0.5)
    lightness = np.linspace(rng.uniform(0.05, 0.35), rng.uniform(0.65, 0.95), count)
    hues, saturations = hue + spread * rng.uniform(-1, 1, count), rng.uniform(0.1, 0.9, count)
    colours = [colorsys.hls_to_rgb(h % 1, light, s) for h, light, s in zip(hues, lightness, saturations, strict=True)]
    return np.array(colours if rng.uniform() < 0.5 else colours[::-1])


def to_picture(field: np.ndarray, palette: np.ndarray, rng: Generator) -> Image.Image:
    """Colour a field of values in [0, 1], and light it from one side with a little noise."""
    stops = np.linspace(0, 1, len(palette))
    pixels = np.stack([np.interp(field, stops, channel) for channel in palette.T], axis=-1)
    return lit(pixels, rng)


def _jittered(palette: np.ndarray, rng: Generator) -> np.ndarray:
    """The same colours a little off, all of them in one direction and each in its own."""
    shared, own = rng.normal(0, 0.04, 3), rng.normal(0, 0.03, palette.shape)
    return np.clip(palette + shared + own, 0, 1)
