"""The folder that keeps decoded pixels: written once, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from fewshot_film.data.image_set import Pixels
from fewshot_film.data.repeats import image_digest
from fewshot_film.data.source import ImageSource
from fewshot_film.images import ImageError

log = logging.getLogger(__name__)

FORMAT = 3
"""Part of every key; goes up when the same settings would give other pixels or other files."""

PIXELS_FILE = "pixels.u8"
INDEX_FILE = "index.json"

Result = tuple[int, np.ndarray | ImageError]


@dataclass(frozen=True)
class Decoded:
    """What decoding a source came to."""

    pixels: Pixels
    """``(rows, C, H, W)``: the images that could be decoded, in the source's order."""
    indices: np.ndarray
    """``(rows,)`` int64: which image of the source a row is."""
    digests: np.ndarray
    """``(rows,)`` uint64, see `fewshot_film.data.repeats.image_digest`."""
    skipped: list[tuple[str, str]]
    """File and reason of the others."""


class Rows:
    """Keeps account while images are decoded one after the other."""

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.digests: list[int] = []
        self.skipped: list[tuple[str, str]] = []

    @property
    def count(self) -> int:
        """Images that could be decoded so far."""
        return len(self.indices)

    def add(self, index: int, result: np.ndarray | ImageError) -> None:
        """Note one result."""
        if isinstance(result, ImageError):
            self.skipped.append((result.file, result.reason))
        else:
            self.indices.append(index)
            self.digests.append(image_digest(result))

    def decoded(self, pixels: Pixels) -> Decoded:
        """Close the account."""
        return Decoded(pixels, np.array(self.indices, np.int64), np.array(self.digests, np.uint64), self.skipped)


def read_or_build(
    cache_dir: Path,
    key: str,
    source: ImageSource,
    shape: tuple[int, int, int],
    results: Callable[[], Iterator[Result]],
) -> Decoded:
    """Open the cache of this key, or decode and write it.

    Args:
        cache_dir: the folder of all caches; made when missing.
        key: what decides the pixels, as hexadecimal digits.
        source: gives the folder a name that people can read.
        shape: ``(C, H, W)`` of an image.
        results: decodes every image, in order.
    """
    folder = cache_dir / f"{_plain(source.name)}-{shape[1]}-{key}"
    found = _read(folder, shape)
    if found is not None:
        return found
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _lock(cache_dir / f".{folder.name}.lock") as locked:
        found = _read(folder, shape)  # another process may have written it while this one waited
        if found is not None:
            return found
        if locked:  # nobody else writes this key now: what lies there was left by a run that was killed
            for left in cache_dir.glob(f".{folder.name}.tmp-*"):
                shutil.rmtree(left, ignore_errors=True)
        if folder.exists():
            log.warning("the cache of decoded images at '%s' is damaged and is written again", folder)
            shutil.rmtree(folder)
        _build(folder, results())
    found = _read(folder, shape)
    if found is None:
        raise OSError(f"the cache of decoded images at '{folder}' was removed while it was in use")
    return found


def _build(folder: Path, results: Iterator[Result]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
    try:
        rows = Rows()
        # Plain writes, as a full disk is an error here and would be a crash in a memory map.
        with (temporary / PIXELS_FILE).open("wb") as file:
            for index, result in results:
                if not isinstance(result, ImageError):
                    file.write(np.ascontiguousarray(result).data)
                rows.add(index, result)
            file.flush()
            os.fsync(file.fileno())
        with (temporary / INDEX_FILE).open("w") as text:
            json.dump({"indices": rows.indices, "digests": rows.digests, "skipped": rows.skipped}, text)
            text.flush()
            os.fsync(text.fileno())
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(folder: Path, shape: tuple[int, int, int]) -> Decoded | None:
    """Open a cache; None where there is none, or where it is damaged."""
    pixels_file = folder / PIXELS_FILE
    try:
        index = json.loads((folder / INDEX_FILE).read_text())
        rows = len(index["indices"])
        if pixels_file.stat().st_size != rows * math.prod(shape):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    full = (rows, *shape)
    return Decoded(
        Pixels(full, pixels_file if rows else np.empty(full, np.uint8)),  # 0 bytes cannot be mapped
        np.array(index["indices"], np.int64),
        np.array(index["digests"], np.uint64),
        [(file, reason) for file, reason in index["skipped"]],
    )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Hold a lock that the system drops when the process dies; False where there is no such lock."""
    lock = FileLock(path)
    try:
        lock.acquire()
    except (OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _plain(name: str) -> str:
    """A source's name as a folder's: letters, digits, dash and dot of any script, at most 40."""
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)[:40].lstrip(".")
