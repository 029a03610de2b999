"""Images that are already arrays in memory, and the pickles that benchmarks publish them in.

A pickle may name any function for the reader to call. So CIFAR-100 and mini-ImageNet are read by an unpickler that
knows only what NumPy's arrays are made of.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import ImageSource
from fewshot_film.images import MAX_PIXELS, check_pixels


def _latin1(text: str, encoding: str) -> bytes:
    """How old protocols store bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in '{encoding}'")
    return text.encode("latin1")


_KNOWN: dict[str, Any] = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "multiarray.scalar": np.int64(0).__reduce__()[0],
    "numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0],
    "_codecs.encode": _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        for home in ("numpy.core.", "numpy._core."):  # the name before and since NumPy 2
            module = module.removeprefix(home)
        known = _KNOWN.get(f"{module}.{name}")
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return known


def load_arrays(path: Path) -> Any:
    """Read a pickle of arrays, dictionaries, lists, numbers and texts (Python 2's as Latin-1).

    Raises:
        SourceError: the file names anything else, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise SourceError(
            f"'{path}' is not a pickle of arrays and plain containers ({error}); nothing else is read from "
            "pickles, as they can run code"
        ) from error


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
