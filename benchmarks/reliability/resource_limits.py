"""Every command where something is wrong around it: does it say what, and leave everything whole?

An attempt counts as *refused* where the command ended with status 2 and a message of its own, as *done* where it did
what it should all the same (which of the two a condition allows is said with it), and as a fault otherwise: a
traceback, a hang, a torn file, a result that is not the undisturbed one.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.reliability import namespace
from benchmarks.reliability.content import content_of, differences, files_of, torn_files
from benchmarks.reliability.inputs import CASES, Case, Places
from benchmarks.reliability.process import Line, Outcome, run, start
from fewshot_film.run.parsing import keys_of

ROOM = 96 << 20
"""Bytes of a small disk on which every command has room enough."""


@dataclass
class Count:
    """What came out for one condition."""

    tried: int = 0
    refused: int = 0
    done: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome, *, may: str, more: Sequence[str] = ()) -> None:
        """Judge one attempt.

        Args:
            outcome: how it ended.
            may: ``refused``, ``done``, or ``either``.
            more: what else is wrong with it.
        """
        self.tried += 1
        self.refused += outcome.is_refused
        self.done += outcome.is_done
        good = {"refused": outcome.is_refused, "done": outcome.is_done}
        good["either"] = any(good.values())
        if not good[may]:
            self.faults.append(f"expected {may}: {outcome}")
        elif more:
            self.faults.append(f"{outcome.line}: {'; '.join(more)}")


Attempt = Callable[[Sequence[Case], Places, Path, Count], None]


def hostile(
    places: Places, work: Path, *, cases: Sequence[Case] = CASES, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Try every condition with every command that it concerns.

    Args:
        places: inputs.
        work: folder for what the commands write.
        cases: the commands.
        say: gets a line of progress.
    """
    found = {}
    for title, attempt, needs_namespace in CONDITIONS:
        if needs_namespace and not namespace.is_inside():
            continue
        count = Count()
        attempt(cases, places, work, count)
        found[title] = asdict(count)
        say(f"{title}: {count.tried} tried, {count.refused} refused, {count.done} done, {len(count.faults)} faults")
        shutil.rmtree(work, ignore_errors=True)
    return found


