"""Learners on the same episodes: accuracies, and the paired gain of the first over each of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler, fingerprint
from fewshot_film.learners import Learner
from fewshot_film.learners.task_runners import task_runner
from fewshot_film.run.results import paired_difference, summary


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
            "gain": {name: paired_gain(values[first], values[name]) for name in others},
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


def paired_gain(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Mean of the differences, and half the width of its 95 % interval."""
    mean, interval = paired_difference(values, others)
    return {"mean": mean, "interval": interval}
