"""Images that a visitor gives: read once, kept at the network's size and as a thumbnail."""

from __future__ import annotations

import itertools
import uuid
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

    Attributes:
        made: names of the thumbnails that it has written, or is about to.
    """

    def __init__(self, preprocessing: Preprocessing, folder: Path, limits: Limits) -> None:
        self.preprocessing = preprocessing
        self.folder = folder
        self.limits = limits
        self._min_side = max(2 * THUMBNAIL, preprocessing.min_side)
        self.made: set[str] = set()
        self._frames = itertools.count(1)

    def upload(self, path: Path) -> PageImage | str:
        """An uploaded file as an image, or what is wrong with it."""
        try:
            self.limits.check_image(path)
            data = path.read_bytes()
            image = open_image(data, path.name, min_side=self._min_side, max_pixels=self.limits.pixels)
            return self.from_image(image, path.name)
        except (ImageError, UploadError) as error:
            return str(error)
        except OSError as error:  # such as an upload that waited for so long that it was deleted
            return f"{path.name} could not be read ({error.strerror}); drop it again"

    def frame(self, data: bytes, *, keep: bool) -> PageImage:
        """A frame of a webcam.

        Args:
            data: a JPEG file.
            keep: whether there is to be a thumbnail; without one, the image can be classified but not shown.

        Raises:
            ImageError: it is damaged.
        """
        if not keep:
            return self.image(data, "webcam")
        image = open_image(data, "webcam", min_side=self._min_side, max_pixels=self.limits.pixels)
        return self.from_image(image, f"webcam {next(self._frames)}")

    def image(self, data: bytes, name: str) -> PageImage:
        """An image that can be classified but not shown: it has no thumbnail.

        Args:
            data: content of an image file.
            name: of the file.

        Raises:
            ImageError: it is damaged, or too large.
        """
        image = open_image(data, name, min_side=self.preprocessing.min_side, max_pixels=self.limits.pixels)
        pixels = np.array(to_array(image, name, **self.preprocessing.pixels), order="C")
        return PageImage(name, torch.from_numpy(pixels), Path())

    def of_source(self, source: ImageSource, index: int) -> PageImage | str:
        """An image of a source, or what is wrong with it."""
        try:
            image = source.load(index, min_side=self._min_side, max_pixels=self.limits.pixels)
            return self.from_image(image, source.files[index])
        except ImageError as error:
            return str(error)

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
        self.made.add(path.name)
        thumbnail.save(path)
        return PageImage(name, torch.from_numpy(np.array(pixels, order="C")), path)