def no_data(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """Each of the inputs in turn is not there."""
    for case in cases:
        for name in case.reads():
            _attempt_with(case, {**places, name: work / "nowhere"}, work, count)


def wrong_folder(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """Each of the inputs in turn is a folder of other things, an empty folder, or a text file."""
    other, empty, text = work / "other", work / "empty", work / "text.txt"
    (other / "letters").mkdir(parents=True)
    empty.mkdir()
    for path in (other / "notes.txt", other / "letters/a.txt", text):
        path.write_text("Dear reader,\n", encoding="utf-8")
    for case in cases:
        for name in case.reads():
            for wrong in (other, empty, text):
                _attempt_with(case, {**places, name: wrong}, work, count)


def _attempt_with(case: Case, places: Places, work: Path, count: Count) -> None:
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    if case.changes and places[case.changes].is_dir():
        case.prepare(places, out)
    count.add(run(case.line(places, out), work / "logs"), may="refused")


def read_only(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """The folder to write to cannot be written to."""
    for number, case in enumerate(cases):
        out = work / f"{number}" / "out"
        out.mkdir(parents=True)
        case.prepare(places, out)
        before = content_of(out)
        with namespace.read_only(out.parent):
            outcome = run(case.line(places, out), work / "logs")
        count.add(outcome, may="refused", more=differences(before, content_of(out)))


def read_only_data(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """What is read lies where nothing can be written, and everything is done all the same."""
    for number, case in enumerate(cases):
        out = work / f"{number}"
        case.prepare(places, out)
        with ExitStack() as stack:
            for name in case.reads():
                if Path(places[name]).is_dir():
                    stack.enter_context(namespace.read_only(Path(places[name])))
            count.add(run(case.line(places, out), work / "logs"), may="done")


def full_disk(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """The disk has room for nothing, and for a half of what is needed; then there is room, and it goes on."""
    for number, case in enumerate(cases):
        whole = work / f"{number}-whole"
        _done(case, places, whole, work)
        needed = sum(path.stat().st_size for path in files_of(whole))
        expected = content_of(whole)
        for share in (0.0, 0.5):
            disk = work / f"{number}-{share}"
            out, filler = disk / "out", disk / "filler"
            with namespace.small_disk(disk, ROOM):
                out.mkdir()
                case.prepare(places, out)
                _fill(filler, left=int(share * needed) & -4096)
                first = run(_resumed(case, places, out), work / "logs")
                torn = torn_files(out)
                filler.unlink()
                second = run(_resumed(case, places, out), work / "logs")
                more = [*torn, *differences(expected, content_of(out))]
            count.add(first, may="either", more=torn)
            count.add(second, may="done", more=more)


def _fill(path: Path, left: int) -> None:
    """Take all room but so many bytes."""
    room = os.statvfs(path.parent)
    size = max(0, room.f_bavail * room.f_bsize - left)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, size))


def no_network(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """Everything here runs without one and is done; what would have to be fetched is refused."""
    for number, case in enumerate(cases):
        out = work / f"{number}"
        case.prepare(places, out)
        count.add(run(case.line(places, out), work / "logs"), may="done")
    images, world = places["images"], places["world"]
    few = f"--data.source=folder --data.root={images} --data.split_seed=0"
    for program, words in (
        ("fewshot-film", f"classify --model=torchvision:vgg11 --support={images} --query={places['queries']}"),
        ("fewshot-film", f"classify --model=someone/something --support={images} --query={places['queries']}"),
        ("fewshot-film", f"compare --data={images} --models=[torchvision:vgg11]"),
        ("fewshot-film", f"pretrain --out={work}/a {few} --backbone.weights=IMAGENET1K_V1"),
        ("fewshot-film", f"evaluate someone/something {few}"),
        ("clevr-film", f"features {world} --split=val --out={work}/b --extractor.backbone=vgg11 "
                       "--extractor.layer=features"),
    ):  # fmt: skip
        count.add(run(Line(program, tuple(words.split())), work / "logs"), may="refused")


def wrong_key(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """A YAML file with one key too many, in every group of settings."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "config.yaml"
    for case in cases:
        groups = [key for key, kind in _settings(case) if dataclasses.is_dataclass(kind)]
        for group in ("", *groups):
            content: dict[str, Any] = {"no_such_key": 1}
            for part in reversed(group.split(".") if group else ()):
                content = {part: content}
            file.write_text(yaml.safe_dump(content), encoding="utf-8")
            _attempt_line(case, places, work, count, f"--config={file}")


def out_of_range(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """Every number is -1, and every number with a point not a number; a text where a number is due."""
    for case in cases:
        for key, kind in _settings(case):
            for value in _bad_values(kind):
                _attempt_line(case, places, work, count, f"--{key}={value}")


def _bad_values(kind: Any) -> Iterator[str]:
    text = str(kind)
    if "tuple[int" in text:
        yield from ("[-1]", "[x]")
    elif "float" in text and "tuple" not in text:
        yield from ("-1.0", ".nan", "x")
    elif "int" in text and "tuple" not in text and "Literal" not in text:
        yield from ("-1", "1.5")
    elif "bool" in text:
        yield "maybe"


def _attempt_line(case: Case, places: Places, work: Path, count: Count, flag: str) -> None:
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    case.prepare(places, out)
    count.add(run(case.line(places, out).plus(flag), work / "logs"), may="refused")


def two_at_once(cases: Sequence[Case], places: Places, work: Path, count: Count) -> None:
    """The same command twice in one folder, started together: one is done, and the result is the undisturbed one."""
    for number, case in enumerate(cases):
        whole, out = work / f"{number}-whole", work / f"{number}"
        _done(case, places, whole, work)
        case.prepare(places, out)
        both = [start(_resumed(case, places, out), work / "logs") for _ in range(2)]
        outcomes = sorted((one.wait() for one in both), key=lambda outcome: outcome.is_refused)
        count.add(outcomes[0], may="done", more=[*torn_files(out), *differences(content_of(whole), content_of(out))])
        count.add(outcomes[1], may="either")


def _done(case: Case, places: Places, out: Path, work: Path) -> None:
    """Run a command that nothing disturbs."""
    case.prepare(places, out)
    outcome = run(_resumed(case, places, out), work / "logs")
    if not outcome.is_done:
        raise RuntimeError(f"without any disturbance this failed: {outcome}")


def _resumed(case: Case, places: Places, out: Path) -> Line:
    return case.line(places, out).plus(*(("--resume",) if case.resumes else ()))


def _settings(case: Case) -> list[tuple[str, Any]]:
    """Every setting of a command with its type; of a choice of methods those of the default."""
    import clevr.cli
    import fewshot_film.cli
    from fewshot_film.run.parsing import choices_of

    commands = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}[case.program]
    config_class = next(command for command in commands if command.name == case.name).config_class()
    chosen = {name: choice.kinds[choice.default] for name, choice in choices_of(config_class).items()}
    return list(keys_of(config_class, chosen=chosen))


CONDITIONS: tuple[tuple[str, Attempt, bool], ...] = (
    ("no data", no_data, False),
    ("another folder, an empty one, a text file", wrong_folder, False),
    ("read-only folder to write to", read_only, True),
    ("read-only data", read_only_data, True),
    ("full disk, then room", full_disk, True),
    ("no network", no_network, True),
    ("wrong YAML key", wrong_key, False),
    ("value out of range", out_of_range, False),
    ("two runs in one folder", two_at_once, False),
)
"""Name, what is tried, and whether it needs a place of its own (see :mod:`benchmarks.reliability.namespace`)."""
