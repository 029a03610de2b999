"""Data sets in CLEVR's format written: a file whole or not at all, and a whole set chunk by chunk.

A chunk of a set in the making is a range of scenes. Its images are put in their final place, each in one move; then
its scenes and questions are published as one part file, again in one move. A chunk is done when its part is there and
its images are whole; when all are done the parts are merged and removed. So a run that is killed at any moment leaves
nothing that the next run does not either use or write again, and since every chunk is a function of the settings and
its range alone, it does not matter which run or machine made it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clevr.data.errors import DataError
from clevr.data.naming import image_filename, images_name, questions_name, scenes_name
from clevr.data.records import JsonRecords
from clevr.questions.question import Question
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, WorldSpec
from clevr.world.world_file import WORLD_FILE, read_world, world_text
from fewshot_film.errors import ConfigError, UserError, differing
from fewshot_film.run.files import write_atomically, write_json_atomically, write_text_atomically

LICENSE = "Creative Commons Attribution (CC-BY 4.0)"
COMPRESS_LEVEL = 2
"""Of zlib, 0 to 9. An image of CLEVR is 15 % larger than at PIL's own 6, in a quarter of the time."""


def info_block(split: str, *, date: str = "", **more: Any) -> dict[str, Any]:
    """The ``info`` that CLEVR's files begin with.

    Args:
        split: name of the split.
        date: as a text; never taken from the clock, so that the same set is the same bytes.
        **more: further entries.
    """
    return {"split": split, "license": LICENSE, "version": "1.0", "date": date, **more}


def write_scenes(path: Path, scenes: Iterable[Scene], info: Mapping[str, Any]) -> None:
    """Write ``{"info": ..., "scenes": [...]}``, one scene per line."""
    write_lines(path, "scenes", (json_line(scene) for scene in scenes), info)


def write_questions(path: Path, questions: Iterable[Question], info: Mapping[str, Any]) -> None:
    """Write ``{"info": ..., "questions": [...]}``, one question per line."""
    write_lines(path, "questions", (json_line(question) for question in questions), info)


def json_line(record: Scene | Question) -> str:
    """One record as JSON without a line break.

    Raises:
        ValueError: it holds a number that JSON does not have (NaN, infinity).
    """
    return json.dumps(record.to_json(), allow_nan=False)


def write_lines(path: Path, key: str, lines: Iterable[str], info: Mapping[str, Any]) -> None:
    """Write ``{"info": info, key: [...]}`` from records that are JSON already.

    Args:
        path: the file; its folder is made.
        key: name of the list.
        lines: one record each, without line breaks; read once, not kept.
        info: the info block.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f'{{"info": {json.dumps(dict(info))}, {json.dumps(key)}: [')
            for number, line in enumerate(lines):
                file.write(f"{',' if number else ''}\n{line}")
            file.write("\n]}\n")

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """An image as the bytes of a PNG file.

    Args:
        pixels: RGB, ``(3, H, W)``.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(
        buffer, format="png", compress_level=COMPRESS_LEVEL
    )
    return buffer.getvalue()


PNG_END = b"IEND\xaeB`\x82"


class GenerateError(UserError):
    """A set that cannot be written: no room, no permission, or a folder that holds another set."""


