"""Files that are either there whole or not at all, and folders that one process writes to at a time."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from fewshot_film.errors import RunFolderError

_DAY = 86_400.0
_WINDOWS = os.name == "nt"


def temporary_path(path: Path, ending: str = "tmp") -> Path:
    """The name beside ``path`` under which this process makes what then becomes it: ``.NAME.HOST.PID.ENDING``.

    What processes that were killed have left under such names is removed: those of this machine that run no more, and
    whatever nobody has touched for a day.

    Args:
        path: where the file or folder shall be.
        ending: tells apart several of one process.
    """
    own = f".{path.name}.{socket.gethostname()}.{os.getpid()}.{ending}"
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(.+)\.(\d+)\.{re.escape(ending)}")
    for there in path.parent.iterdir() if path.parent.is_dir() else ():
        match = pattern.fullmatch(there.name)
        if match and (there.name == own or _is_abandoned(there, match[1], int(match[2]))):
            shutil.rmtree(there, ignore_errors=True) if there.is_dir() else there.unlink(missing_ok=True)
    return path.with_name(own)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then put it at ``path`` in one move that survives a power cut.

    Args:
        path: where the file shall be; what was there before stays until the move.
        write: fills the file whose path it gets.

    Raises:
        OSError: as ``write`` and the system do; of a full disk, which names no file, with the path.
    """
    temporary = temporary_path(path)
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write bytes as :func:`write_atomically` does."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomically(path, write)


def write_text_atomically(path: Path, text: str) -> None:
    r"""Write a UTF-8 text file, all or nothing; of a name that is no text, bytes become ``\udce9``, as in JSON."""
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def write_json_atomically(path: Path, content: Any) -> None:
    """Write readable JSON, all or nothing; NaN and infinity are refused.

    Raises:
        ValueError: ``content`` holds a number that JSON does not have.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text_atomically(path, text + "\n")


def reserve(path: Path) -> None:
    """Claim the blocks of a sparse file, so that a full disk is an error now and not a crash when a map is written to.

    Raises:
        OSError: there is no room; names the file.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _is_abandoned(path: Path, host: str, process: int) -> bool:
    if host == socket.gethostname() and not _WINDOWS:  # there os.kill(_, 0) is a Ctrl-C
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it lives, and is somebody else's
            return False
    try:
        return time.time() - path.stat().st_mtime > _DAY
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    """Wait until the file, or the entries of the folder, are on the disk; Windows has no such thing for folders."""
    if _WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """Within the ``with`` block no other process gets the folder; the system drops the lock when the process dies.

    Loader workers do not inherit it, so that those that outlive a killed parent do not keep the folder.

    Args:
        folder: made if it is not there; it gets a file ``.lock``, and within the block ``.owner``, which names the
            process that has it: on some systems nobody can read a file that is locked.
    Raises:
        RunFolderError: on entry: another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._owner = folder / ".owner"
        self._lock = FileLock(folder / ".lock", timeout=0, thread_local=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise RunFolderError(
                f"{self.folder} is in use by {self._name_of_owner()}; wait for it, or choose another run folder"
            ) from None
        self._owner.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _name_of_owner(self) -> str:
        try:
            return self._owner.read_text(encoding="utf-8").strip() or "another process"
        except OSError:
            return "another process"
