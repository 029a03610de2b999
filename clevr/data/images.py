"""The images of a split as one array on the disk: decoded once, read by every process and in every pass."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from clevr.data.errors import DataError
from clevr.data.reader import ClevrSplit
from fewshot_film.images import upright
from fewshot_film.run.files import reserve, write_atomically
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores, run_jobs

_CHUNK = 500
"""Images that a process decodes at a time."""


def fit_image(image: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """An image at the size that a model reads, without distortion.

    It is scaled to the width. What is then too high loses as much above as below; what is too low has its first and
    last row repeated. A narrower view of a scene is cut out of a wider one this way: cameras of CLEVR see the same
    from left to right, whatever the height.

    Args:
        image: any mode and size.
        width: pixels.
        height: pixels.

    Returns:
        uint8 ``(3, height, width)``.
    """
    image = upright(image, "the image")
    scaled_height = max(1, round(image.height * width / image.width))
    if image.size != (width, scaled_height):
        shrinks = image.width > width
        filtering = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        image = image.resize((width, scaled_height), filtering)
    rows = np.asarray(image).transpose(2, 0, 1)
    missing = height - scaled_height
    if missing > 0:
        return np.pad(rows, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), mode="edge")
    top = -missing // 2
    return np.ascontiguousarray(rows[:, top : top + height])


def to_pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """An image as torchvision's networks read it: RGB, ``(3, size, size)``, stretched by bicubic interpolation."""
    resized = upright(image, "the image").resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized).transpose(2, 0, 1)


def load_images(split: ClevrSplit, filenames: Sequence[str], width: int, height: int, cache: Path) -> NDArray[np.uint8]:
    """Images of a split, memory-mapped; decoded by all cores if that was not done before.

    Args:
        split: where they are.
        filenames: which, in the order of the result.
        width: pixels.
        height: pixels.
        cache: folder to keep them in.

    Returns:
        uint8 ``(N, 3, height, width)``, read-only.

    Raises:
        DataNotFoundError: an image is not there.
        DataError: an image cannot be decoded, or what is kept of them is damaged.
        OSError: there is no room for them.
        ProcessLostError: a process was killed; what it had decoded is done again by the next call.
    """
    path = cache / f"{split.files.split}-{width}x{height}-{_digest(split, filenames)}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: _decode(split, filenames, width, height, temporary))
    try:
        images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except ValueError as error:
        raise DataError(str(path), "", f"is damaged ({error}); remove it, and it is made again") from None
    return images


class StreamedImages:
    """Images of a split, decoded each time they are asked for: nothing is kept of them, in memory or on the disk.

    What :func:`load_images` gives, where the split is too large to be decoded beforehand.

    Args:
        split: where they are.
        filenames: which, in the order of the rows.
        width: pixels.
        height: pixels.
    """

    def __init__(self, split: ClevrSplit, filenames: Sequence[str], width: int, height: int) -> None:
        self.split = split
        self.filenames = filenames
        self.shape = (len(filenames), 3, height, width)

    def __len__(self) -> int:
        return len(self.filenames)

    def __getitem__(self, numbers: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Some images, ``(N, 3, height, width)``.

        Raises:
            DataNotFoundError: an image is not there.
            DataError: an image cannot be decoded.
        """
        _, _, height, width = self.shape
        rows = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for row, number in zip(rows, numbers.tolist(), strict=True):
            row[:] = fit_image(self.split.load_image(self.filenames[number]), width, height)
        return rows


def _decode(split: ClevrSplit, filenames: Sequence[str], width: int, height: int, path: Path) -> None:
    shape = (len(filenames), 3, height, width)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    reserve(path)
    job = functools.partial(_decode_range, split, filenames, path)
    ranges = list(_ranges(len(filenames)))
    with tqdm(total=len(filenames), desc="decoding", unit="image", disable=hides_bars()) as bar:
        for numbers in run_jobs(job, ranges, available_cores() if len(ranges) > 1 else 1):
            bar.update(len(numbers))


def _decode_range(split: ClevrSplit, filenames: Sequence[str], path: Path, numbers: range) -> range:
    images = np.load(path, mmap_mode="r+")
    _, _, height, width = images.shape
    for number in numbers:
        images[number] = fit_image(split.load_image(filenames[number]), width, height)
    images.flush()
    return numbers


def _ranges(count: int) -> Iterator[range]:
    return (range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK))


def _digest(split: ClevrSplit, filenames: Sequence[str]) -> str:
    """Changes with the names of the images and with the first and last image's file."""
    storage, folder = split.files.storage, split.files.images
    digest = hashlib.sha256("\n".join(filenames).encode())
    for name in (filenames[0], filenames[-1]) if folder and filenames else ():
        try:
            digest.update(storage.signature(f"{folder}/{name}").encode())
        except (FileNotFoundError, KeyError):
            continue  # a missing image is reported when it is decoded
    return digest.hexdigest()[:16]
