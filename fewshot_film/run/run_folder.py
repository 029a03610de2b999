"""The folder of one run: settings, environment, curves, checkpoints, and a lock against a second writer."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import yaml

from fewshot_film.errors import RunFolderError
from fewshot_film.run.files import FolderLock, write_json_atomically, write_text_atomically
from fewshot_film.run.progress import Progress
from fewshot_film.run.results import command_line, environment

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


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
        self._lock = FolderLock(path)

    def __enter__(self) -> Self:
        self._lock.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()
        self._lock.__exit__(kind, error, trace)

    def start(self, config: Mapping[str, Any], progress: Progress, where: Mapping[str, Any]) -> None:
        """Write down what starts here, and take the curves back to where the checkpoint was written.

        Args:
            config: plain settings.
            progress: how far the run had come.
            where: on what it computes, for ``environment.json``.
        """
        from torch.utils.tensorboard import SummaryWriter  # here, as it takes long and only trainings need it

        write_text_atomically(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
        starts = self.path / "environment.json"
        before = json.loads(starts.read_text(encoding="utf-8")) if progress.step and starts.is_file() else []
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        entry = {
            "started": now,
            "from_step": progress.step,
            "command": command_line(),
            **where,
            **environment(),
        }
        write_json_atomically(starts, [*before, entry])
        if not progress.step:
            self.best.unlink(missing_ok=True)
        write_text_atomically(self._metrics, "".join(_first_lines(self._metrics, progress.lines)))
        self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=progress.step + 1)

    def log(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Append one line to ``metrics.jsonl`` and one point to every TensorBoard curve ``split/name``.

        What is not finite is null in the line, since JSON has no other word for it.
        """
        line: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "split": split, **line}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{split}/{name}", value, step)
            self._events.flush()


def read_run(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """What a run folder says of a run: its settings, its starts, and the points of its curves.

    Raises:
        RunFolderError: it is no run folder, or a file of it is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise RunFolderError(
            f"no run in {folder}: expected config.yaml and metrics.jsonl there; give the --out folder of a training"
        )
    try:
        settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        starts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        points = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunFolderError(f"a file of the run in {folder} is missing or damaged: {error}") from None
    return settings, starts, points


def _first_lines(path: Path, count: int) -> list[str]:
    """The first lines of a file; one that a kill has cut short is not among them."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [line for line in lines[:count] if line.endswith("\n")]
