"""Processes of their own that run the toy's command line, quickly.

Each has its own signals, global generators and exit status; see `tests.processes`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import socket
import sys
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.processes import CONTEXT

PATIENCE_SECONDS = 120.0


@dataclass
class ToyProcess:
    """A training that runs somewhere else."""

    process: ForkServerProcess
    run_dir: Path
    log: Path

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process.pid is not None
        return self.process.pid

    def wait(self) -> int:
        """Exit status; negative: the signal that killed it."""
        self.process.join(PATIENCE_SECONDS)
        assert self.process.exitcode is not None, f"still running after {PATIENCE_SECONDS} s: {self.output()}"
        return self.process.exitcode

    def wait_for_output(self, text: str) -> None:
        """Wait until it has said something."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.output() and self.process.is_alive():
            assert time.monotonic() < end
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def output(self) -> str:
        """What it has said so far on stdout and stderr."""
        return self.log.read_text() if self.log.exists() else ""

    def hash(self) -> str:
        """Hash of the weights that it ended with."""
        assert self.wait() == 0, self.output()
        found = re.search(r"hash (\w+)", self.output())
        assert found, self.output()
        return found[1]


def start_toy(run_dir: Path, *flags: str, environment: dict[str, str] | None = None) -> ToyProcess:
    """Start ``toy train --run_dir run_dir *flags``, with these environment variables besides."""
    log = run_dir.with_suffix(f".{time.monotonic_ns()}.log")
    process = CONTEXT.Process(target=_main, args=(log, ["train", f"--run_dir={run_dir}", *flags], environment or {}))
    process.start()
    return ToyProcess(process, run_dir, log)


def start_two_toys(run_dir: Path, *flags: str) -> list[ToyProcess]:
    """Start two processes that work together, with the environment that torchrun would give them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "toy",
    }
    ranks = [common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)]
    return [start_toy(run_dir, *flags, environment=environment) for environment in ranks]


def _main(log: Path, words: list[str], environment: dict[str, str]) -> None:
    import torch

    from tests.run.toy import COMMANDS, main

    torch.set_num_threads(1)
    os.environ |= environment
    multiprocessing.set_start_method("fork", force=True)  # loader workers: a new server for each would be slow
    output = log.open("w", buffering=1)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        sys.exit(main("toy", COMMANDS, words))
