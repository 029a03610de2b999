"""A split in shards: tar files of whole scenes, read in place through the layout that CLEVR's files have.

``shards/SPLIT/index.json`` lists the shards in order, each with its number of scenes, its size and its SHA-256. A
shard is a WebDataset: for each scene ``CLEVR_SPLIT_000000.png``, ``.questions.json`` (a list of records) and
``.scene.json`` (a record), side by side. So any reader of WebDatasets streams it, and :class:`ShardStorage` shows the
same split as two JSON files and a folder of images.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from clevr.data.errors import DataError
from clevr.data.naming import image_filename, images_name, questions_name, scenes_name
from fewshot_film.errors import MissingFileError

SHARDS = "shards"
"""Folder of the splits that are in shards, below that of the data set."""
INDEX = "index.json"
PARTS = ("png", "questions.json", "scene.json")
"""What each scene has in a shard, in this order."""
_AGAIN = "remove it and run the same `clevr-film generate --shards` again, which makes what is missing"


def shard_name(split: str, number: int) -> str:
    """Name of a shard: ``train-000012.tar``."""
    return f"{split}-{number:06d}.tar"


def sharded_splits(root: Path) -> list[str]:
    """Names of the finished splits in shards below a data set's folder; none in a zip."""
    return sorted(index.parent.name for index in (root / SHARDS).glob(f"*/{INDEX}"))


@dataclass(frozen=True)
class Shard:
    """One tar file of a split, as the index lists it."""

    url: str
    """Its name beside the index."""
    nsamples: int
    """Its number of scenes."""
    filesize: int
    """In bytes."""
    sha256: str
    """Of the file."""


def read_index(folder: Path) -> tuple[list[Shard], dict[str, Any]]:
    """The shards of a split in order, and its info block.

    Raises:
        DataError: the index is not one.
    """
    path = folder / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Shard(**entry) for entry in content["shardlist"]], dict(content["info"])
    except (ValueError, KeyError, TypeError) as error:
        problem = f"not an index of shards ({type(error).__name__}: {error}); {_AGAIN}"
        raise DataError(str(path), "", problem) from None


class ShardStorage:
    """The shards of one split as a :class:`clevr.data.storage.Storage` in CLEVR's own layout.

    A file that is asked for is read where it lies in its shard; the two JSON files are put together while they are
    read. Nothing stays open, so that processes may share it.

    Args:
        folder: of the split, with the index.

    Raises:
        DataError: the index is not one.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.split = folder.name
        self.shards, self.info = read_index(folder)
        self._stops = list(accumulate(shard.nsamples for shard in self.shards))
        self._places: dict[int, NDArray[np.int64]] = {}
        self._lists = {questions_name(self.split): "questions", scenes_name(self.split): "scenes"}

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in ``folder``."""
        paths = [*self._lists, f"{images_name(self.split)}/"]
        inside = [path[len(folder) + 1 if folder else 0 :] for path in paths if path.startswith(folder)]
        return sorted({rest.partition("/")[0] for rest in inside if "/" in rest} - {""})

    def files(self, folder: str = "") -> list[str]:
        """Names of the files directly in ``folder``."""
        if folder == images_name(self.split):
            return [image_filename(self.split, number) for number in range(len(self))]
        return sorted(Path(path).name for path in self._lists if Path(path).parent.as_posix() == folder)

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; see :class:`clevr.data.storage.Storage`."""
        if path in self._lists:
            return io.BufferedReader(_Joined(self._json(self._lists[path])), 1 << 16)
        return io.BytesIO(self._read(self._number(path), "png"))

    def label(self, path: str) -> str:
        """The folder and the path in it."""
        return f"{self.root}!{path}" if path else str(self.root)

    def signature(self, path: str) -> str:
        """Hash of what the path is read from."""
        if path not in self._lists:
            return self.shards[self._shard_of(self._number(path))].sha256
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return f"{hash_of(self.shards)}-{len(self)}"

    def _number(self, path: str) -> int:
        """The scene that an image's path is of."""
        folder, _, name = path.rpartition("/")
        digits = name.removesuffix(".png").rpartition("_")[2]
        number = int(digits) if digits.isdecimal() else -1
        if (
            folder != images_name(self.split)
            or not 0 <= number < len(self)
            or name != image_filename(self.split, number)
        ):
            raise MissingFileError(f"{self.label(path)} does not exist")
        return number

    def _shard_of(self, number: int) -> int:
        return bisect_right(self._stops, number)

    def _first(self, shard: int) -> int:
        return self._stops[shard] - self.shards[shard].nsamples

    def _read(self, number: int, part: str) -> bytes:
        """The bytes of one part of a scene."""
        shard = self._shard_of(number)
        at, size = self._table(shard)[number - self._first(shard), PARTS.index(part)].tolist()
        with self._open_shard(shard) as file:
            file.seek(at)
            return file.read(size)

    def _open_shard(self, shard: int) -> IO[bytes]:
        path = self.root / self.shards[shard].url
        try:
            return path.open("rb")
        except FileNotFoundError:
            raise DataError(
                str(path),
                "",
                "is listed in the index and does not exist; copy it there, or run the same "
                "`clevr-film generate --shards` again, which makes what is missing",
            ) from None

    def _table(self, shard: int) -> NDArray[np.int64]:
        """Where the parts of a shard's scenes begin and how long they are, ``(N, 3, 2)``; read once per process."""
        if shard not in self._places:
            with self._open_shard(shard) as file:
                self._places[shard] = self._locate(shard, file)
        return self._places[shard]

    def _locate(self, shard: int, file: IO[bytes]) -> NDArray[np.int64]:
        path, count, first = self.root / self.shards[shard].url, self.shards[shard].nsamples, self._first(shard)
        rows = {Path(image_filename(self.split, first + row)).stem: row for row in range(count)}
        places = np.full((count, len(PARTS), 2), -1, np.int64)
        try:
            if file.seek(0, io.SEEK_END) != self.shards[shard].filesize:
                raise tarfile.ReadError("its size is not what the index says")
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as members:
                for member in members:
                    stem, _, part = member.name.partition(".")
                    if stem in rows and part in PARTS:
                        places[rows[stem], PARTS.index(part)] = member.offset_data, member.size
        except tarfile.TarError as error:
            raise DataError(str(path), "", f"not a complete shard ({error}); {_AGAIN}") from None
        if (places < 0).any():
            row, part = np.argwhere(places[:, :, 0] < 0)[0].tolist()
            raise DataError(str(path), "", f"lacks the {PARTS[part]} of scene {first + row}; {_AGAIN}")
        return places

    def _json(self, key: str) -> Iterator[bytes]:
        """One of the two JSON files, piece by piece; its records are those of the shards, as they are."""
        yield f'{{"info": {json.dumps(self.info)}, {json.dumps(key)}: ['.encode()
        part, separator = "scene.json" if key == "scenes" else "questions.json", b"\n"
        for shard in range(len(self.shards)):
            with self._open_shard(shard) as file:
                for at, size in self._table(shard)[:, PARTS.index(part)].tolist():
                    file.seek(at)
                    record = file.read(size)
                    if key == "questions":
                        record = record.strip()[1:-1].strip()  # a list: without its brackets
                    if record:
                        yield separator + record
                        separator = b",\n"
        yield b"\n]}\n"


def hash_of(shards: list[Shard]) -> str:
    """A text that changes when any of the shards does."""
    return hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()[:16]


class _Joined(io.RawIOBase):
    """A stream of the pieces that an iterator gives."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
