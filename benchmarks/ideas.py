"""What each idea of the record for CIFAR-FS is worth: a short training of the recipe, and one for each change to it.

    python -m benchmarks.ideas run --root cifar-100.zip

trains ``configs/cifar-fs-record`` at half the width for a seventh of the steps, then again with one thing changed at a
time, and writes ``cifar_fs_ideas.json``; ``python -m benchmarks.tables`` makes the table of ``docs/core-hours.md`` from
it. All are compared on the same episodes of the validation classes, by the head of Simple CNAPS on square roots of
features that are averaged over mirror images, so that the test classes stay unseen. The result file is written after
every training, and a run that was stopped goes on from it.

    python -m benchmarks.ideas run --root cifar-100.zip --precision 32-true --only '[the recipe,another seed]' --out X

is for processors without bfloat16 arithmetic: the first two, and what both are worth joined.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from benchmarks.experiment import HERE
from benchmarks.methods import paired_gain
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.cli import COMMANDS as FEW_SHOT_COMMANDS
from fewshot_film.commands.common import open_images
from fewshot_film.commands.join import joined
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler, fingerprint
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.task_runners import plan_accuracies, task_runner
from fewshot_film.run.command import Command, main
from fewshot_film.run.files import write_json_atomically
from fewshot_film.run.results import earlier_results, summary, write_result
from fewshot_film.run.settings import Settings, at_least

log = logging.getLogger(__name__)

FIRST = "the recipe"
SPLIT = "val"
WAY, SHOTS, QUERY = 5, (1, 5), 15
COST = "cost.json"
"""File of a run's folder, written when it is done."""
DECISIVE = ("width", "steps", "episodes", "precision")


@dataclass(frozen=True)
class Idea:
    """One thing that is changed."""

    title: str
    """What is different, as the table has it."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """Settings of ``fewshot-film pretrain`` that differ from the recipe's."""
    way: str = ""
    """Name of a function of :mod:`benchmarks.idea_trainings`, where training itself differs."""
    needs: str = ""
    """Title of another one that is trained first, and whose cost this one has too."""


SECOND = "another seed"
JOINED = "networks of both seeds, joined"
IDEAS = (
    Idea(FIRST),
    Idea(SECOND, {"loop.seed": "1"}),
    Idea("first layer at random and trained, not whitened", way="with_trained_first_layer"),
    Idea("no label smoothing", {"label_smoothing": "0"}),
    Idea("no mirror images in training", {"augment.flip": "false"}),
    Idea("float32, not bfloat16", {"loop.precision": "32-true"}),
    Idea("learning rate stays as high as it is", {"loop.cooldown_steps": "0"}),
    Idea("images scaled and partly erased too", {"augment.scale": "0.15", "augment.erase": "0.3"}),
    Idea("linear classifier, not cosine", {"classifier": "linear"}),
    Idea("no change of colours", {"augment.brightness": "0", "augment.contrast": "0", "augment.saturation": "0"}),
    Idea("AdamW, not SGD", {"loop.optimizer": "adamw", "loop.learning_rate": "1e-3", "loop.weight_decay": "0.05"}),
    Idea("rotations are classes of their own", {"rotation_ssl": "true"}),
    Idea("taught by a second network as well as by labels", way="with_teacher", needs=SECOND),
    Idea("the average of the last weights", way="with_average"),
    Idea("features of two images mixed", way="with_mixed_features"),
    Idea("small images for half of the steps", way="with_small_images_first"),
    Idea("mirror images in every second epoch", {"augment.flip": "false"}, way="with_alternating_flips"),
)
"""The most telling first, in case there is not the time for all."""
AFTERWARDS = {
    "features not averaged over mirror images": (0.5, False),
    "features themselves, not their square roots": (1.0, True),
    "neither": (1.0, False),
}
"""What else can be made of the recipe's features: their power, and whether they are averaged over mirror images."""


@dataclass(frozen=True)
class IdeasConfig(Settings):
    """How long each is trained."""

    root: str
    """CIFAR-100: the zip or the folder."""
    width: Annotated[int, at_least(1)] = 32
    """Channels of the first stage; 64 in the record."""
    steps: Annotated[int, at_least(10)] = 1200
    """Of each training; 8,000 in the record."""
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    """Of the recipe."""
    only: tuple[str, ...] = ()
    """Titles of the ideas; empty: all."""
    episodes: Annotated[int, at_least(2)] = 600
    """For each number of shots."""
    runs: str = "runs/ideas"
    """Folder for the runs and the decoded images."""
    out: Path = HERE / "results" / "cifar_fs_ideas.json"
    """The result file."""


def run(config: IdeasConfig) -> int:
    """Train and compare what is not done yet; the exit status of the first training that fails, or 0."""
    torch.set_num_threads(1)
    results = earlier_results(config.out, config, DECISIVE)
    for idea in IDEAS:
        if idea.title in results or (config.only and idea.title not in config.only):
            continue
        needed = [each for each in IDEAS if each.title in (idea.needs, idea.title)]
        for each in needed:
            if not (_folder(each, config) / COST).is_file() and (status := train(each, _folder(each, config), config)):
                return status
        learner = load_pretrained(str(_folder(idea, config) / "model")).learner
        images = open_images(_data(config), SPLIT, learner.config.backbone)
        seconds = sum(_processor_seconds(each, config) for each in needed)
        results[idea.title] = {
            "processor_seconds": seconds,
            "flags": dict(idea.flags),
            **compared(learner, images, 0.5, True, config),
        }
        if idea.title == FIRST:
            for title, (power, is_mirrored) in AFTERWARDS.items():
                results[title] = compared(learner, images, power, is_mirrored, config)
        if idea.title == SECOND and FIRST in results:
            results[JOINED] = _both_joined(images, config)
        results = with_gains(results)
        write_result(config.out, config=config, seed=0, results=results)
        print(as_table(results))
    return 0


