"""A worker process, a parent of workers, or one of two processes of a training is killed: a clear end, and on it goes.

An attempt counts as *refused* where the command ended with a message of its own, and as *done* where the same command,
started again, came to the undisturbed result. Both are expected.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.reliability.content import content_of, differences, torn_files
from benchmarks.reliability.inputs import Places, case
from benchmarks.reliability.process import PATIENCE_SECONDS, Line, Outcome, run, start
from benchmarks.reliability.resource_limits import Count

WORKERS = {
    "worker of pretrain": ("fewshot-film", "pretrain", ("--loop.num_workers=1", "--loop.steps=60")),
    "worker of train": ("fewshot-film", "train", ("--loop.num_workers=2", "--loop.steps=30")),
    "worker of evaluate": ("fewshot-film", "evaluate", ("--processes=2", "--episodes=2000")),
    "worker of generate": ("clevr-film", "generate", ("--workers=2", "--scenes=60")),
    "worker of objects": ("clevr-film", "objects", ("--workers=2", "--scenes=60")),
    "worker of features": ("clevr-film", "features", ("--num_workers=1", "--extractor.size=224")),
    "worker of CLEVR train": ("clevr-film", "train", ("--loop.num_workers=1", "--loop.steps=60")),
}
"""Name, command, and settings with which it has worker processes at work for a while."""


def lost(
    places: Places, work: Path, *, repeats: int, only: list[str] | None = None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Kill every kind of process.

    Args:
        places: inputs.
        work: folder for what the commands write.
        repeats: how often each.
        only: names of kinds of workers; None: all, parents, and processes of torchrun too.
        say: gets a line of progress.
    """
    found = {}
    for title in WORKERS if only is None else only:
        found[title] = asdict(_lose_workers(title, places, work, repeats))
        say(f"{title}: {found[title]['refused']} clear ends, {found[title]['done']} undisturbed results")
    if only is None:
        for name in ("evaluate", "generate"):
            title = f"parent of workers, {name}"
            found[title] = asdict(_lose_parent(f"worker of {name}", places, work, repeats))
            say(f"{title}: {len(found[title]['faults'])} faults")
        for program, name in (("fewshot-film", "pretrain"), ("clevr-film", "train")):
            title = f"one of two processes of torchrun, {program} {name}"
            found[title] = asdict(_lose_rank(program, name, places, work))
            say(f"{title}: {found[title]['refused']} clear ends, {found[title]['done']} undisturbed results")
    return found


def _lose_workers(title: str, places: Places, work: Path, repeats: int) -> Count:
    program, name, flags = WORKERS[title]
    one = case(program, name)
    resume = ("--resume",) if one.resumes else ()
    whole = work / "whole"
    logs = work / "logs"
    expected = _content_of(run(one.line(places, whole).plus(*flags, *resume), logs), whole)
    count = Count()
    for number in range(repeats):
        out = work / f"{number}"
        line = one.line(places, out).plus(*flags, *resume)
        running = start(line, logs)
        killed = False
        while running.is_alive and not killed:
            for worker in running.workers()[:1]:
                running.lasts(0.05 + 0.3 * number)
                if worker in running.workers():  # and not a program that was just about to begin
                    os.kill(worker, signal.SIGKILL)
                    killed = True
            time.sleep(0.002)
        outcome = running.wait()
        count.tried += 1
        count.refused += outcome.is_refused
        if not (outcome.is_refused or outcome.is_done):
            count.faults.append(f"no clear end: {outcome}")
        again = run(line, logs)
        differing = differences(expected, _content_of(again, out)) + torn_files(out)
        count.done += not differing
        count.faults += differing
    shutil.rmtree(work, ignore_errors=True)
    return count


def _content_of(outcome: Outcome, out: Path) -> dict[str, str]:
    if not outcome.is_done:
        return {"the command": str(outcome)}
    return content_of(out)


def _lose_parent(title: str, places: Places, work: Path, repeats: int) -> Count:
    """Workers of a killed command end with it."""
    program, name, flags = WORKERS[title]
    count = Count()
    for number in range(repeats):
        line = case(program, name).line(places, work / f"{number}").plus(*flags)
        running = start(line, work / "logs")
        while running.is_alive and len(running.workers()) < 2:
            time.sleep(0.002)
        workers = running.workers()
        running.lasts(0.5 * number)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        end = time.monotonic() + 30
        while any(map(_is_alive, workers)) and time.monotonic() < end:
            time.sleep(0.05)
        left = [worker for worker in workers if _is_alive(worker)]
        count.tried += 1
        count.done += not left
        for worker in left:
            os.kill(worker, signal.SIGKILL)
            count.faults.append(f"{line}: a worker lives on for 30 s after its parent")
    shutil.rmtree(work, ignore_errors=True)
    return count


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return False


def _lose_rank(program: str, name: str, places: Places, work: Path) -> Count:
    """Kill one of two processes that torchrun started, then start torchrun again."""
    one = case(program, name)
    steps = {**places, "steps": 30}
    work.mkdir(parents=True)
    whole, out = work / "whole", work / "out"
    expected = _content_of(_torchrun(one.line(steps, whole).plus("--resume"), work / "whole.log").wait(), whole)
    count = Count(tried=1)
    training = _torchrun(one.line(steps, out).plus("--resume"), work / "killed.log")
    while training.process.poll() is None and not (out / "last.ckpt").exists():
        time.sleep(0.01)
    for worker in _ranks(training.process.pid)[-1:]:
        os.kill(worker, signal.SIGKILL)
    outcome = training.wait()
    ended = outcome.status not in (0, None)
    count.refused += ended
    if not ended:
        count.faults.append(f"it did not end as it should: {outcome}")
    again = _torchrun(one.line(steps, out).plus("--resume"), work / "again.log").wait()
    differing = differences(expected, _content_of(again, out)) + torn_files(out)
    count.done += not differing
    count.faults += differing
    shutil.rmtree(work, ignore_errors=True)
    return count


class _Torchrun:
    def __init__(self, line: Line, log: Path) -> None:
        self.line, self.log = line, log
        module = {"fewshot-film": "fewshot_film", "clevr-film": "clevr"}[line.program]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", module]
        with log.open("w", encoding="utf-8") as file:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen([*torchrun, *line.words], stdout=file, stderr=file, env=environment)
        self._began = time.monotonic()

    def wait(self) -> Outcome:
        """Wait for the end; after a long time it is killed."""
        try:
            status: int | None = self.process.wait(4 * PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
            for worker in (*_ranks(self.process.pid), self.process.pid):
                os.kill(worker, signal.SIGKILL)
            self.process.wait()
        output = self.log.read_text(encoding="utf-8", errors="replace")
        if status == 0:
            output = output.replace("Traceback", "traceback")  # torchrun's own, which it prints for others' ends
        return Outcome(self.line, status, output, time.monotonic() - self._began)


def _torchrun(line: Line, log: Path) -> _Torchrun:
    return _Torchrun(line, log)


def _ranks(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []
