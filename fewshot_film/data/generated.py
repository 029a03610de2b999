"""What generated sets of images have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from PIL import Image

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import InvalidValueError
from fewshot_film.images import MAX_PIXELS


class GeneratedSource(ImageSource):
    """Images that are drawn when they are asked for.

    Args:
        name: name of the set.
        split: class names by part.
        part: which part to take; None for all.
        pictures: images a class.
        draw: draws an image from its class's name and its number within the class.
        identity: changes when the same class and number would give another image.

    Raises:
        SourceError: there is no such part.
        ValueError: ``pictures`` is below 1.
    """

    def __init__(
        self,
        name: str,
        split: Mapping[str, list[str]],
        part: str | None,
        pictures: int,
        draw: Callable[[str, int], Image.Image],
        identity: str,
    ) -> None:
        if pictures < 1:
            raise InvalidValueError(f"pictures must be at least 1, got {pictures}")
        if part is not None and part not in split:
            raise SourceError(f"{name}: no split '{part}'; there are {', '.join(split)}")
        names = split[part] if part is not None else [class_name for names in split.values() for class_name in names]
        files = [f"{class_name}/{number:04d}" for class_name in names for number in range(pictures)]
        super().__init__(name, names, np.repeat(np.arange(len(names)), pictures), files)
        self._pictures = pictures
        self._draw = draw
        self._identity = f"{name} {identity}"

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        return self._draw(self.class_names[self.labels[index]], index % self._pictures)

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return ""

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return self._identity


def numbered(counts: Mapping[str, int]) -> dict[str, range]:
    """The numbers of the classes of each part: from 0 on, one part behind the other.

    Args:
        counts: how many classes each part has.
    """
    ends = itertools.accumulate(counts.values())
    return {part: range(end - count, end) for (part, count), end in zip(counts.items(), ends, strict=True)}


def lit(pixels: np.ndarray, rng: Generator) -> Image.Image:
    """Light an image from one side, make it a little lighter or darker, and add a little noise.

    Args:
        pixels: ``(H, W, 3)`` in [0, 1].
        rng: where the light and the noise come from.
    """
    height, width = pixels.shape[:2]
    row, column = np.mgrid[:height, :width] / np.array([height / 2, width / 2]).reshape(2, 1, 1) - 1
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.25) * (np.cos(angle) * column + np.sin(angle) * row) + rng.uniform(-0.1, 0.1)
    pixels = pixels * light[..., None] + rng.normal(0, 0.015, pixels.shape)
    return Image.fromarray((255 * np.clip(pixels, 0, 1)).round().astype(np.uint8))
