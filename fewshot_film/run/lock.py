"""A folder that one process writes to at a time."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from fewshot_film.run.errors import RunFolderError


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
                f"{self.folder} is in use by {self._name_of_owner()}; wait until it ends, or choose another run folder"
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
