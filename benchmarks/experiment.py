"""One few-shot experiment from the pictures to its result file: pre-train, meta-train, evaluate, collect.

An experiment is the two files ``pretrain.yaml`` and ``train.yaml`` of a folder in ``configs`` and the tasks that its
numbers are for. Started again, it goes on where it was stopped; a training whose model is there is not repeated.
Which of the two models is the result, and what is made of its features, is decided by the validation classes, before
the test classes are looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from fewshot_film.cli import COMMANDS
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result

HERE = Path(__file__).resolve().parent
STAGES = ("pretrain", "train")
PLAIN: dict[str, tuple[str, ...]] = {"plain": ()}
ROOTS_MIRRORED = "roots-mirrored"
PHOTOGRAPHS = {**PLAIN, ROOTS_MIRRORED: ("--feature_power=0.5", "--mirror=true")}
"""What can be made of the features of pictures that may be mirrored: names, and flags of ``fewshot-film evaluate``."""
_FOLDERS = re.compile(r"""(?<![\w./:])/(?:[^/\s"']+/)+""")


@dataclass(frozen=True)
class ExperimentConfig:
    """Where an experiment finds its pictures and leaves its runs."""

    root: str
    """The pictures: the zip or the folder."""
    runs: str = ""
    """Folder for the runs and the decoded pictures; empty: runs/NAME."""
    out: str = ""
    """The result file; empty: benchmarks/results/NAME.json."""
    episodes: int = 600
    """Episodes for each row."""
    processes: int = 0
    """Processes to evaluate with, 0: one a core."""


@dataclass(frozen=True)
class Experiment:
    """What distinguishes one experiment from another."""

    name: str
    """Of its runs and of its result file."""
    source: tuple[str, ...]
    """Flags that name the source of the pictures: ``--data.source=...``."""
    ways: tuple[int, ...] = (5,)
    """Numbers of classes that are evaluated, each with every shot."""
    shots: tuple[int, ...] = (1, 5)
    """Numbers of support pictures a class that are evaluated."""
    settings: str = ""
    """Folder with pretrain.yaml and train.yaml, in ``configs`` or by its full path; empty: the name."""
    network: tuple[str, ...] = ()
    """Settings of the backbone that differ from the files: ``image_size=48``."""
    features: Mapping[str, tuple[str, ...]] = field(default_factory=PLAIN.copy)
    """What may be made of the features, by name; the validation classes choose for each model."""

    def run(self, config: ExperimentConfig) -> int:
        """Do what is not done yet and write the result file; the exit status of the first command that fails, or 0."""
        runs = Path(config.runs or f"runs/{self.name}")
        for words in self.commands(config, runs):
            print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
            status = main("fewshot-film", COMMANDS, words)
            if status:
                return status
        out = Path(config.out or HERE / "results" / f"{self.file_name}.json")
        write_result(out, config=config, seed=0, results=collect(runs, self.features))
        return 0

    def command(self, title: str, root: str) -> Command:
        """The command of the module that is called as the result file is, and has `run`.

        Args:
            title: of the data set.
            root: of an example: what its pictures usually come in.
        """
        module = f"benchmarks.{self.file_name}"
        return Command(
            name="run",
            config=ExperimentConfig,
            run=f"{module}:run",
            help=f"Simple CNAPS on {title}, from the pictures to the result file.",
            examples=(f"python -m {module} run --root {root}",),
        )

    @property
    def file_name(self) -> str:
        """Of the result file, without its ending."""
        return self.name.replace("-", "_")

    def commands(self, config: ExperimentConfig, runs: Path) -> Iterator[list[str]]:
        """The commands that are left, each made when the one before it is done."""
        data = [*self.source, f"--data.root={config.root}", f"--data.cache={runs / 'pictures'}"]
        settings = HERE.parent / "configs" / (self.settings or self.name)
        flags = {
            "pretrain": [f"--backbone.{setting}" for setting in self.network],
            "train": [
                f"--learner.backbone.weights={runs / 'pretrain' / 'model'}",
                *(f"--learner.backbone.{setting}" for setting in self.network),
            ],
        }
        for stage in STAGES:
            if not (runs / stage / "model").is_dir():
                file = settings / f"{stage}.yaml"
                yield [stage, f"--config={file}", f"--out={runs / stage}", "--resume", *flags[stage], *data]
        tasks = [f"--ways={list(self.ways)}", f"--shots={list(self.shots)}", f"--episodes={config.episodes}"]
        tasks.append(f"--processes={config.processes}")
        models = {stage: [str(runs / stage / "model"), *tasks, *data] for stage in STAGES}
        for stage, model in models.items():
            for name, changes in self.features.items():
                out = f"--out={_validation_file(runs / stage, name)}"
                yield ["evaluate", *model, "--split=val", out, "--overwrite", *changes]
        for stage, model in models.items():
            chosen = preferred(_validation(runs / stage, self.features))
            out = f"--out={runs / stage / 'test.json'}"
            yield ["evaluate", *model, "--split=test", out, "--overwrite", *self.features[chosen]]


def preferred(validation: Mapping[str, Mapping[str, Any]]) -> str:
    """The name whose rows have the highest mean accuracy."""
    return max(validation, key=lambda name: fmean(row["mean"] for row in validation[name].values()))


def collect(runs: Path, features: Iterable[str]) -> dict[str, Any]:
    """What the two trainings cost and reached, with their curves, and which of them the validation classes prefer.

    Args:
        runs: folder of the two.
        features: names of what was made of the features in the evaluations.
    """
    found: dict[str, Any] = {stage: _collect_stage(runs / stage, features) for stage in STAGES}
    best = {stage: found[stage]["validation"][found[stage]["features"]] for stage in STAGES}
    return {"chosen_by_validation": preferred(best), **found}


def _collect_stage(folder: Path, features: Iterable[str]) -> dict[str, Any]:
    curve = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    validation = _validation(folder, features)
    return {
        "starts": without_folders(_read(folder / "environment.json")),
        "seconds": max(line["seconds"] for line in curve),
        "features": preferred(validation),
        "validation": validation,
        "test": _read(folder / "test.json")["results"],
        "curve": curve,
    }


def _validation(folder: Path, features: Iterable[str]) -> dict[str, Any]:
    """Rows of the validation classes for everything that was made of the features, without the single episodes."""
    found = {name: _read(_validation_file(folder, name))["results"] for name in features}
    for rows in found.values():
        for row in rows.values():
            del row["values"]
    return found


def _validation_file(folder: Path, features: str) -> Path:
    return folder / f"val-{features}.json"


def without_folders(record: Any) -> Any:
    """A record whose absolute paths are reduced to their last part: where data lay says nothing to others."""
    if isinstance(record, dict):
        return {key: without_folders(value) for key, value in record.items()}
    if isinstance(record, list):
        return [without_folders(value) for value in record]
    return _FOLDERS.sub("", record) if isinstance(record, str) else record


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
