"""Accuracy of a learner over many episodes, spread over processes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from fewshot_film.episodes import Episode, Episodes
from fewshot_film.errors import InvalidValueError
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.objectives import accuracy
from fewshot_film.run.loop import evaluating
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores, run_jobs


@torch.no_grad()
def episode_accuracy(learner: Learner, episode: Episode) -> float:
    """Share of the episode's query images that the learner gets right."""
    return float(accuracy(learner(episode), episode.query_labels))


def evaluate(
    learner: Learner,
    episodes: Episodes,
    num_episodes: int,
    *,
    processes: int = 1,
    device: torch.device | str = "cpu",
    progress: str = "",
) -> list[float]:
    """Accuracy on each of the episodes 0 to ``num_episodes - 1``.

    Every episode is worked on by one thread, so that the values are the same for any number of processes.

    Args:
        learner: put into evaluation mode, and back.
        episodes: the episodes.
        num_episodes: at least 1.
        processes: how many to spread over; 0 for one per core. On an accelerator always this process alone.
        device: where to compute.
        progress: a title for a progress bar; empty for none.

    Raises:
        ValueError: ``num_episodes`` or ``processes`` out of range.
        ProcessLostError: one of the processes was killed.
    """
    if num_episodes < 1 or processes < 0:
        raise InvalidValueError(
            f"num_episodes is {num_episodes} and processes {processes}; expected at least 1, and at least 0"
        )
    device = torch.device(device)
    processes = min(processes or available_cores(), num_episodes) if device.type == "cpu" else 1
    size = max(1, num_episodes // (8 * processes)) if processes > 1 else 1
    numbers = [range(first, min(first + size, num_episodes)) for first in range(0, num_episodes, size)]
    job = partial(_accuracies, learner, episodes, device)
    results = run_jobs(job, numbers, processes) if device.type == "cpu" else map(job, numbers)
    bar = tqdm(desc=progress, total=num_episodes, unit="episode", disable=hides_bars() or not progress)
    with evaluating(learner), bar:
        return _in_order(results, num_episodes, bar)


def _in_order(results: Iterable[tuple[range, list[float]]], count: int, bar: Any) -> list[float]:
    """``count`` values, from parts with their numbers that come in any order; a bar shows how far they are."""
    values = [0.0] * count
    for done, part in results:
        values[done.start : done.stop] = part
        bar.update(len(done))
    return values


def _accuracies(
    learner: Learner, episodes: Episodes, device: torch.device, numbers: range
) -> tuple[range, list[float]]:
    """Accuracy on some of the episodes, with their numbers."""
    return numbers, [episode_accuracy(learner, episodes[index].to(device)) for index in numbers]
