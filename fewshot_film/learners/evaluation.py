"""Accuracy of a learner over many episodes, spread over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fewshot_film.data import ImageSet
from fewshot_film.episodes import (
    Episode,
    EpisodeList,
    Episodes,
    EpisodeSampler,
    HoldOutSampler,
    MetaDatasetSampler,
    Sampler,
)
from fewshot_film.errors import InvalidValueError
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.local_descriptors import LocalDescriptors
from fewshot_film.learners.objectives import accuracy
from fewshot_film.learners.task_runners import (
    BATCH,
    CachedFeatures,
    TaskRunner,
    features_of,
    is_head_on_features,
    plan_accuracies,
)
from fewshot_film.run.loop import evaluating
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores, run_jobs

MAX_CACHED = 2**30
"""Features are kept where they take at most so many bytes, in all processes together."""
_SAMPLERS = (EpisodeList, EpisodeSampler, HoldOutSampler, MetaDatasetSampler)
"""Episodes that are nothing but the images of their plans."""

Row = tuple[Episodes, int]
"""Episodes, and how many of them."""


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
        processes: how many to spread over; 0 for one per core. On an accelerator always this process alone. A script
            that asks for more than one does its work under ``if __name__ == "__main__":``, as they import it.
        device: where to compute.
        progress: a title for a progress bar; empty for none.

    Raises:
        ValueError: ``num_episodes`` or ``processes`` out of range.
        ProcessLostError: one of the processes was killed.
    """
    rows = {progress: (episodes, num_episodes)}
    ((_, values),) = evaluate_rows(learner, rows, processes=processes, device=device, progress=bool(progress))
    return values


def evaluate_rows(
    learner: Learner,
    rows: Mapping[str, Row],
    *,
    processes: int = 1,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Iterator[tuple[str, list[float]]]:
    """Names of rows and accuracies on their episodes, row by row.

    Where features depend on no support set, those of each image are computed once for all neighbouring rows that draw
    from the same images.

    Args:
        learner: put into evaluation mode while it computes.
        rows: episodes and their number, by name.
        processes: see :func:`evaluate`.
        device: where to compute.
        progress: show progress bars, with the names as titles.

    Raises:
        ValueError: a number of episodes or ``processes`` out of range.
        ProcessLostError: one of the processes was killed.
    """
    for _, count in rows.values():
        if count < 1 or processes < 0:
            raise InvalidValueError(
                f"num_episodes is {count} and processes {processes}; expected at least 1, and at least 0"
            )
    spread = _Spread(torch.device(device), processes or available_cores(), progress)
    for _, neighbours in groupby(rows.items(), lambda row: id(getattr(row[1][0], "images", row[1][0]))):
        alike = dict(neighbours)
        with evaluating(learner):
            runner = _cached_features(learner, [*alike.values()], spread)
        for name, (episodes, count) in alike.items():
            job: Job = partial(_accuracies, learner, episodes, spread.device)
            if runner is not None:
                job = partial(_accuracies_on_features, runner, cast(Sampler, episodes))
            with evaluating(learner):
                parts = spread.over(job, np.arange(count), 1 if runner is None else BATCH, name, "episode")
            yield name, [value for part in parts for value in part]


Job = Callable[[np.ndarray], Any]
"""Numbers of episodes or images to their values."""


class _Spread:
    """Spreads work over processes, and shows how far it is.

    Args:
        device: where to compute.
        processes: at least 1; on an accelerator one does everything.
        progress: show progress bars.
    """

    def __init__(self, device: torch.device, processes: int, progress: bool) -> None:
        self.device = device
        self.processes = processes if device.type == "cpu" else 1
        self.progress = progress

    def over(self, job: Job, numbers: np.ndarray, size: int, title: str, unit: str) -> list[Any]:
        """What a job returns for parts of some numbers, in their order.

        Args:
            job: travels to other processes by pickle.
            numbers: ``(n,)``.
            size: numbers in a part, at least; multiples of it where there are several processes.
            title: of the progress bar.
            unit: of the progress bar.
        """
        if self.processes > 1:
            size *= max(1, len(numbers) // (8 * self.processes * size))
        parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        numbered, jobs = partial(_numbered, job), [*enumerate(parts)]
        found = run_jobs(numbered, jobs, self.processes) if self.device.type == "cpu" else map(numbered, jobs)
        results: list[Any] = [None] * len(parts)
        with tqdm(desc=title, total=len(numbers), unit=unit, disable=hides_bars() or not self.progress) as bar:
            for number, result in found:
                results[number] = result
                bar.update(len(parts[number]))
        return results


def _numbered(job: Job, part: tuple[int, np.ndarray]) -> tuple[int, Any]:
    number, numbers = part
    return number, job(numbers)


def _cached_features(learner: Learner, rows: Sequence[Row], spread: _Spread) -> CachedFeatures | None:
    """Features of all images that episodes over one set take; None where they cannot, or should not, be kept."""
    if not is_head_on_features(learner) or any(type(episodes) not in _SAMPLERS for episodes, _ in rows):
        return None
    samplers = [(cast(Sampler, episodes), count) for episodes, count in rows]
    plans = (sampler.plan(index) for sampler, count in samplers for index in range(count))
    used = np.unique(np.concatenate([part for plan in plans for part in (plan.support, plan.query)]))
    images = samplers[0][0].images
    copies = len(used) * spread.processes
    if isinstance(learner, LocalDescriptors) and copies * _size_of_one(learner, images, spread) > MAX_CACHED:
        return None
    job = partial(features_of, learner, images, spread.device)
    parts: list[Tensor] = spread.over(job, used, learner.config.chunk, f"features of {images.name}", "image")
    places = torch.full((len(images),), -1)
    places[torch.from_numpy(used)] = torch.arange(len(used))
    return CachedFeatures(learner, torch.cat(parts), places)


def _size_of_one(learner: LocalDescriptors, images: ImageSet, spread: _Spread) -> int:
    """Bytes of the features of one image."""
    return features_of(learner, images, spread.device, np.zeros(1, np.int64)).nbytes


def _accuracies(learner: Learner, episodes: Episodes, device: torch.device, numbers: np.ndarray) -> list[float]:
    return [episode_accuracy(learner, episodes[index].to(device)) for index in numbers.tolist()]


def _accuracies_on_features(runner: TaskRunner, episodes: Sampler, numbers: np.ndarray) -> list[float]:
    return plan_accuracies(runner, [episodes.plan(index) for index in numbers.tolist()])
