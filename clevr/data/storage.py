"""Where files lie: a folder, or a zip that is read in place."""

from __future__ import annotations

import os
import zipfile
import zlib
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
