"""Commands killed at random moments and started again, until they come to their end: is it the undisturbed one?

One kill is SIGKILL to the command and all processes that it started. Two of three come after a random share of the time
that the undisturbed command takes, one of three at the sight of a temporary file, where half a file would be left if
anything could leave one. The shares are drawn with a seed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability.content import content_of, differences, is_temporary, leftovers, torn_files
from benchmarks.reliability.inputs import Case, Places, case
from benchmarks.reliability.process import Line, Running, run, start

SIGHT_EVERY = 3
"""Of so many kills one waits for a temporary file."""


@dataclass(frozen=True)
class Target:
    """A command that is killed, with settings that give it a second or two of work."""

    title: str
    case: Case
    flags: tuple[str, ...] = ()
    places: dict[str, Any] = field(default_factory=dict)


@dataclass
class Tally:
    """What came out for one command."""

    seconds: float
    """Undisturbed."""
    kills: int = 0
    """Kills that met the command at work."""
    on_sight: int = 0
    """Those of them at the sight of a temporary file."""
    ends: int = 0
    """How often it came to its end after some kills."""
    torn: list[str] = field(default_factory=list)
    """Files found broken after a kill."""
    differing: list[str] = field(default_factory=list)
    """Files that differ in the end from the undisturbed ones."""
    left: list[str] = field(default_factory=list)
    """Temporary files of killed processes that are still there in the end."""
    failed: list[str] = field(default_factory=list)
    """Starts that ended with an error."""


def targets() -> list[Target]:
    """The commands that write for long enough to be killed."""
    steps = {"steps": 40, "episodes": 200, "scenes": 16}
    return [
        Target("pretrain", case("fewshot-film", "pretrain"), places=steps),
        Target("train", case("fewshot-film", "train"), places=steps),
        Target("train, 1 loader process", case("fewshot-film", "train"), ("--loop.num_workers=1",), {"steps": 10}),
        Target("evaluate", case("fewshot-film", "evaluate"), places=steps),
        Target("compare", case("fewshot-film", "compare"), ("--splits=20",)),
        Target("calibrate", case("fewshot-film", "calibrate")),
        Target("CLEVR: generate", case("clevr-film", "generate"), places=steps),
        Target("CLEVR: generate, 2 processes", case("clevr-film", "generate"), ("--workers=2",), {"scenes": 24}),
        Target("CLEVR: objects", case("clevr-film", "objects"), places={"scenes": 20}),
        Target("CLEVR: features", case("clevr-film", "features"), ("--extractor.size=224",)),
        Target("CLEVR: train", case("clevr-film", "train"), places={"steps": 30}),
        Target("CLEVR: evaluate", case("clevr-film", "evaluate")),
    ]


def soak(
    places: Places, work: Path, *, kills: int, only: list[Target] | None = None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Kill every target this many times.

    Args:
        places: inputs.
        work: folder for what the commands write; removed in the end.
        kills: of each target, at least.
        only: the targets; None: all.
        say: gets a line of progress.
    """
    found = {}
    for target in targets() if only is None else only:
        tally = _soak_one(target, places, work / "soak", kills)
        found[target.title] = asdict(tally)
        say(f"{target.title}: {tally.kills} kills, {tally.ends} ends")
        shutil.rmtree(work / "soak", ignore_errors=True)
    return found


def _soak_one(target: Target, places: Places, work: Path, kills: int) -> Tally:
    mine = {**places, **target.places}
    logs = work / "logs"
    whole = work / "undisturbed"
    target.case.prepare(mine, whole)
    outcome = run(_line(target, mine, whole), logs)
    if not outcome.is_done:
        raise RuntimeError(f"without any disturbance this failed: {outcome}")
    expected = content_of(whole)
    tally = Tally(round(outcome.seconds, 2))
    rng = random.Random(target.title)
    while tally.kills < kills:
        out = work / f"killed-{tally.ends}"
        target.case.prepare(mine, out)
        _until_it_ends(_line(target, mine, out), out, logs, tally, rng)
        tally.differing += differences(expected, content_of(out))
        tally.left += leftovers(out)
        tally.ends += 1
        shutil.rmtree(out)
    return tally


def _line(target: Target, places: Places, out: Path) -> Line:
    resume = ("--resume",) if target.case.resumes else ()
    return target.case.line(places, out).plus(*target.flags, *resume)


def _until_it_ends(line: Line, out: Path, logs: Path, tally: Tally, rng: random.Random) -> None:
    """Start, kill, look, and again, until a start comes to its end before its kill."""
    while True:
        running = start(line, logs)
        share = rng.random()
        at_sight = rng.randrange(SIGHT_EVERY) == 0
        met = _lasts_until_sight(running, out, rng) if at_sight else running.lasts(share * tally.seconds)
        if met:
            running.kill()
        outcome = running.wait()
        if outcome.status is not None and outcome.status < 0:
            tally.kills += 1
            tally.on_sight += at_sight
            if out.exists():
                tally.torn += torn_files(out)
            continue
        if not outcome.is_done:
            tally.failed.append(str(outcome))
        return


def _lasts_until_sight(running: Running, out: Path, rng: random.Random) -> bool:
    """Wait for the so many-th temporary file below ``out``; whether one came before the command's end."""
    skipped = rng.randrange(12)
    seen: set[str] = set()
    while running.is_alive:
        with contextlib.suppress(OSError):
            for folder, folders, files in os.walk(out):
                names = {str(Path(folder) / name) for name in (*folders, *files)}
                seen |= {name for name in names if is_temporary(Path(name), out)}
        if len(seen) > skipped:
            return True
        time.sleep(0.0005)
    return False
