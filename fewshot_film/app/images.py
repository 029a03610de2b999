"""Images that a visitor gives: read once, kept at the network's size and as a thumbnail."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data.pixels import to_array
from fewshot_film.data.source import ImageSource
from fewshot_film.images import ImageError, open_image
from fewshot_film.page import Limits, UploadError

THUMBNAIL = 112
"""Side of a thumbnail, pixels."""


@dataclass(frozen=True, eq=False)
class PageImage:
    """One image as the page keeps it; equal to itself alone."""

    name: str
    """Of its file."""
    pixels: Tensor
    """``(C, H, W)``, uint8, at the size that the network reads."""
    thumbnail: Path
    """A small PNG file, whose name no other image has."""

    @property
    def key(self) -> str:
        """Identifies the image."""
        return self.thumbnail.stem


class Reader:
    """Reads images for a network.

    Args:
        preprocessing: what the network reads.
        folder: where thumbnails go.
        limits: what is refused.
    """

    def __init__(self, preprocessing: Preprocessing, folder: Path, limits: Limits) -> None:
        self.preprocessing = preprocessing
        self.folder = folder
        self.limits = limits

    def uploads(self, files: Iterable[str | Path]) -> Iterator[PageImage | str]:
        """Every uploaded file as an image, or as what is wrong with it.

        Raises:
            UploadError: there are too many files.
        """
        paths = [Path(file) for file in files]
        self.limits.check_count(len(paths))
        for path in paths:
            try:
                self.limits.check_image(path)
                min_side = max(2 * THUMBNAIL, self.preprocessing.min_side)
                image = open_image(path.read_bytes(), path.name, min_side=min_side, max_pixels=self.limits.pixels)
                yield self.from_image(image, path.name)
            except (ImageError, UploadError) as error:
                yield str(error)

    def source(self, source: ImageSource, indices: Iterable[int]) -> Iterator[tuple[int, PageImage | str]]:
        """Images of a source with their indices, or what is wrong with them."""
        for index in indices:
            try:
                min_side = max(2 * THUMBNAIL, self.preprocessing.min_side)
                image = source.load(index, min_side=min_side, max_pixels=self.limits.pixels)
                yield index, self.from_image(image, source.files[index])
            except ImageError as error:
                yield index, str(error)

    def from_image(self, image: Image.Image, name: str) -> PageImage:
        """An image that is open already.

        Raises:
            ImageError: it cannot be converted.
        """
        pixels = to_array(image, name, **self.preprocessing.pixels)
        thumbnail = to_array(image, name, image_size=THUMBNAIL, channels=3, resize="pad")
        return self._keep(name, pixels, Image.fromarray(np.ascontiguousarray(thumbnail.transpose(1, 2, 0))))

    def from_pixels(self, pixels: Tensor, name: str) -> PageImage:
        """An image of which only what the network reads is left, ``(C, H, W)`` uint8."""
        array = pixels.numpy()
        shown = np.repeat(array, 3, axis=0) if len(array) == 1 else array
        small = Image.fromarray(np.ascontiguousarray(shown.transpose(1, 2, 0)))
        return self._keep(name, array, small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC))

    def _keep(self, name: str, pixels: np.ndarray, thumbnail: Image.Image) -> PageImage:
        path = self.folder / f"{uuid.uuid4().hex}.png"
        thumbnail.save(path)
        return PageImage(name, torch.from_numpy(np.array(pixels, order="C")), path)
