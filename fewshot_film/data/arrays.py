"""Images that are already arrays in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import ImageSource
from fewshot_film.images import MAX_PIXELS, check_pixels


class ArraySource(ImageSource):
    """Images from one uint8 array.

    Args:
        name: name of the source.
        class_names: names of the classes.
        labels: ``(N,)`` class of every image.
        pictures: ``(N, H, W)`` grey or ``(N, H, W, 3)`` RGB, uint8.
        files: ``N`` ids; by default the numbers.
        ordered: see `ImageSource`.

    Raises:
        SourceError: the array has another shape or type.
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        labels: np.ndarray,
        pictures: np.ndarray,
        files: Sequence[str] | None = None,
        *,
        ordered: bool = False,
    ) -> None:
        grey_or_rgb = pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[3] == 3)
        if pictures.dtype != np.uint8 or not grey_or_rgb:
            raise SourceError(
                f"{name}: images are {pictures.dtype} of shape {pictures.shape}; expected uint8 of shape "
                "(N, H, W) or (N, H, W, 3)"
            )
        files = [str(index) for index in range(len(pictures))] if files is None else files
        super().__init__(name, class_names, labels, files, ordered=ordered)
        self._pictures = pictures

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        picture = Image.fromarray(self._pictures[index])
        check_pixels(picture, self.files[index], max_pixels)
        return picture

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return hashlib.sha256(np.ascontiguousarray(self._pictures[index]).data).hexdigest()

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return f"array {self._pictures.shape[1:]}"
