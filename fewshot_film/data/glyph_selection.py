"""Choose the characters of the generated set: ``python -m fewshot_film.data.glyph_selection > glyphs.json``.

Alphabets are blocks of Unicode that the fonts cover. A character is kept if every font of its alphabet has
it and it looks like none that was kept before, of any alphabet and any part: the correlation of the two
drawings, blurred, and over small turns and stretches, stays below `ALIKE`. So Latin A stays and Greek Alpha
goes.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from fewshot_film.data.glyphs import PAPER, draw, font_folder

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
)

ALPHABETS: dict[str, dict[str, tuple[tuple[int, int], ...]]] = {
    "train": {
        "Latin": ((0x30, 0x7A), (0xC0, 0x24F), (0x250, 0x2AF), (0x1D00, 0x1D2B)),
        "Greek": ((0x370, 0x3FF),),
        "Cyrillic": ((0x400, 0x52F),),
        "Arabic": ((0x620, 0x6D5),),
        "Canadian Aboriginal": ((0x1400, 0x167F),),
        "Tifinagh": ((0x2D30, 0x2D6F),),
        "Operators": ((0x2200, 0x22FF), (0x2A00, 0x2AFF)),
        "Arrows": ((0x2190, 0x21FF), (0x2900, 0x297F)),
        "Dingbats": ((0x2701, 0x27BF),),
    },
    "val": {
        "Hebrew": ((0x5D0, 0x5EA),),
        "Lao": ((0xE81, 0xEDF),),
        "Georgian capitals": ((0x10A0, 0x10C5),),
        "Technical": ((0x2300, 0x23FF),),
    },
    "test": {
        "Armenian": ((0x531, 0x587),),
        "Georgian": ((0x10D0, 0x10FC),),
        "Nko": ((0x7C0, 0x7FA),),
        "Old Italic": ((0x10300, 0x10323),),
        "Symbols": ((0x2600, 0x26C3),),
    },
}

ALIKE = 0.9
"""Correlation from which two characters count as the same drawing."""

_COVERED = 0.6
"""A font serves an alphabet if it has this share of the characters that the best font has."""
_SIDE = 32
_BLUR = 0.6


def select_characters() -> dict[str, dict[str, dict[str, Any]]]:
    """The catalogue: for every part and alphabet its fonts, and its characters in Unicode's order."""
    kept = np.zeros((0, _SIDE * _SIDE), np.float32)
    catalogue: dict[str, dict[str, dict[str, Any]]] = {}
    coverage = {font: _coverage(font) for font in FONTS}
    for part, alphabets in ALPHABETS.items():
        catalogue[part] = {}
        for alphabet, blocks in alphabets.items():
            candidates = [code for first, last in blocks for code in range(first, last + 1) if _is_shape(chr(code))]
            fonts = _fonts_of(candidates, coverage)
            characters = ""
            for code in candidates:
                if not all(code in coverage[font] for font in fonts):
                    continue
                views = np.stack([_vector(view) for view in _views(draw(chr(code), fonts[0]))])
                if len(kept) == 0 or float((views @ kept.T).max()) < ALIKE:
                    kept = np.vstack([kept, views[:1]])
                    characters += chr(code)
            catalogue[part][alphabet] = {"fonts": fonts, "characters": characters}
    return catalogue


def _is_shape(character: str) -> bool:
    """Letters, digits and symbols that are more than another one with an accent."""
    category = unicodedata.category(character)
    plain = unicodedata.normalize("NFD", character) == character
    return plain and (category in {"Lu", "Ll", "Lo", "Nd", "No", "Sm", "So"})


def _fonts_of(candidates: Iterable[int], coverage: dict[str, set[int]]) -> list[str]:
    wanted = set(candidates)
    count = {font: len(wanted & codes) for font, codes in coverage.items()}
    return [font for font in FONTS if count[font] >= _COVERED * max(count.values()) and count[font]]


def _coverage(font: str) -> set[int]:
    from matplotlib.ft2font import FT2Font

    return set(FT2Font(font_folder() / f"{font}.ttf").get_charmap())


def _views(paper: Image.Image) -> Iterator[Image.Image]:
    """The drawing as it is, then turned and stretched as far as the generated images vary."""
    half = PAPER / 2
    for degrees in (0, -15, 15):
        turn = np.deg2rad(degrees)
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        for stretch in (1.0, 0.75, 1.33):
            a, b, d, e = cos / stretch, -sin, sin / stretch, cos
            offset = (half - a * half - b * half, half - d * half - e * half)
            matrix = (a, b, offset[0], d, e, offset[1])
            yield paper.transform(paper.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _vector(paper: Image.Image) -> np.ndarray:
    """Blurred, reduced, brought to zero mean and unit length."""
    small = paper.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(_BLUR))
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    unit: np.ndarray = values / max(float(np.linalg.norm(values)), 1e-6)
    return unit


if __name__ == "__main__":
    json.dump(select_characters(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
