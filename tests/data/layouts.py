"""Small data sets in the layouts that real ones have on disk."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot_film.data.arrays import ArraySource
from fewshot_film.data.image_set import ImageSet, Pixels


def noise(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    """An image unlike any other, its width and height given."""
    width, height = size
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def png(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def class_files(class_names: Iterable[str], pictures: int, *, prefix: str = "", seed: int = 0) -> dict[str, bytes]:
    """``<prefix><class>/<number>.png``, every image of its own."""
    names = list(class_names)
    return {
        f"{prefix}{name}/{number}.png": png(noise(seed + place * pictures + number))
        for place, name in enumerate(names)
        for number in range(pictures)
    }


def array_source(sizes: Iterable[int], *, side: int = 4, seed: int = 0) -> ArraySource:
    """A source of grey noise with the given number of images in each class."""
    counts = list(sizes)
    pictures = np.random.default_rng(seed).integers(0, 256, (sum(counts), side, side), np.uint8)
    names = [f"class {place}" for place in range(len(counts))]
    return ArraySource("noise", names, np.repeat(np.arange(len(counts)), counts), pictures)


def blank_set(sizes: list[int]) -> ImageSet:
    """Decoded images of one pixel, all the same one: for tests of which are drawn."""
    pixels = Pixels((1, 1, 1, 1), np.zeros((1, 1, 1, 1), np.uint8))
    names = [f"class {place}" for place in range(len(sizes))]
    rows = np.zeros(sum(sizes), np.int64)
    files = [str(index) for index in range(len(rows))]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return ImageSet("blank", pixels, names, labels, rows, files, rows.astype(np.uint64))


def write_pickle(path: Path, content: object, protocol: int = 2) -> Path:
    """Write a pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
