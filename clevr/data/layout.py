"""Where the files of a split lie, in a folder or in a zip that is read in place.

CLEVR's own layouts are known, and those that are found in the wild.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from clevr.data.errors import DataError, DataNotFoundError
from fewshot_film.errors import MissingFileError

DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError)
"""What reading a damaged member of a zip raises, at any byte of it."""

EXPECTED = "expected a folder in CLEVR's layout, or a zip of one"


class Storage(Protocol):
    """Files by their path below a root, written with ``/``; the root itself is ``""``."""

    root: Path
    """The folder or the zip."""

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in ``folder``, sorted; empty where there is no such folder."""

    def files(self, folder: str = "") -> list[str]:
        """Names of the files directly in ``folder``, sorted; empty where there is no such folder."""

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; raises ``FileNotFoundError``."""

    def label(self, path: str) -> str:
        """How messages name a file."""

    def signature(self, path: str) -> str:
        """A text that changes when the file does: its size and time, or its size and checksum."""


def open_storage(root: str | Path) -> Storage:
    """The files of a folder or of a zip.

    Raises:
        DataNotFoundError: there is neither a folder nor a file.
        DataError: the file is not a zip.
    """
    path = Path(root)
    if path.is_dir():
        return FolderStorage(path)
    if not path.is_file():
        raise DataNotFoundError(f"{path} does not exist; {EXPECTED}")
    return ZipStorage(path)


class FolderStorage:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in ``folder``."""
        return self._names(folder, folders=True)

    def files(self, folder: str = "") -> list[str]:
        """Names of the files directly in ``folder``."""
        return self._names(folder, folders=False)

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading."""
        return (self.root / path).open("rb")

    def label(self, path: str) -> str:
        """Its path."""
        return str(self.root / path)

    def signature(self, path: str) -> str:
        """Size and time of the last change."""
        status = (self.root / path).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"

    def _names(self, folder: str, *, folders: bool) -> list[str]:
        where = self.root / folder
        if not where.is_dir():
            return []
        with os.scandir(where) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() == folders)


class ZipStorage:
    """Files inside a zip. Every process opens the zip for itself: a shared handle mixes up their reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._handle: zipfile.ZipFile | None = None
        self._process = -1
        self._open_zip()

    def __reduce__(self) -> tuple[type[ZipStorage], tuple[Path]]:
        return ZipStorage, (self.root,)

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in ``folder``."""
        return sorted(self._tree.get(folder, {}).get("folders", ()))

    def files(self, folder: str = "") -> list[str]:
        """Names of the files directly in ``folder``."""
        return sorted(self._tree.get(folder, {}).get("files", ()))

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; a wrong checksum shows when its last byte is read."""
        try:
            return self._open_zip().open(path)
        except KeyError:
            raise MissingFileError(f"{self.label(path)} does not exist") from None

    def label(self, path: str) -> str:
        """The zip and the path in it."""
        return f"{self.root}!{path}" if path else str(self.root)

    def signature(self, path: str) -> str:
        """Size and checksum, as the zip states them."""
        member = self._open_zip().getinfo(path)
        return f"{member.file_size}-{member.CRC:08x}"

    def _open_zip(self) -> zipfile.ZipFile:
        if self._handle is None or self._process != os.getpid():
            try:
                self._handle = zipfile.ZipFile(self.root)
            except zipfile.BadZipFile as error:
                raise DataError(str(self.root), "", f"not a zip file, or truncated ({error}); {EXPECTED}") from None
            self._process = os.getpid()
        return self._handle

    @cached_property
    def _tree(self) -> dict[str, dict[str, set[str]]]:
        """Folders and files of every folder; what macOS adds to a zip is left out."""
        tree: dict[str, Any] = {}
        for name in self._open_zip().namelist():
            parts = [part for part in name.split("/") if part]
            if not parts or parts[0] == "__MACOSX":
                continue
            for depth, part in enumerate(parts):
                last = depth == len(parts) - 1 and not name.endswith("/")
                here = tree.setdefault("/".join(parts[:depth]), {"folders": set(), "files": set()})
                here["files" if last else "folders"].add(part)
        return tree


HOW_TO_GET = (
    "Get CLEVR v1.0 or CoGenT from https://cs.stanford.edu/people/jcjohns/clevr/ and give the unpacked "
    "folder, or make a set with: clevr-film generate --split train --scenes 100 --out DIR"
)
LAYOUTS = """\
  images/{split}/, scenes/CLEVR_{split}_scenes.json, questions/CLEVR_{split}_questions.json
  {split}/images/, {split}/CLEVR_scenes.json, {split}/CLEVR_questions.json
  images/, CLEVR_scenes.json, CLEVR_questions.json  (split "new": what CLEVR's generator writes)"""


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split. A part that does not exist is None: no scenes in the test split, for one."""

    storage: Storage
    split: str
    questions: str | None
    scenes: str | None
    images: str | None
    """The folder of the images."""


def questions_name(split: str) -> str:
    """Path of a split's questions in CLEVR's layout."""
    return f"questions/CLEVR_{split}_questions.json"


def scenes_name(split: str) -> str:
    """Path of a split's scenes in CLEVR's layout."""
    return f"scenes/CLEVR_{split}_scenes.json"


def images_name(split: str) -> str:
    """Folder of a split's images in CLEVR's layout."""
    return f"images/{split}"


def image_filename(split: str, index: int) -> str:
    """Name of an image in CLEVR's layout: ``CLEVR_train_000012.png``."""
    return f"CLEVR_{split}_{index:06d}.png"


