"""A split written as shards, one chunk of scenes per tar file.

A shard is a function of the settings and its range alone, to the byte: its headers hold no time, user or machine. It
is written under a temporary name and put in place in one move, then a note says so; when all notes are there, they
become the index. So any number of processes on any number of machines may write to the folder, the same shard twice
as well, and whatever moment one of them is killed at, the next run makes what is missing and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clevr.data.shards import INDEX, SHARDS, Shard, read_index, shard_name
from clevr.data.writer import (
    Chunk,
    ChunkContent,
    begin_work,
    check_same_settings,
    encode_png,
    info_block,
    json_line,
    named_errors,
)
from clevr.questions.question import Question
from fewshot_film.extras import optional
from fewshot_film.run.files import write_atomically, write_json_atomically


class ShardStore:
    """The folder of a split in shards and the part of it that is done; used as a :class:`clevr.data.writer.ChunkStore`.

    Args:
        root: folder of the data set.
        split: name of the split.
        settings: everything the content depends on, as plain JSON; kept in the index for good.
        chunks: the ranges that make up the whole split, a shard each.
        date: for the info block.

    Raises:
        MissingExtraError: the extra ``bulk`` is not installed.
    """

    def __init__(
        self, root: Path, split: str, settings: Mapping[str, Any], chunks: Sequence[Chunk], date: str = ""
    ) -> None:
        optional("webdataset", extra="bulk", what="writing shards")
        self.root = root
        self.split = split
        self.chunks = chunks
        self._info = info_block(split, date=date, generator=dict(settings))
        self._folder = root / SHARDS / split
        self._work = root / ".generate" / split
        self._index = self._folder / INDEX

    def begin(self) -> None:
        """Make the folders, or see that what is there was begun with the same settings.

        Raises:
            GenerateError: it was not, or the folder cannot be written to.
            DataError: the index that is there is damaged.
        """
        if self.is_merged:
            check_same_settings(read_index(self._folder)[1], self._info, self._index)
        begin_work(self.root, self._folder, self._work, self._info)

    @property
    def is_merged(self) -> bool:
        """Whether the split has its index."""
        return self._index.exists()

    def is_done(self, chunk: Chunk) -> bool:
        """Whether a shard need not be made (again): it is there, in the size that was noted."""
        entry = self._entries().get(self._name(chunk)) if self.is_merged else self._noted(chunk)
        path = self._folder / self._name(chunk)
        return entry is not None and path.is_file() and path.stat().st_size == entry.filesize

    def publish(self, chunk: Chunk, made: ChunkContent) -> None:
        """Write a shard, then the note that says it is there.

        Raises:
            GenerateError: no room, or no permission.
        """
        path = self._folder / self._name(chunk)
        digest = hashlib.sha256()

        def write(temporary: Path) -> None:
            _write_tar(temporary, made)
            with temporary.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)

        with named_errors(self.root):
            write_atomically(path, write)
            entry = Shard(path.name, len(made.scenes), path.stat().st_size, digest.hexdigest())
            write_json_atomically(self._note(chunk), {"info": self._info, "shard": asdict(entry)})

    def finish(self) -> bool:
        """Write the index if all shards are there, and remove what is only needed on the way.

        Returns:
            Whether the split is complete.
        Raises:
            GenerateError: no room, no permission, or a shard was made with other settings.
        """
        known = self._entries() if self.is_merged else {}
        found = [self._noted(chunk) or known.get(self._name(chunk)) for chunk in self.chunks]
        entries = [entry for entry in found if entry is not None]
        if len(entries) < len(self.chunks):
            return self.is_merged  # another machine was quicker, and has removed the notes
        if entries != list(known.values()):
            content = {"name": f"CLEVR_{self.split}", "info": self._info, "shardlist": [asdict(one) for one in entries]}
            with named_errors(self.root):
                write_json_atomically(self._index, content)
        shutil.rmtree(self._work, ignore_errors=True)  # another machine may be at it too
        with contextlib.suppress(OSError):
            self._work.parent.rmdir()  # unless another split is in the making
        return True

    def _entries(self) -> dict[str, Shard]:
        """The shards in the index, by name."""
        return {shard.url: shard for shard in read_index(self._folder)[0]}

    def _noted(self, chunk: Chunk) -> Shard | None:
        """What the note of a shard says; None without one."""
        note = self._note(chunk)
        try:
            content = json.loads(note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        check_same_settings(content["info"], self._info, note)
        return Shard(**content["shard"])

    def _name(self, chunk: Chunk) -> str:
        return shard_name(self.split, chunk.start // len(self.chunks[0]))

    def _note(self, chunk: Chunk) -> Path:
        return self._work / f"shard-{chunk.start:06d}-{chunk.stop:06d}.json"


def _write_tar(path: Path, made: ChunkContent) -> None:
    """Write scenes as a WebDataset; nothing in its headers tells when, where or by whom."""
    webdataset = optional("webdataset", extra="bulk", what="writing shards")
    questions: dict[int, list[Question]] = {}
    for question in made.questions:
        questions.setdefault(question.image_index, []).append(question)
    with (
        path.open("wb") as stream,
        webdataset.TarWriter(stream, user="", group="", mode=0o644, mtime=0, encoder=False, compress=False) as tar,
    ):
        for scene, pixels in zip(made.scenes, made.images, strict=True):
            lines = ",\n".join(map(json_line, questions.get(scene.image_index, [])))
            tar.write(
                {
                    "__key__": Path(scene.image_filename).stem,
                    "png": encode_png(pixels),
                    "questions.json": f"[{lines}]".encode(),
                    "scene.json": json_line(scene).encode(),
                }
            )
