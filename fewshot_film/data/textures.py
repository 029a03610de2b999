"""Generated textures: no download, any number of classes and images, the same for the same seed.

A class is a family of patterns with the numbers that shape it, and, for every other class, its colours; the rest show
themselves in any colours. Images of a class differ in the place that is seen, turn, zoom, light, colours and noise.
The numbers of a family's classes are spread evenly over what they may be, so that no two classes are nearly alike.

Families of patterns: from the numbers of a class and the numbers of an image to a field of values in [0, 1].

Each family is a function of ``u``, seven numbers in [0, 1) that make the class, of the image's own `Grid`, and of
a generator for what differs from image to image, such as where cells lie.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator
from PIL import Image

from fewshot_film.data.generated import GeneratedSource, lit, numbered
from fewshot_film.data.source import ImageSource
from fewshot_film.data.splits import Split
from fewshot_film.run.seeding import numpy_generator

SIDE = 84
"""Side of an image in pixels."""
NUM_PARAMETERS = 7
"""Numbers that make a class within its family."""

_TABLE = 64  # cells after which the random numbers of a lattice repeat; an image shows fewer


@dataclass(frozen=True)
class Grid:
    """The plane of the pattern as an image shows it: turned, zoomed and shifted."""

    x: np.ndarray
    """``(SIDE, SIDE)`` coordinates in the plane; an image's side is about 1."""
    y: np.ndarray
    """See ``x``."""
    frequency: np.ndarray
    """``(SIDE, SIDE)`` of every Fourier component of the image: cycles a unit of the plane."""
    direction: np.ndarray
    """``(SIDE, SIDE)`` angle of every Fourier component in the plane, radians."""
    pixel: float
    """Side of a pixel in the plane."""


def draw_grid(rng: Generator, turn: float, zoom: float) -> Grid:
    """A view of the plane, turned by at most ``turn`` radians and enlarged by at most a factor ``zoom`` either way."""
    angle = turn * rng.uniform(-1, 1)
    scale = zoom ** rng.uniform(-1, 1) / SIDE
    cos, sin = math.cos(angle), math.sin(angle)
    row, column = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    shift_x, shift_y = rng.uniform(0, _TABLE, 2)
    vertical, horizontal = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    along, across = (cos * horizontal - sin * vertical) / scale, (sin * horizontal + cos * vertical) / scale
    return Grid(
        x=(cos * column - sin * row) * scale + shift_x,
        y=(sin * column + cos * row) * scale + shift_y,
        frequency=np.hypot(along, across),
        direction=np.arctan2(across, along),
        pixel=scale,
    )


def bands(u: np.ndarray, grid: Grid, rng: Generator) -> np.ndarray:
    """Noise of one or two narrow bands of frequency and direction: a mixture of Gabor functions in random places."""
    passed = _band(grid, 4 * 6 ** u[0], 0.12 + 0.3 * u[1], math.pi * u[2], u[3])
    if u[4] > 0.4:
        turned = math.pi * (u[2] + 0.25 + 0.5 * u[5])
        passed = passed + (0.5 + u[6]) * _band(grid, 4 * 6 ** ((u[0] + 0.3 + 0.4 * u[5]) % 1), 0.15, turned, u[3])
    return _even(_filtered(passed, rng))


def spots(u: np.ndarray, grid: Grid, rng: Generator) -> np.ndarray:
    """Spots, stripes and labyrinths, as reaction and diffusion make them.

    Noise is band-passed and squashed again and again; a bias decides between spots and stripes.
    Source: Turing, "The chemical basis of morphogenesis", 1952, for the mechanism.
    """
    passed = _band(grid, 5 * 4 ** u[0], 0.2 + 0.15 * u[1], math.pi * u[2], 1.0 if u[3] > 0.2 else 0.3)
    bias, gain = 1.6 * (u[4] - 0.5), 1.5 + 1.5 * u[5]
    field = rng.standard_normal((SIDE, SIDE))
    for _ in range(12):
        field = np.tanh(gain * np.fft.ifft2(np.fft.fft2(field) * passed).real + bias)
    return _even(field)