def find_split(root: str | Path, split: str, *, humans: bool = False) -> SplitFiles:
    """Find the files of a split below a folder or inside a zip.

    Args:
        root: folder or zip; one folder around the data (``CLEVR_v1.0/``) is looked into.
        split: ``train``, ``val``, ``test``, CoGenT's ``trainA``, ``valA``, ``valB``, ``testA``, ``testB``, or
            ``new``, as the reference generator calls what it makes.
        humans: take the questions of CLEVR-Humans, ``CLEVR-Humans-<split>.json``, which lies in the root,
            in ``questions/`` or ``CLEVR-Humans/`` there, or in ``CLEVR-Humans/`` beside it.
    Raises:
        DataNotFoundError: there is no such split; says where was looked for what, and which splits there are.
    """
    storage = open_storage(root)
    found = next(_matches(storage, split), None)
    if found is None:
        there = ", ".join(list_splits(root)) or "none"
        raise DataNotFoundError(
            f"no split {split!r} in {storage.label('')}; splits there: {there}. Looked for one of:\n"
            f"{LAYOUTS.format(split=split)}\n{HOW_TO_GET}"
        )
    return _with_humans(found) if humans else found


def list_splits(root: str | Path) -> list[str]:
    """Names of the splits that have questions or scenes below a folder or inside a zip."""
    storage = open_storage(root)
    names: set[str] = set()
    for prefix in _prefixes(storage):
        for kind in ("questions", "scenes"):
            for name in storage.files(f"{prefix}{kind}"):
                match = re.fullmatch(rf"CLEVR_(\w+)_{kind}\.json", name)
                names.update(match.groups() if match else ())
        folders = storage.folders(prefix.rstrip("/"))
        names.update(folder for folder in folders if _wild(storage, prefix + folder))
    return sorted(names) or (["new"] if _wild(storage, "") else [])


def _matches(storage: Storage, split: str) -> Iterator[SplitFiles]:
    for prefix in _prefixes(storage):
        own = (questions_name(split), scenes_name(split), images_name(split))
        yield from _existing(storage, split, *(prefix + name for name in own))
        for folder in [f"{prefix}{split}/"] + ([prefix] if split == "new" else []):
            wild = ("CLEVR_questions.json", "CLEVR_scenes.json", "images")
            yield from _existing(storage, split, *(folder + name for name in wild))


def _existing(storage: Storage, split: str, questions: str, scenes: str, images: str) -> Iterator[SplitFiles]:
    """The split, if it has questions or scenes."""
    has_questions, has_scenes = _exists(storage, questions), _exists(storage, scenes)
    if has_questions or has_scenes:
        has_images = bool(storage.files(images))
        yield SplitFiles(
            storage,
            split,
            questions=questions if has_questions else None,
            scenes=scenes if has_scenes else None,
            images=images if has_images else None,
        )


def _with_humans(files: SplitFiles) -> SplitFiles:
    name = f"CLEVR-Humans-{files.split}.json"
    storage = files.storage
    for prefix in _prefixes(storage):
        for folder in ("", "questions/", "CLEVR-Humans/"):
            path = f"{prefix}{folder}{name}"
            if _exists(storage, path):
                return SplitFiles(storage, files.split, path, files.scenes, files.images)
    beside = Path("..") / "CLEVR-Humans" / name
    if storage.root.is_dir() and (storage.root / beside).is_file():
        return SplitFiles(storage, files.split, beside.as_posix(), files.scenes, files.images)
    raise DataNotFoundError(
        f"no {name} for {storage.label('')}; looked in it, in questions/ and CLEVR-Humans/ there, and in "
        "CLEVR-Humans/ beside it. Get CLEVR-Humans.zip from https://cs.stanford.edu/people/jcjohns/iep/"
    )


def _prefixes(storage: Storage) -> list[str]:
    """The root, and the one folder that everything is packed in, if there is only one."""
    folders = [name for name in storage.folders() if not name.startswith(".")]
    return ["", f"{folders[0]}/"] if len(folders) == 1 else [""]


def _wild(storage: Storage, folder: str) -> bool:
    return bool({"CLEVR_questions.json", "CLEVR_scenes.json"} & set(storage.files(folder)))


def _exists(storage: Storage, path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name in storage.files(folder)
