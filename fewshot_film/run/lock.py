"""A folder that one process writes to at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from fewshot_film.run.errors import RunFolderError


class FolderLock:
    """Within the ``with`` block no other process gets the folder; the system drops the lock when the process dies.

    Args:
        folder: made if it is not there; it gets a file ``.lock``, which names the process that has it.
    Raises:
        RunFolderError: on entry: another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / ".lock").open("a+", encoding="utf-8")
        try:
            # Unlike flock, such a lock is not inherited by loader workers, which may outlive a killed parent.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise RunFolderError(
                f"{self.folder} is in use by {owner}; wait until it ends, or choose another run folder"
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.truncate(0)
        self._file.close()
