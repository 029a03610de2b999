"""Learners on the same episodes: accuracies, and the paired gain of the first over each of the others.

    python -m benchmarks.methods run --model runs/cifar-fs/pretrain/model --root cifar-100.zip

compares every method that works on a backbone without training: what the head alone makes of given features. One
pre-trained backbone, frozen; no method is meta-trained. Simple CNAPS's head comes first, and its paired gain over
each of the others is given. FiT can be named too; its gradient steps go through the backbone for every support set,
which takes far longer than all the others together: name it with few episodes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from fewshot_film.commands.baselines import PIXELS, task_runner, without_training
from fewshot_film.commands.common import open_images
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler, fingerprint
from fewshot_film.learners import Learner, load_learner
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import paired_difference, summary, write_result
from fewshot_film.run.settings import Settings, at_least


def paired(
    images: ImageSet, learners: Mapping[str, Learner | None], shots: Sequence[int], episodes: int
) -> dict[str, Any]:
    """Compare learners on 5-way episodes with 10 queries a class.

    Args:
        images: test classes.
        learners: by name; None is the nearest class mean of raw pixels.
        shots: support images a class, one row each.
        episodes: for each row.
    """
    torch.set_num_threads(1)
    runners = {name: task_runner(learner, images, torch.device("cpu")) for name, learner in learners.items()}
    first, *others = learners
    rows: dict[str, Any] = {}
    for shot in shots:
        sampler = EpisodeSampler(images, 5, shot, 10, split="test")
        values: dict[str, list[float]] = {name: [] for name in runners}
        for index in range(episodes):
            plan = sampler.plan(index)
            for name, one in runners.items():
                right = one.logits(plan).argmax(1).numpy() == plan.query_labels
                values[name].append(float(np.mean(right)))
        rows[f"5-way {shot}-shot"] = {
            "episodes_sha256": fingerprint(sampler, episodes),
            "accuracy": {name: summary(each) for name, each in values.items()},
            "gain": {name: _gain(values[first], values[name]) for name in others},
        }
    return rows


def as_table(title: str, rows: Mapping[str, Any]) -> str:
    """Accuracies and paired gains in per cent, as Markdown."""
    (some, *_) = rows.values()
    first, *others = some["accuracy"]
    heads = [title, first, *others, *(f"gain over {name}" for name in others)]
    lines = [f"| {' | '.join(heads)} |", "| --- " + "| ---: " * (len(heads) - 1) + "|"]
    for task, row in rows.items():
        lines.append(f"| {task} | {' | '.join(as_cells(row))} |")
    return "\n".join(lines)


def as_cells(row: Mapping[str, Any]) -> list[str]:
    """One task's accuracies, then its gains, in per cent."""
    return [*(f"{100 * each['mean']:.1f}" for each in row["accuracy"].values()), *map(as_gain, row["gain"].values())]


def as_gain(gain: Mapping[str, float]) -> str:
    """A paired gain with its interval, in per cent."""
    return f"{100 * gain['mean']:+z.1f} ± {100 * gain['interval']:.1f}"


def _gain(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    mean, interval = paired_difference(values, others)
    return {"mean": mean, "interval": interval}


FIRST = "simple-cnaps"


@dataclass(frozen=True)
class MethodsConfig(Settings):
    """Which backbone, asked about what."""

    model: str
    """Folder of a model; its backbone is used."""
    root: str
    """The images: the zip or the folder."""
    source: str = "cifar-fs"
    """What the images are; the test classes are used."""
    cache: str = ""
    """Folder for the decoded images; empty: none."""
    methods: tuple[str, ...] = (
        "prototypes",
        "lda",
        "qda",
        "transductive-cnaps",
        "fine-tuning",
        PIXELS,
    )
    """What stands beside Simple CNAPS."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Support images a class."""
    episodes: Annotated[int, at_least(2)] = 600
    """Episodes for each row."""
    out: str = "benchmarks/results/cifar_fs_methods.json"
    """The result file."""


def run(config: MethodsConfig) -> int:
    """Evaluate, print, write."""
    trained = load_learner(config.model)
    learners = without_training((FIRST, *config.methods), trained.backbone, trained.config)
    data = DataConfig(source=config.source, root=config.root, cache=config.cache)
    images = open_images(data, "test", trained.config.backbone)
    results = paired(images, learners, config.shots, config.episodes)
    print(as_table(config.source, results))
    write_result(Path(config.out), config=config, seed=0, results={config.source: results})
    return 0


COMMANDS = [
    Command(
        name="run",
        config=MethodsConfig,
        run="benchmarks.methods:run",
        help="Every method that works on a backbone as it is, on the same episodes.",
        examples=("python -m benchmarks.methods run --model runs/cifar-fs/pretrain/model --root cifar-100.zip",),
    )
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.methods", COMMANDS))
