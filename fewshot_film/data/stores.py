"""Where files lie: a folder or a zip, read through one small interface.

A store lists the files that may be images, gives their bytes, and a stamp that changes when a file
changes. What an operating system leaves beside the user's own files (hidden files, ``Thumbs.db``,
``__MACOSX``) is never listed.
"""

from __future__ import annotations

import os
import threading
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from fewshot_film.data.errors import SourceError
from fewshot_film.errors import MissingFileError
from fewshot_film.images import ImageError

MAX_BYTES = 1 << 28
"""A file larger than this (256 MiB) is refused before it is read."""

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin"})
_UTF8_FLAG = 0x800
_ENCRYPTED_FLAG = 0x1


def is_hidden(part: str) -> bool:
    """Whether a file or folder name is hidden or belongs to an operating system."""
    return part.startswith(".") or part.lower() in _SYSTEM_FILES


class Store(ABC):
    """Files by relative name, parts joined by ``/``.

    Attributes:
        root: the folder or the zip file.
        identity: what, beside names and stamps, tells this store's content from another's.
        max_bytes: a larger file is refused before it is read.
    """

    root: Path
    identity: str
    max_bytes: int = MAX_BYTES

    @abstractmethod
    def names(self) -> list[str]:
        """All files that are not hidden, sorted by code point."""

    def folders(self) -> list[str]:
        """All folders that are not hidden, empty ones too, sorted by code point."""
        return []

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read one file.

        Raises:
            ImageError: it cannot be read, is empty, or is larger than `max_bytes`.
        """

    @abstractmethod
    def stamp(self, name: str) -> str:
        """A short text that changes when the file changes."""

    def _check_size(self, name: str, size: int) -> None:
        if size == 0:
            raise ImageError(name, "the file is empty (0 bytes)")
        if size > self.max_bytes:
            raise ImageError(name, f"the file has {size} bytes, more than the limit of {self.max_bytes}")


class FolderStore(Store):
    """Files below a folder; symbolic links are followed, a link back to its own ancestor is not.

    Args:
        root: the folder.
        without: a folder below it that is not looked into; None: all are.
    """

    def __init__(self, root: Path, without: Path | None = None) -> None:
        self.root, self._without = root, without
        # Size and time alone do not tell apart two folders that were unpacked with fixed times.
        self.identity = str(root.resolve())
        self._names: list[str] | None = None
        self._folders: list[str] = []

    def names(self) -> list[str]:
        """See `Store.names`."""
        if self._names is None:
            not_into = () if self._without is None else (self._without.resolve(),)
            found = sorted(_walk(self.root, "", (*not_into, self.root.resolve())))
            self._names = [name for name in found if not name.endswith("/")]
            self._folders = [name.removesuffix("/") for name in found if name.endswith("/")]
        return self._names

    def folders(self) -> list[str]:
        """See `Store.folders`."""
        self.names()
        return self._folders

    def read(self, name: str) -> bytes:
        """See `Store.read`."""
        path = self.root / name
        try:
            self._check_size(name, path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise ImageError(name, f"cannot be read: {error.strerror or error}") from error

    def stamp(self, name: str) -> str:
        """See `Store.stamp`."""
        try:
            status = (self.root / name).stat()
        except OSError:
            return "missing"
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_mode}"


class ZipStore(Store):
    """Files inside a zip, read in place; safe under threads and after a fork."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.identity = "zip"
        self._handle: tuple[int, zipfile.ZipFile] | None = None
        self._lock = threading.Lock()
        try:
            self._members = {_member_name(info): info for info in self._zip().infolist() if not info.is_dir()}
        except zipfile.BadZipFile as error:
            raise _no_zip(root, error) from error
        self._names = sorted(name for name in self._members if not any(map(is_hidden, name.split("/"))))

    def names(self) -> list[str]:
        """See `Store.names`."""
        return self._names

    def folders(self) -> list[str]:
        """See `Store.folders`."""
        entries = {_member_name(info).rstrip("/") for info in self._zip().infolist() if info.is_dir()}
        parents = {str(parent) for name in self._names for parent in PurePosixPath(name).parents} - {"."}
        return sorted(name for name in entries | parents if not any(map(is_hidden, name.split("/"))))

    def read(self, name: str) -> bytes:
        """See `Store.read`."""
        info = self._members.get(name)
        if info is None:
            raise ImageError(name, f"is not in '{self.root}'")
        self._check_size(name, info.file_size)
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise ImageError(name, "cannot be read: the zip is encrypted")
        try:
            return self._zip().read(info)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise ImageError(name, f"cannot be read: {error}") from error

    def stamp(self, name: str) -> str:
        """See `Store.stamp`."""
        info = self._members[name]
        return f"{info.file_size}:{info.CRC:08x}"

    def _zip(self) -> zipfile.ZipFile:
        # A handle's file position is shared with forked children, so every process opens its own.
        with self._lock:
            if self._handle is None or self._handle[0] != os.getpid():
                self._handle = (os.getpid(), zipfile.ZipFile(self.root))
            return self._handle[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ZipStore.__init__(self, state["root"])

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and handle[0] == os.getpid():
            handle[1].close()


def open_store(path: Path, out: Path | None = None) -> Store:
    """Open a folder or a zip file.

    Args:
        path: it.
        out: where results are written, which are not read as what they are made from; None: nowhere.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        SourceError: there is a file that is not a zip, or a zip that is cut short; or results would be written among
            what they are made from.
    """
    if out is not None and out.resolve() == path.resolve():
        raise SourceError(f"'{path}' holds the images, and results would be mixed with them: choose another --out")
    if path.is_dir():
        return FolderStore(path, out)
    if path.is_file():
        return ZipStore(path)
    raise MissingFileError(f"there is no folder and no zip file at '{path}'")


def _no_zip(path: Path, error: zipfile.BadZipFile) -> SourceError:
    with path.open("rb") as file:
        begins_like_one = file.read(2) == b"PK"
    if begins_like_one:
        return SourceError(f"'{path}' is not a complete zip file ({error}): fetch it again")
    return SourceError(f"'{path}' is neither a folder nor a zip file: name a folder with one sub-folder per class")


def _walk(folder: Path, prefix: str, ancestors: tuple[Path, ...]) -> Iterator[str]:
    """Names of all files, and those of folders with a slash at their end; none of folders among the ancestors."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if not _is_folder(entry):
                yield prefix + entry.name
                continue
            real = Path(entry.path).resolve() if entry.is_symlink() else ancestors[-1] / entry.name
            if real not in ancestors:
                yield f"{prefix}{entry.name}/"
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*ancestors, real))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; what reads it says so
        return False


def _member_name(info: zipfile.ZipInfo) -> str:
    """A member's name; many packers write UTF-8 without saying so, and it reads as code page 437; some write a root."""
    name = info.filename
    if not info.flag_bits & _UTF8_FLAG:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = info.filename
    return unicodedata.normalize("NFC", name).lstrip("/")