def _both_joined(images: ImageSet, config: IdeasConfig) -> dict[str, Any]:
    """What the first two networks are worth together, and what both cost."""
    seeds = IDEAS[:2]
    both = [load_pretrained(str(_folder(idea, config) / "model")).learner for idea in seeds]
    together = compared(joined(both, [idea.title for idea in seeds]), images, 0.5, True, config)
    return {"processor_seconds": sum(_processor_seconds(idea, config) for idea in seeds), **together}


def _folder(idea: Idea, config: IdeasConfig) -> Path:
    return Path(config.runs) / idea.title.replace(" ", "-").replace(",", "")


def _processor_seconds(idea: Idea, config: IdeasConfig) -> float:
    cost = json.loads((_folder(idea, config) / COST).read_text(encoding="utf-8"))
    return float(cost["processor_seconds"])


def train(idea: Idea, folder: Path, config: IdeasConfig) -> int:
    """Train with one thing changed, or go on with it, and note what it cost; the exit status.

    Args:
        idea: what is changed.
        folder: of the run.
        config: how long.
    """
    flags = {
        "backbone.width": config.width,
        "loop.precision": config.precision,
        "loop.steps": config.steps,
        "loop.warmup_steps": config.steps // 10,
        "loop.cooldown_steps": config.steps - config.steps // 10,
        "loop.validate_every": config.steps,
        "data.root": config.root,
        "data.cache": _data(config).cache,
        "out": folder,
        **idea.flags,
    }
    recipe = HERE.parent / "configs" / "cifar-fs-record" / "pretrain.yaml"
    words = ["pretrain", f"--config={recipe}", "--resume", *(f"--{name}={value}" for name, value in flags.items())]
    begun = time.process_time()
    command = replace(PRETRAIN, run=f"benchmarks.idea_trainings:{idea.way}") if idea.way else PRETRAIN
    if status := main("fewshot-film", [command], words):
        return status
    starts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    each = (time.process_time() - begun) / (config.steps - starts[-1]["from_step"])
    write_json_atomically(folder / COST, {"processor_seconds": each * config.steps})
    return 0


PRETRAIN = next(command for command in FEW_SHOT_COMMANDS if command.name == "pretrain")


def compared(
    learner: Learner, images: ImageSet, power: float, is_mirrored: bool, config: IdeasConfig
) -> dict[str, dict[str, Any]]:
    """Accuracies on the episodes, by task.

    Args:
        learner: a head on features of a backbone.
        images: that the episodes are drawn from.
        power: of the features.
        is_mirrored: whether they are averaged over mirror images.
        config: how many episodes.
    """
    learner.backbone.set_features(power, flip_tta=is_mirrored)
    runner = task_runner(learner, images, torch.device("cpu"))
    found = {}
    for shot in SHOTS:
        sampler = EpisodeSampler(images, WAY, shot, QUERY, split=SPLIT)
        values = plan_accuracies(runner, [sampler.plan(index) for index in range(config.episodes)])
        record = {"episodes_sha256": fingerprint(sampler, config.episodes), **summary(values)}
        found[f"{WAY}-way {shot}-shot"] = record
    return {"accuracy": found}


def with_gains(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results with the paired differences of all from the first."""
    first = results[FIRST]["accuracy"]
    return {
        title: {
            **row,
            "gain": {
                task: paired_gain(each["values"], first[task]["values"]) for task, each in row["accuracy"].items()
            },
        }
        for title, row in results.items()
    }


def as_table(results: Mapping[str, Any]) -> str:
    """A row per idea: its accuracies with their differences from the recipe's, and the minutes of the processor.

    Args:
        results: see :func:`with_gains`.
    """
    tasks = list(results[FIRST]["accuracy"])
    lines = [
        f"| what is different | {' | '.join(f'{task}, %' for task in tasks)} | core-minutes |",
        "| --- | " + "---: | " * len(tasks) + "---: |",
    ]
    for title, row in results.items():
        cells = [_cell(row["accuracy"][task], None if title == FIRST else row["gain"][task]) for task in tasks]
        minutes = f"{row['processor_seconds'] / 60:.1f}" if "processor_seconds" in row else ""
        lines.append(f"| {title} | {' | '.join(cells)} | {minutes} |")
    return "\n".join(lines)


def _cell(accuracy: Mapping[str, Any], gain: Mapping[str, float] | None) -> str:
    if gain is None:
        return f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['interval']:.1f}"
    return f"{100 * accuracy['mean']:.1f} ({100 * gain['mean']:+z.1f} ± {100 * gain['interval']:.1f})"


def _data(config: IdeasConfig) -> DataConfig:
    return DataConfig(source="cifar-fs", root=config.root, cache=str(Path(config.runs) / "images"))


COMMANDS = [
    Command(
        name="run",
        config=IdeasConfig,
        run="benchmarks.ideas:run",
        help="Train the recipe of the record for a short time, and with one thing changed at a time.",
        examples=("python -m benchmarks.ideas run --root cifar-100.zip",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.ideas", COMMANDS))
