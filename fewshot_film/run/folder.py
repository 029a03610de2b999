"""The folder of one run: settings, environment, curves, checkpoints, and a lock against a second writer."""

from __future__ import annotations

import datetime
import fcntl
import json
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from torch.utils.tensorboard import SummaryWriter

from fewshot_film.run.environment import command_line, environment
from fewshot_film.run.errors import RunFolderError
from fewshot_film.run.files import write_json_atomically, write_text_atomically


class RunFolder:
    """One run's folder, locked within the ``with`` block.

    It holds ``config.yaml`` (settings, usable as ``--config``), ``environment.json`` (one entry for every
    start: time, command, versions, commit, hardware), ``metrics.jsonl``, ``tensorboard/``, ``last.ckpt`` and
    ``best.ckpt``. Only the first process of a distributed run opens it.

    Args:
        path: made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = path / "last.ckpt"
        self.best = path / "best.ckpt"
        self._metrics = path / "metrics.jsonl"
        self._events: SummaryWriter | None = None

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / ".lock").open("a+", encoding="utf-8")
        try:
            # Unlike flock, such a lock is not inherited by loader workers, which may outlive a killed parent.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "another process"
            self._lock.close()
            raise RunFolderError(
                f"{self.path} is in use by {owner}; wait until it ends, or choose another run folder"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._lock.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()
        self._lock.close()

    def start(self, config: Mapping[str, Any], step: int, where: Mapping[str, Any]) -> None:
        """Write down what starts here, and take the curves back to ``step``.

        Args:
            config: plain settings.
            step: steps that were taken before.
            where: on what it computes, for ``environment.json``.
        """
        write_text_atomically(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
        starts = self.path / "environment.json"
        before = json.loads(starts.read_text(encoding="utf-8")) if step and starts.is_file() else []
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        entry = {"started": now, "from_step": step, "command": command_line(), **where, **environment()}
        write_json_atomically(starts, [*before, entry])
        if not step:
            self.best.unlink(missing_ok=True)
        write_text_atomically(self._metrics, "".join(_lines_until(self._metrics, step)))
        self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Append one line to ``metrics.jsonl`` and one point to every TensorBoard curve ``split/name``.

        What is not finite is null in the line, since JSON has no other word for it.
        """
        line: dict[str, Any] = {
            name: value if math.isfinite(value) else None for name, value in values.items()
        }
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "split": split, **line}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{split}/{name}", value, step)
            self._events.flush()


def _lines_until(path: Path, step: int) -> list[str]:
    """Lines of a metrics file up to a step; a last line cut short by a kill is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []:
        try:
            if json.loads(line)["step"] <= step and line.endswith("\n"):
                lines.append(line)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return lines
