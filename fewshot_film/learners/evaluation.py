"""Accuracy of a learner over many episodes, spread over processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import torch
from tqdm import tqdm

from fewshot_film.episodes import Episode, Episodes
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.training import accuracy
from fewshot_film.run.loop import evaluating


@torch.no_grad()
def episode_accuracy(learner: Learner, episode: Episode) -> float:
    """Share of the episode's query pictures that the learner gets right."""
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
        processes: how many to spread over; 0 for one a core. On an accelerator always this process alone.
        device: where to compute.
        progress: a title for a progress bar; empty for none.

    Raises:
        ValueError: ``num_episodes`` or ``processes`` out of range.
    """
    if num_episodes < 1 or processes < 0:
        raise ValueError(
            f"num_episodes is {num_episodes} and processes {processes}; expected at least 1, and at least 0"
        )
    device = torch.device(device)
    processes = min(processes or num_cores(), num_episodes) if device.type == "cpu" else 1
    with (
        evaluating(learner),
        one_thread(device),
        _accuracies(learner, episodes, num_episodes, processes, device) as values,
    ):
        bar = tqdm(values, progress, num_episodes, unit="episode", disable=None if progress else True)
        return list(bar)


@contextmanager
def _accuracies(
    learner: Learner, episodes: Episodes, num_episodes: int, processes: int, device: torch.device
) -> Iterator[Iterator[float]]:
    if processes == 1:
        yield (episode_accuracy(learner, episodes[index].to(device)) for index in range(num_episodes))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _start_worker, (learner, episodes)) as pool:
        yield pool.map(_work, range(num_episodes), chunksize=max(1, num_episodes // (8 * processes)))


_at_work: dict[str, tuple[Learner, Episodes]] = {}


def _start_worker(learner: Learner, episodes: Episodes) -> None:
    torch.set_num_threads(1)
    _at_work["job"] = (learner, episodes)


def _work(index: int) -> float:
    learner, episodes = _at_work["job"]
    return episode_accuracy(learner, episodes[index])


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """One thread for operators on the CPU inside the block: sums are added up in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if device.type == "cpu" else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