def clouds(u: np.ndarray, grid: Grid, rng: Generator) -> np.ndarray:
    """Noise of all scales: clouds, ridges, and the veins and rings of marble and wood."""
    stretch = 1 + 3 * u[1] * np.abs(np.cos(grid.direction - math.pi * u[2]))
    power = np.maximum(grid.frequency * stretch, 1.0) ** -(1.8 + 0.8 * u[0])
    power[0, 0] = 0.0
    noise = _filtered(power, rng)
    kind = int(4 * u[3])
    if kind == 0:
        return _even(noise)
    if kind == 1:
        ridges: np.ndarray = 1 - np.clip(np.abs(noise) / (0.4 + 1.2 * u[4]), 0, 1)
        return ridges
    along = math.cos(math.pi * u[5]) * grid.x + math.sin(math.pi * u[5]) * grid.y
    straight = (3 + 9 * u[6]) * along if kind == 2 else 0.0
    return _wave(straight + (0.3 + 1.5 * u[4]) * (2.0 if kind == 3 else 1.0) * noise)


def waves(u: np.ndarray, grid: Grid, rng: Generator) -> np.ndarray:
    """Stripes, checks, honeycombs, plaids, zigzags and rings, straight or bent."""
    angle, rate = math.pi * u[0], 3 * 4 ** u[1]
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = cos * grid.x + sin * grid.y, cos * grid.y - sin * grid.x
    x = x + 0.12 * u[2] * np.sin(2 * math.pi * (1 + 4 * u[3]) * y + rng.uniform(0, 2 * math.pi))
    first, second = np.cos(2 * math.pi * rate * x), np.cos(2 * math.pi * rate * (0.5 + u[4]) * y)
    kind = int(6 * u[5])
    if kind == 2:
        third, fourth = (np.cos(math.pi * rate * (x + way * math.sqrt(3) * y)) for way in (-1, 1))
        field = (np.cos(2 * math.pi * rate * x) + 2 * third * fourth) / 3
    elif kind == 4:
        field = np.cos(2 * math.pi * rate * (x + (0.2 + 0.3 * u[4]) * np.abs((2 * y * (2 + 3 * u[4])) % 2 - 1)))
    elif kind == 5:
        field = np.cos(2 * math.pi * rate * np.hypot((x % 1) - 0.5, ((y % 1) - 0.5) * (0.6 + u[4])))
    else:
        field = (first, first * second, first, np.maximum(first, second))[kind]
    sharp, duty = 1 + 12 * u[6] ** 2, 1.2 * (u[3] - 0.5)
    return np.asarray(0.5 + 0.5 * np.tanh(sharp * (field + 0.5 * duty)))


def cells(u: np.ndarray, grid: Grid, rng: Generator) -> np.ndarray:
    """Cells around scattered points, as in foam, scales, cracks and stained glass (Worley, SIGGRAPH 1996)."""
    rate = 3 * 4 ** u[0]
    angle = math.pi * u[1]
    x = (math.cos(angle) * grid.x + math.sin(angle) * grid.y) * rate
    y = (math.cos(angle) * grid.y - math.sin(angle) * grid.x) * rate * (1 + 1.5 * max(0.0, u[2] - 0.4))
    scatter = rng.uniform(-0.5, 0.5, (3, _TABLE, _TABLE))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    nearest, next_one, value = (np.full(x.shape, big) for big in (9.0, 9.0, 0.0))
    for step in range(9):
        here_c, here_r = column + step // 3 - 1, row + step % 3 - 1
        place = here_c % _TABLE, here_r % _TABLE
        dx = np.abs(x - here_c - 0.5 - (0.2 + 0.8 * u[3]) * scatter[0][place])
        dy = np.abs(y - here_r - 0.5 - (0.2 + 0.8 * u[3]) * scatter[1][place])
        distance = (np.hypot(dx, dy), dx + dy, np.maximum(dx, dy))[int(3 * u[4])]
        closer = distance < nearest
        next_one = np.where(closer, nearest, np.minimum(next_one, distance))
        value = np.where(closer, scatter[2][place] + 0.5, value)
        nearest = np.where(closer, distance, nearest)
    edge = np.clip((next_one - nearest) / (0.08 + 0.35 * u[6]), 0, 1)
    shown = (np.clip(1.2 * nearest, 0, 1), edge, value * (edge > 0.4), 0.5 * edge + 0.5 * value)
    return np.asarray(shown[int(4 * u[5])])


