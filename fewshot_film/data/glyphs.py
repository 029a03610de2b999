"""Characters drawn from fonts: a generated set that needs no download, for demonstrations and tests.

The fonts are those that matplotlib installs. A class is a character, named ``alphabet/character``; its
images differ by font, stroke width, an affine map and a smooth bend. Alphabets, not characters, are dealt
to train, validation and test, and characters that look alike are left out, in one alphabet and between them
(`fewshot_film.data.glyph_selection`). Image i of a class is a function of (seed, class, i) alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import ImageSource
from fewshot_film.data.splits import Split, published
from fewshot_film.errors import InvalidValueError
from fewshot_film.images import MAX_PIXELS
from fewshot_film.run.seeding import numpy_generator

PAPER = 128
"""Side in pixels of the square that an undistorted character is drawn on."""
GLYPH = 76
"""Longer side in pixels of an undistorted character."""
SIDE = 84
"""Side in pixels of an image."""

VERSION = 2
"""Goes up when the same seed would give other images."""


# The image is bent by the corners, in [-1, 1], of 2 x 2 patches. Of each patch: its box in the image, and
# the numbers of its corners, anticlockwise from the upper left one as Pillow wants them.
_GRID = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1)
_HALF = SIDE // 2
_QUADS = [
    (
        (_HALF * x, _HALF * y, _HALF * (x + 1), _HALF * (y + 1)),
        (3 * y + x, 3 * y + x + 3, 3 * y + x + 4, 3 * y + x + 1),
    )
    for y in range(2)
    for x in range(2)
]
_INVERT = [255 - value for value in range(256)]


@dataclass(frozen=True)
class GlyphVariation:
    """How much the images of one character differ; every amount is the largest, either way."""

    rotate: float = 15.0
    """Turn, degrees."""
    scale: float = 0.2
    """Stretch of each axis, a fraction."""
    shear: float = 0.2
    """Slant, a fraction of the height."""
    translate: float = 0.08
    """Shift along each axis, a fraction of the side."""
    bend: float = 0.06
    """Shift of each of 9 points that the image is bent by, a fraction of the side."""
    stroke: int = 3
    """Most pixels that a stroke is widened by on each side, of a character 76 pixels high."""


class GlyphSource(ImageSource):
    """Generated images of characters; see `glyphs`."""

    def __init__(
        self,
        class_names: list[str],
        fonts: dict[str, list[str]],
        pictures: int,
        seed: int,
        variation: GlyphVariation,
    ) -> None:
        """Take class names, and the fonts of every alphabet."""
        labels = np.repeat(np.arange(len(class_names)), pictures)
        files = [f"{name}/{number:04d}" for name in class_names for number in range(pictures)]
        super().__init__("glyphs", class_names, labels, files)
        self._fonts = fonts
        self._pictures = pictures
        self._seed = seed
        self._variation = variation

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        class_name = self.class_names[self.labels[index]]
        alphabet, character = class_name.split("/", 1)
        rng = numpy_generator(self._seed, f"glyphs/{class_name}", index % self._pictures)
        fonts = self._fonts[alphabet]
        font = fonts[rng.integers(len(fonts))]
        stroke = int(rng.integers(self._variation.stroke + 1))
        return distort(draw(character, font, stroke), self._variation, rng)

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return ""

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        fonts = sorted({font for fonts in self._fonts.values() for font in fonts})
        content = [hashlib.sha256((font_folder() / f"{font}.ttf").read_bytes()).hexdigest() for font in fonts]
        return f"glyphs {VERSION} {self._seed} {self._variation} {content}"


def glyphs(
    split: str | None = None,
    *,
    pictures: int = 20,
    seed: int = 0,
    variation: GlyphVariation | None = None,
) -> ImageSource:
    """Open the generated set of characters.

    Args:
        split: alphabets of ``train``, ``val`` or ``test``; None for all.
        pictures: images a class.
        seed: with class and number, decides every image.
        variation: how much images of one character differ.

    Raises:
        SourceError: matplotlib, whose fonts are drawn from, is not installed, or there is no such split.
        ValueError: ``pictures`` is below 1.
    """
    if pictures < 1:
        raise InvalidValueError(f"pictures must be at least 1, got {pictures}")
    font_folder()
    catalogue: dict[str, dict[str, Any]] = published("glyphs")
    if split is not None and split not in catalogue:
        raise SourceError(f"glyphs: no split '{split}'; there are {', '.join(sorted(catalogue))}")
    names = glyph_split()
    chosen = names[split] if split is not None else [name for part in names.values() for name in part]
    fonts = {alphabet: entry["fonts"] for part in catalogue.values() for alphabet, entry in part.items()}
    return GlyphSource(chosen, fonts, pictures, seed, variation or GlyphVariation())


def glyph_split() -> Split:
    """Class names (``alphabet/character``) of the train, val and test alphabets."""
    return {
        part: [f"{alphabet}/{letter}" for alphabet, entry in alphabets.items() for letter in entry["characters"]]
        for part, alphabets in published("glyphs").items()
    }


def font_folder() -> Path:
    """Where matplotlib keeps its fonts; matplotlib itself is not imported.

    Raises:
        SourceError: it is not installed.
    """
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("glyphs: the characters are drawn from matplotlib's fonts; run: pip install matplotlib")
    return Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=1024)
def draw(character: str, font: str, stroke: int = 0) -> Image.Image:
    """Draw one character undistorted, in the middle of its paper, its longer side `GLYPH` pixels.

    Args:
        character: one character that the font has.
        font: name of a font file of matplotlib, without ``.ttf``.
        stroke: pixels that strokes are widened by on each side.

    Returns:
        Grey image, `PAPER` x `PAPER`; ink is white on black here.
    """
    face = _face(font)
    left, top, right, bottom = face.getbbox(character, stroke_width=stroke)
    width, height = int(right - left), int(bottom - top)
    ink = Image.new("L", (width, height))
    ImageDraw.Draw(ink).text((-left, -top), character, fill=255, font=face, stroke_width=stroke)
    ratio = GLYPH / max(width, height)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    paper = Image.new("L", (PAPER, PAPER))
    paper.paste(ink.resize(size, Image.Resampling.BILINEAR), ((PAPER - size[0]) // 2, (PAPER - size[1]) // 2))
    return paper


def distort(paper: Image.Image, variation: GlyphVariation, rng: np.random.Generator) -> Image.Image:
    """Map a drawn character by a random affine map and bend: `SIDE` x `SIDE`, black ink on white."""
    shift = 2 * variation.translate * rng.uniform(-1, 1, 2)
    bend = 2 * variation.bend * rng.uniform(-1, 1, _GRID.shape)
    points = _GRID @ _matrix(variation, rng).T + shift + bend
    corners = ((points + 1) * (PAPER / 2)).reshape(-1, 2).tolist()
    mesh = [(box, tuple(value for corner in around for value in corners[corner])) for box, around in _QUADS]
    return paper.transform((SIDE, SIDE), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR).point(_INVERT)


def _matrix(variation: GlyphVariation, rng: np.random.Generator) -> np.ndarray:
    """Linear part of the map, from image to paper."""
    angle = np.deg2rad(variation.rotate) * rng.uniform(-1, 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1.0, variation.shear * rng.uniform(-1, 1)], [0.0, 1.0]])
    matrix: np.ndarray = turn @ slant / (1 + variation.scale * rng.uniform(-1, 1, 2))
    return matrix


@cache
def _face(font: str) -> ImageFont.FreeTypeFont:
    # The basic layout is in every build of Pillow; the other one may shape letters differently.
    return ImageFont.truetype(font_folder() / f"{font}.ttf", GLYPH, layout_engine=ImageFont.Layout.BASIC)