@dataclass(frozen=True)
class Chunk:
    """Scenes ``start`` to ``stop - 1`` of a split."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ChunkContent:
    """What a chunk holds."""

    scenes: Sequence[Scene]
    questions: Sequence[Question]
    images: Iterable[NDArray[np.uint8]]
    """Each ``(3, H, W)``, in the order of ``scenes``; read once."""


class ChunkStore:
    """The folder of a data set and the part of it that is done.

    Args:
        root: folder of the data set.
        split: name of the split.
        settings: everything the content depends on, as plain JSON; kept in the info block for good.
        chunks: the ranges that make up the whole split.
        date: for the info block.
    """

    def __init__(
        self, root: Path, split: str, settings: Mapping[str, Any], chunks: Sequence[Chunk], date: str = ""
    ) -> None:
        self.root = root
        self.split = split
        self.chunks = chunks
        self._info = info_block(split, date=date, generator=dict(settings))
        self._work = root / ".generate" / split
        self._images = root / images_name(split)
        self._merged = {"scenes": root / scenes_name(split), "questions": root / questions_name(split)}

    def begin(self) -> None:
        """Make the folders, or see that what is there was begun with the same settings.

        Raises:
            GenerateError: it was not, or the folder cannot be written to.
        """
        for key, path in self._merged.items():
            if path.exists():
                check_same_settings(_read_info(path, key), self._info, path)
        begin_work(self.root, self._images, self._work, self._info)

    @property
    def is_merged(self) -> bool:
        """Whether the split's final files are there."""
        return all(path.exists() for path in self._merged.values())

    def is_done(self, chunk: Chunk) -> bool:
        """Whether a chunk need not be made (again)."""
        has_records = self.is_merged or self._part(chunk).exists()
        return has_records and all(_is_whole_png(path) for path in self._image_paths(chunk))

    def publish(self, chunk: Chunk, made: ChunkContent) -> None:
        """Write a chunk: the images first, then the part that says they are there.

        Raises:
            GenerateError: no room, or no permission.
        """
        temporary = self._work / f"picture-{chunk.start:06d}-{os.getpid()}.tmp"
        part = self._part(chunk)
        with named_errors(self.root):
            for path, pixels in zip(self._image_paths(chunk), made.images, strict=True):
                temporary.write_bytes(encode_png(pixels))
                temporary.replace(path)
            head = json.dumps({"info": self._info, "scenes": len(made.scenes)})
            lines = [head, *map(json_line, made.scenes), *map(json_line, made.questions)]
            write_text_atomically(part, "\n".join(lines) + "\n")

    def finish(self) -> bool:
        """Merge the parts if all are there, and remove what is only needed on the way.

        Returns:
            Whether the split is complete.
        Raises:
            GenerateError: no room, no permission, or a part was made with other settings.
        """
        if not self.is_merged and not self._merge():
            return False
        shutil.rmtree(self._work, ignore_errors=True)  # another machine may be at it too
        with contextlib.suppress(OSError):
            self._work.parent.rmdir()  # unless another split is in the making
        return True

    def _merge(self) -> bool:
        if not all(self._part(chunk).exists() for chunk in self.chunks):
            return False
        with named_errors(self.root):
            try:
                for key, path in self._merged.items():
                    write_lines(path, key, self._lines(key), self._info)
            except FileNotFoundError:  # another machine was quicker, and has removed the parts
                if not self.is_merged:
                    raise
        return True

    def _lines(self, key: str) -> Iterator[str]:
        """The scenes or the questions of all parts, as they are written there."""
        for chunk in self.chunks:
            with self._part(chunk).open(encoding="utf-8") as file:
                head = json.loads(next(file))
                check_same_settings(head["info"], self._info, self._part(chunk))
                first, stop = (0, head["scenes"]) if key == "scenes" else (head["scenes"], None)
                yield from (line.rstrip("\n") for line in itertools.islice(file, first, stop))

    def _part(self, chunk: Chunk) -> Path:
        return self._work / f"part-{chunk.start:06d}-{chunk.stop:06d}.jsonl"

    def _image_paths(self, chunk: Chunk) -> list[Path]:
        return [self._images / image_filename(self.split, index) for index in range(chunk.start, chunk.stop)]