def motifs(u: np.ndarray, grid: Grid, rng: Generator) -> np.ndarray:
    """Discs, rings, bars, crosses, stars and diamonds on a lattice, in rows or like bricks."""
    rate = 3 * 3 ** u[0]
    angle = math.pi / 2 * u[1]
    x = (math.cos(angle) * grid.x + math.sin(angle) * grid.y) * rate
    y = (math.cos(angle) * grid.y - math.sin(angle) * grid.x) * rate * (1 + 0.6 * u[2])
    row = np.floor(y).astype(int)
    x = x + (row % 2) * (0.5 if u[2] > 0.5 else 0.0)
    column = np.floor(x).astype(int)
    table = rng.uniform(-1, 1, (2, _TABLE, _TABLE))
    place = column % _TABLE, row % _TABLE
    turn = math.pi * u[3] + (math.pi * table[0][place] if u[4] > 0.6 else 0.0)
    dx, dy = x - column - 0.5, (y - row - 0.5) / (1 + 0.6 * u[2])
    dx, dy = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
    size = (0.2 + 0.2 * u[6]) * (1 + 0.15 * table[1][place])
    inside = _motif(int(6 * u[5]), dx, dy, size)
    return np.asarray(np.clip(0.5 + inside / (1.5 * grid.pixel * rate), 0, 1))


def _motif(kind: int, dx: np.ndarray, dy: np.ndarray, size: np.ndarray) -> np.ndarray:
    """How far inside one motif a point is; negative outside."""
    wide, high, radius = np.abs(dx), np.abs(dy), np.hypot(dx, dy)
    inside = (
        size - radius,
        size / 3 - np.abs(radius - 0.8 * size),
        np.minimum(size / 3 - wide, size - high),
        np.minimum(size / 3.5 - np.minimum(wide, high), size - np.maximum(wide, high)),
        size * (0.7 + 0.35 * np.cos(5 * np.arctan2(dy, dx))) - radius,
        size - wide - 0.6 * high,
    )
    return np.asarray(inside[kind])


FAMILIES: dict[str, Callable[[np.ndarray, Grid, Generator], np.ndarray]] = {
    "bands": bands,
    "spots": spots,
    "clouds": clouds,
    "waves": waves,
    "cells": cells,
    "motifs": motifs,
}


def _band(grid: Grid, centre: float, width: float, direction: float, isotropy: float) -> np.ndarray:
    """Gain of a band-pass of relative ``width`` about ``centre`` cycles; of any direction where isotropy nears 1."""
    radial = np.exp(-(((grid.frequency / centre - 1) / width) ** 2))
    spread = 0.08 + 0.5 * isotropy
    angular = np.exp(-((np.sin(grid.direction - direction) / spread) ** 2))
    return radial * (angular if isotropy < 0.6 else 1.0)


def _filtered(gain: np.ndarray, rng: Generator) -> np.ndarray:
    """White noise through a filter, brought to mean 0 and deviation 1."""
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) * gain).real
    return np.asarray((field - field.mean()) / (field.std() + 1e-9))


def _even(field: np.ndarray) -> np.ndarray:
    """Squash to [0, 1] about the mean, one deviation to 0.9."""
    return np.asarray(0.5 + 0.5 * np.tanh(1.1 * (field - field.mean()) / (field.std() + 1e-9)))


def _wave(phase: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.cos(2 * math.pi * phase))


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
    return to_image(field, _jittered(palette, rng), rng)


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


def to_image(field: np.ndarray, palette: np.ndarray, rng: Generator) -> Image.Image:
    """Colour a field of values in [0, 1], and light it from one side with a little noise."""
    stops = np.linspace(0, 1, len(palette))
    pixels = np.stack([np.interp(field, stops, channel) for channel in palette.T], axis=-1)
    return lit(pixels, rng)


def _jittered(palette: np.ndarray, rng: Generator) -> np.ndarray:
    """The same colours a little off, all of them in one direction and each in its own."""
    shared, own = rng.normal(0, 0.04, 3), rng.normal(0, 0.03, palette.shape)
    return np.clip(palette + shared + own, 0, 1)
