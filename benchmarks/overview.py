"""Every number of the README, and what else has a number beside it: one row each, with the command that makes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clevr_transfer import PUBLISHED_COGENT
from benchmarks.heads import marked
from benchmarks.published import PUBLISHED
from clevr.answers.report import PUBLISHED as CLEVR_PUBLISHED

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One line of the overview."""

    what: str
    here: str
    """Our numbers in per cent, with 95 % intervals where they are means over episodes."""
    published: str
    """What they are compared with, and its source; empty where nothing was published."""
    gap: str
    """Ours less the published ones, points."""
    command: str
    file: str
    """Name of the result file."""


_ONE_FIVE = ("5-way 1-shot", "5-way 5-shot")
_EXPERIMENTS = {
    "Omniglot, 5-way, 1- / 5-shot": ("omniglot", "omniglot.zip", _ONE_FIVE),
    "Omniglot, 20-way, 1- / 5-shot": ("omniglot", "omniglot.zip", ("20-way 1-shot", "20-way 5-shot")),
    "CIFAR-FS, 1- / 5-shot": ("cifar_fs", "cifar-100.zip", _ONE_FIVE),
    "CIFAR-FS, an hour of one core, 1- / 5-shot": ("cifar_fs_record", "cifar-100.zip", _ONE_FIVE),
    "CIFAR-FS, two hours of one core, 1- / 5-shot": ("cifar_fs_record_long", "cifar-100.zip", _ONE_FIVE),
    "FC100, 1- / 5-shot": ("fc100", "cifar-100.zip", _ONE_FIVE),
    "FC100, half an hour of one core, 1- / 5-shot": ("fc100_record", "cifar-100.zip", _ONE_FIVE),
}
"""Result file, images and tasks of the experiments of `benchmarks.experiment`."""
GROUNDED_TREES = 96.1
"""On CLOSURE, from answers alone: Bogin et al., TACL 2021."""


def rows() -> Iterator[Row]:
    """All rows whose result file is there."""
    for title, (file, root, tasks) in _EXPERIMENTS.items():
        if found := _read(file):
            chosen = found[found.get("chosen_by_validation", "train")]["test"]
            published = PUBLISHED[file][-1]
            theirs = tuple(published.percent[task] for task in tasks)
            command = f"python -m benchmarks.experiment run {file.replace('_', '-')} --root {root}"
            yield _episodes(title, [chosen[task] for task in tasks], theirs, published.method, command, file)
    yield from _heads()
    yield from _clevr()


def _heads() -> Iterator[Row]:
    command = "python -m benchmarks.heads run --root cifar-100.zip"
    own = f"{command} --cifar_fs runs/cifar-fs-record-long/pretrain/model"
    yield from _best_heads("heads_cifar_fs", "CIFAR-FS, features of general-small", command)
    yield from _best_heads("heads_cifar_fs_record_long", "CIFAR-FS, features of two hours of one core", own)
    fc100 = f"{command} --fc100 runs/fc100-record/pretrain/model"
    yield from _best_heads("heads_fc100", "FC100, features of fc100-record", fc100)


def _best_heads(file: str, where: str, command: str) -> Iterator[Row]:
    found = _read(file)
    if not found:
        return
    for kind, ending in (("balanced", ""), ("unbalanced", ", unbalanced")):
        tasks = [found[task + ending]["accuracy"] for task in _ONE_FIVE]
        for group, is_star in (("each query on its own", False), ("all queries together", True)):
            names = [name for name in tasks[0] if (marked(name) != name) == is_star]
            best = max(names, key=lambda name: sum(task[name]["mean"] for task in tasks))
            title = f"{where}, {kind} queries, {group}: {best}"
            yield _episodes(title, [task[best] for task in tasks], (), "", command, file)


def _clevr() -> Iterator[Row]:
    (from_pixels, *_) = (value for value in CLEVR_PUBLISHED["FiLM, pixels"] if value is not None)
    named = (
        ("clevr_small", "CLEVR's questions, generated world", from_pixels, "FiLM from pixels on CLEVR v1.0"),
        ("clevr_closure", "CLOSURE's questions, generated world", GROUNDED_TREES, "grounded latent trees on CLOSURE"),
    )
    for file, title, published, source in named:
        if found := _read(file):
            share = 100 * found["overall"]["accuracy"]
            command = "clevr-film evaluate clevr-small"
            yield Row(title, f"{share:.1f}", f"{published:.1f} ({source})", _gap(share - published), command, file)

    if found := _read("clevr_cogent_small-hues"):
        names = [f"trained on A, on {condition}" for condition in "AB"]
        ours = [100 * found["accuracy"][name]["overall"]["accuracy"] for name in names]
        theirs = [PUBLISHED_COGENT[name] for name in names]
        yield Row(
            "CoGenT, trained on A, on A / B, generated world",
            _joined(ours),
            f"{_joined(theirs)} (FiLM on CLEVR-CoGenT)",
            " / ".join(_gap(one - other) for one, other in zip(ours, theirs, strict=True)),
            "python -m benchmarks.clevr_transfer cogent",
            "clevr_cogent_small-hues",
        )


def _joined(shares: Iterable[float]) -> str:
    return " / ".join(f"{share:.1f}" for share in shares)


def _episodes(
    what: str, ours: list[Mapping[str, float]], theirs: tuple[float, ...], source: str, command: str, file: str
) -> Row:
    here = " / ".join(f"{100 * one['mean']:.1f} ± {100 * one['interval']:.1f}" for one in ours)
    published = f"{' / '.join(f'{value:.1f}' for value in theirs)} ({source})" if theirs else ""
    gaps = [_gap(100 * one["mean"] - value) for one, value in zip(ours, theirs, strict=False)]
    return Row(what, here, published, " / ".join(gaps), command, file)


def _gap(value: float) -> str:
    return f"{value:+z.1f}"


def _read(name: str) -> dict[str, Any]:
    """The results of a file; empty where it is not there."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else {}
    return found


def as_table() -> str:
    """The overview as Markdown."""
    lines = ["| what | here, % | published, % | gap | command and result file |", "| --- | ---: | --- | ---: | --- |"]
    lines += [
        f"| {row.what} | {row.here} | {row.published} | {row.gap} | `{row.command}`, `{row.file}.json` |"
        for row in rows()
    ]
    return "\n".join(lines)
