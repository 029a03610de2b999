"""What small computers reach on CIFAR-FS in how many core-hours: the table and the figure of ``docs/core-hours.md``.

    python -m benchmarks.core_hours figure

draws the figure. Every entry is a result file of ``benchmarks.experiment``, which names the command that made it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fewshot_film.run.command import Command, main
from fewshot_film.run.figures import BLUE, GREEN, ORANGE, VERMILION
from fewshot_film.run.settings import Settings

RESULTS = Path(__file__).resolve().parent / "results"
TASKS = ("5-way 1-shot", "5-way 5-shot")
COLORS = (BLUE, VERMILION, GREEN, ORANGE)
HOUR = 3600


@dataclass(frozen=True)
class Entry:
    """A training that is compared by what it cost."""

    file: str
    """Its result file, without the ending."""
    title: str
    """What it is."""

    @property
    def results(self) -> dict[str, Any]:
        """What the file holds."""
        found: dict[str, Any] = json.loads((RESULTS / f"{self.file}.json").read_text(encoding="utf-8"))["results"]
        return found


ENTRIES = (
    Entry("cifar_fs", "`cnaps-resnet18` with one block a stage, float32, then Simple CNAPS"),
    Entry("cifar_fs_record", "`whitened-vgg`, bfloat16, classification alone"),
    Entry("cifar_fs_record_long", "the same with half as many steps again, of images that vary more"),
)


@dataclass(frozen=True)
class Config(Settings):
    """Where the figure goes."""

    out: Path = Path("docs/images/core-hours.png")
    """The image file."""


def stages_of(results: dict[str, Any]) -> dict[str, Any]:
    """The trainings of an entry, by name, in order."""
    return {name: found for name, found in results.items() if isinstance(found, dict)}


def core_hours(results: dict[str, Any]) -> float:
    """What all trainings of an entry took: hours by the clock times threads."""
    return sum(float(found["seconds"]) * _threads(found) for found in stages_of(results).values()) / HOUR


def _threads(stage: dict[str, Any]) -> int:
    return max(int(start["hardware"]["threads"]) for start in stage["starts"])


def curve(results: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Core-hours and accuracy of the validation classes (5-way 1-shot, %), through all trainings of an entry.

    Where several networks were trained apart, it goes through the first, and ends with what all reach together.
    """
    hours, accuracies, before = [], [], 0.0
    for stage in stages_of(results).values():
        for line in stage["curve"]:
            if line["split"] == "validation":
                hours.append(before + line["seconds"] * _threads(stage) / HOUR)
                accuracies.append(100 * line["accuracy"])
        before += stage["seconds"] * _threads(stage) / HOUR
        if stage.get("networks", 1) > 1:
            hours.append(before)
            accuracies.append(100 * stage["validation"][stage["features"]][TASKS[0]]["mean"])
    return hours, accuracies


def as_table() -> str:
    """A row per entry: what it cost, and what its result reached on the test classes."""
    lines = [
        "| entry | core-hours | processor | 5-way, 1- / 5-shot, % |",
        "| --- | ---: | --- | ---: |",
    ]
    for entry in ENTRIES:
        results = entry.results
        chosen = results[results["chosen_by_validation"]]
        rows = [chosen["test"][task] for task in TASKS]
        reached = " / ".join(f"{100 * row['mean']:.1f} ± {100 * row['interval']:.1f}" for row in rows)
        processor = chosen["starts"][0]["hardware"]["cpu"]
        lines.append(f"| {entry.title} | {core_hours(results):.1f} | {processor} | {reached} |")
    return "\n".join(lines)


def figure() -> Figure:
    """Accuracy of the validation classes against core-hours, a line per entry."""
    drawn = Figure(figsize=(7.2, 4.2), dpi=110, layout="constrained")
    axes = drawn.subplots()
    for entry, color in zip(ENTRIES, COLORS, strict=False):
        hours, accuracies = curve(entry.results)
        axes.plot(hours, accuracies, color=color, marker="o", ms=4, label=entry.title.replace("`", ""))
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.minorticks_off()
    axes.set_xlabel("core-hours")
    axes.set_ylabel("5-way 1-shot accuracy of the validation classes, %")
    axes.grid(alpha=0.3)
    drawn.legend(loc="outside upper center", fontsize=9)
    return drawn


def run(config: Config) -> int:
    """Draw and write."""
    figure().savefig(config.out)
    print(config.out)
    return 0


COMMANDS = [
    Command(
        name="figure",
        config=Config,
        run="benchmarks.core_hours:run",
        help="Draw accuracy against core-hours.",
        examples=("python -m benchmarks.core_hours figure",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.core_hours", COMMANDS))