def keep_world(root: Path, world: WorldSpec) -> None:
    """Keep a world in the folder of a data set, whose splits all are of one world.

    Raises:
        GenerateError: the folder holds scenes of another, or cannot be written to.
        WorldError: the world that is there is damaged.
    """
    path = root / WORLD_FILE
    has_splits = any((root / folder).is_dir() for folder in ("images", "shards"))
    there = read_world(path) if path.exists() else CLEVR if has_splits else world
    if there != world:
        given = "without --world" if there == CLEVR else f"with --world {path}"
        raise GenerateError(
            f"{root} holds scenes of the world {there.name!r}, and these are to be of {world.name!r}, or of other "
            f"values; run the command {given}, or choose another --out"
        )
    if world != CLEVR and not path.exists():
        with named_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            write_text_atomically(path, world_text(world))


def begin_work(root: Path, folder: Path, work: Path, info: Mapping[str, Any]) -> None:
    """Make the folders of a split and note its settings, or see that they were begun with the same ones.

    Args:
        root: of the data set, for errors.
        folder: of its images or shards.
        work: of what is not whole yet.
        info: the settings.

    Raises:
        GenerateError: it was begun with others, or a folder cannot be written to.
    """
    with named_errors(root):
        folder.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        note = work / "info.json"
        if not note.exists():
            write_json_atomically(note, info)
    check_same_settings(json.loads(note.read_text(encoding="utf-8")), info, note)


def check_same_settings(there: Mapping[str, Any], here: Mapping[str, Any], where: Path) -> None:
    """Refuse a file that was made with other settings than these.

    Args:
        there: the info block of the file.
        here: that of the set that is made now.
        where: the file.

    Raises:
        GenerateError: they differ; says in what.
    """
    if not isinstance(there.get("generator"), dict):
        raise GenerateError(f"{where} was not made by this program; choose another --out")
    if there == here:
        return
    raise GenerateError(
        f"{where} was made with different settings: {differing(_flat(there), _flat(here))}. "
        "Use the same settings to continue it, or choose another --out"
    )


def _flat(info: Mapping[str, Any]) -> dict[str, Any]:
    """An info block with the generator's settings beside the rest."""
    return {**{key: value for key, value in info.items() if key != "generator"}, **info["generator"]}


def _read_info(path: Path, key: str) -> dict[str, Any]:
    """The info block of a final file."""
    records = JsonRecords(lambda: path.open("rb"), str(path), key)
    try:
        next(iter(records), None)
    except DataError as error:
        raise GenerateError(f"{error}. Choose another --out") from None
    info = records.others.get("info")
    return info if isinstance(info, dict) else {}


def split_into_chunks(num_scenes: int, size: int) -> list[Chunk]:
    """The ranges of ``size`` scenes that make up a split; the last may be shorter."""
    return [Chunk(start, min(start + size, num_scenes)) for start in range(0, num_scenes, size)]


def select_chunks(chunks: Sequence[Chunk], start: int, stop: int | None) -> list[Chunk]:
    """The chunks of an index range, one machine's share of a split.

    Raises:
        ConfigError: the range is empty, goes beyond the split, or cuts a chunk in two.
    """
    num_scenes, size = chunks[-1].stop, len(chunks[0])
    stop = num_scenes if stop is None else stop
    if not 0 <= start < stop <= num_scenes:
        raise ConfigError(f"the range --start {start} --stop {stop} is not within the {num_scenes} scenes")
    for name, bound in (("start", start), ("stop", stop)):
        if bound % size and bound != num_scenes:
            raise ConfigError(f"--{name} {bound} cuts a chunk; expected a multiple of {size} or {num_scenes}")
    return [chunk for chunk in chunks if start <= chunk.start and chunk.stop <= stop]


def _is_whole_png(path: Path) -> bool:
    """Whether an image is there to its last byte."""
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() == PNG_END
    except OSError:
        return False


@contextlib.contextmanager
def named_errors(root: Path) -> Iterator[None]:
    """Say what to do where the disk is full or the folder cannot be written to."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise GenerateError(
            f"cannot write to {root}: {error.strerror or error}{place}. Free some space or fix the permissions, "
            "and run the same command again: finished parts are kept"
        ) from error
