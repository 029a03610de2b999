"""Commands in processes of their own, which can be killed with all that they started.

They are forked from a server that has loaded torch and both programs once. So they start in milliseconds, and a kill
at a random moment falls into their work and not into Python's imports.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

PATIENCE_SECONDS = 900.0
"""A command that has not ended after this time hangs."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["benchmarks.reliability.preload"])
_numbers = itertools.count()


@dataclass(frozen=True)
class Line:
    """A command line."""

    program: str
    """``fewshot-film`` or ``clevr-film``."""
    words: tuple[str, ...]
    """The command and its settings."""

    def plus(self, *words: str) -> Line:
        """The same with further words."""
        return Line(self.program, (*self.words, *words))

    def __str__(self) -> str:
        return " ".join([self.program, *self.words])


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    line: Line
    """Which."""
    status: int | None
    """Exit status; negative: the signal that killed it; None: it hung, and was killed for that."""
    output: str
    """What it said."""
    seconds: float
    """How long it took."""

    @property
    def is_done(self) -> bool:
        """Whether it did what it should."""
        return self.status == 0 and "Traceback" not in self.output

    @property
    def is_refused(self) -> bool:
        """Whether it ended with status 2 and a message that begins with its name, and no traceback."""
        start = f"{self.line.program} {self.line.words[0]}: "
        messages = [text for text in self.output.splitlines() if text.startswith(start) and len(text) > len(start) + 10]
        return self.status == 2 and bool(messages) and "Traceback" not in self.output

    def __str__(self) -> str:
        return f"{self.line}\n  status {self.status}: {self.output[-1500:]}"


class Running:
    """A command at work.

    Args:
        line: the command.
        log: file for what it says.
    """

    def __init__(self, line: Line, log: Path) -> None:
        self.line = line
        self.log = log
        self._began = time.monotonic()
        self._process: BaseProcess = _CONTEXT.Process(target=_work, args=(line, log))
        self._process.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> Outcome:
        """Wait for its end; one that takes longer hangs, and is killed."""
        self._process.join(seconds)
        status = self._process.exitcode
        if status is None:
            self.kill()
            self._process.join()
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return Outcome(self.line, status, text, time.monotonic() - self._began)

    def lasts(self, seconds: float) -> bool:
        """Wait so long, or until it ends; whether it is still at work."""
        self._process.join(max(0.0, seconds))
        return self._process.exitcode is None

    def send(self, number: int) -> None:
        """A signal for it alone; nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL for it and all processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not made its group yet
                os.kill(self.pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Python's processes that it has started to compute; not the tracker of shared resources, nor git."""
        with contextlib.suppress(OSError):
            found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
            return [int(word) for word in found if _is_worker(int(word))]
        return []


def start(line: Line, logs: Path) -> Running:
    """Start a command; what it says goes to a new file in ``logs``."""
    logs.mkdir(parents=True, exist_ok=True)
    return Running(line, logs / f"{next(_numbers)}.log")


def run(line: Line, logs: Path) -> Outcome:
    """Run a command to its end."""
    return start(line, logs).wait()


def run_all(lines: Sequence[Line], logs: Path) -> None:
    """Run commands that must succeed.

    Raises:
        RuntimeError: one did not.
    """
    for line in lines:
        outcome = run(line, logs)
        if not outcome.is_done:
            raise RuntimeError(f"without any disturbance this failed: {outcome}")


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
        return "multiprocessing" in command and "resource_tracker" not in command
    return False


def _work(line: Line, log: Path) -> None:
    import torch

    import clevr.cli
    import fewshot_film.cli
    from fewshot_film.run.command import main

    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a process that no server made
    output = log.open("w", buffering=1, encoding="utf-8")
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    torch.set_num_threads(1)
    commands = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}[line.program]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        sys.argv = [line.program, *line.words]
        sys.exit(main(line.program, commands, line.words))
