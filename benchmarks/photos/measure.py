"""One domain's episodes: every head on the features of a frozen backbone, the same tasks for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.photos.domains import Domain
from benchmarks.photos.head import Answer, Head
from benchmarks.timing import in_turns
from fewshot_film.classifier.calibration import calibration_error
from fewshot_film.episodes import EpisodeSampler, Plan, fingerprint
from fewshot_film.run.results import mean_and_interval

FEW, ALL = 5, 0
"""Classes of an episode: five, or all that a domain has."""
STRANGERS = 5
"""Further classes whose queries belong to none of an episode's, at most."""


@dataclass(frozen=True)
class Cell:
    """Tasks of one kind."""

    way: int
    """Classes; `ALL` for those of the whole domain."""
    shot: int
    """Support images per class."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{'all classes' if self.way == ALL else f'{self.way}-way'}, {self.shot}-shot"


@dataclass(frozen=True)
class Task:
    """One episode on features."""

    support: Tensor
    """``(N, D)``."""
    labels: Tensor
    """``(N,)``."""
    queries: Tensor
    """``(M, D)``, of the episode's classes."""
    truth: Tensor
    """``(M,)``."""
    strangers: Tensor
    """``(S, D)``: queries of other classes of the domain."""
    outsiders: Tensor
    """``(O, D)``: images of other domains."""


class Tasks:
    """Endless tasks of one kind; number i is the same for every backbone and head."""

    def __init__(self, domain: Domain, cell: Cell, query: int) -> None:
        classes = len(domain.images.class_names)
        self.way = classes if cell.way == ALL else cell.way
        self.sampler = EpisodeSampler(
            domain.images, min(classes, self.way + STRANGERS), cell.shot, query, split="photos"
        )

    def split(self, index: int) -> tuple[Plan, np.ndarray]:
        """The plan of task ``index``, of its own classes, and its strangers: places in the domain's images."""
        plan = self.sampler.plan(index)
        mine, asked = plan.support_labels < self.way, plan.query_labels < self.way
        own = Plan(
            classes=plan.classes[: self.way],
            support=plan.support[mine],
            support_labels=plan.support_labels[mine],
            query=plan.query[asked],
            query_labels=plan.query_labels[asked],
        )
        return own, plan.query[~asked]

    def task(self, index: int, features: Tensor, outsiders: Tensor | None = None) -> Task:
        """Task ``index`` on features ``(N, D)`` of all images of the domain, and those of images of other domains."""
        plan, strangers = self.split(index)
        return Task(
            features[plan.support],
            torch.from_numpy(plan.support_labels),
            features[plan.query],
            torch.from_numpy(plan.query_labels),
            features[strangers],
            features[:0] if outsiders is None else outsiders,
        )


def why_left_out(domain: Domain, cell: Cell, query: int) -> str:
    """A sentence where a domain has too few classes or images for such tasks; empty where it has enough."""
    sizes, names = domain.images.class_sizes, domain.images.class_names
    if cell.way > len(names):
        return f"{domain.name}, {cell.name}: it has {len(names)} classes"
    smallest = int(np.argmin(sizes))
    if sizes[smallest] < cell.shot + query:
        return (
            f"{domain.name}, {cell.name}: class '{names[smallest]}' has {sizes[smallest]} images, and {cell.shot} to "
            f"learn from with {query} to ask about need {cell.shot + query}"
        )
    return ""


@dataclass
class Tally:
    """What one head answered over the tasks of a cell."""

    right: list[int] = field(default_factory=list)
    asked: int = 0
    probabilities: list[Tensor] = field(default_factory=list)
    truth: list[Tensor] = field(default_factory=list)
    members: list[Tensor] = field(default_factory=list)
    strangers: list[Tensor] = field(default_factory=list)
    outsiders: list[Tensor] = field(default_factory=list)

    def add(self, task: Task, answer: Answer, *, judge: bool) -> None:
        """Count one task.

        Args:
            task: the task.
            answer: what was fitted to its support set.
            judge: whether strangers are asked about too.
        """
        of_queries = answer(task.queries)
        self.right.append(int((of_queries.labels == task.truth).sum()))
        self.asked = len(task.truth)
        if of_queries.probabilities is not None:
            self.probabilities.append(of_queries.probabilities)
            self.truth.append(task.truth)
        if judge and of_queries.turned_away is not None:
            self.members.append(of_queries.turned_away)
            for rows, tally in ((task.strangers, self.strangers), (task.outsiders, self.outsiders)):
                if len(rows):
                    tally.append(cast(Tensor, answer(rows).turned_away))

    def record(self) -> dict[str, Any]:
        """Accuracy with its interval, calibration error and shares turned away; None for what a head does not tell.

        The right answers of every task are written in one text: a list would take a line for each number.
        """
        mean, interval = mean_and_interval(self.shares)
        return {
            "mean": mean,
            "interval": interval,
            "right": " ".join(map(str, self.right)),
            "asked": self.asked,
            "calibration_error": self._calibration(),
            "members_turned_away": _share(self.members),
            "strangers_turned_away": _share(self.strangers),
            "outsiders_turned_away": _share(self.outsiders),
        }

    @property
    def shares(self) -> list[float]:
        """Accuracy of every task."""
        return [right / self.asked for right in self.right]

    def _calibration(self) -> float | None:
        if not self.probabilities:
            return None
        return calibration_error(torch.cat(self.probabilities).numpy(), torch.cat(self.truth).numpy()).error


def _share(parts: Sequence[Tensor]) -> float | None:
    return float(torch.cat(list(parts)).double().mean()) if parts else None


def accuracies(record: Mapping[str, Any]) -> list[float]:
    """Accuracy of every task, from what `Tally.record` wrote."""
    return [int(right) / record["asked"] for right in record["right"].split()]


def measure(
    head: Head,
    domain: Domain,
    features: np.ndarray,
    cell: Cell,
    *,
    query: int,
    episodes: int,
    judged: int,
    outsiders: np.ndarray | None = None,
) -> Tally:
    """What a head makes of the tasks of a cell.

    Args:
        head: the head.
        domain: the images.
        features: of all of them, ``(N, D)``.
        cell: with all classes of the domain only the accuracy is measured: there are no strangers.
        query: query images per class.
        episodes: tasks.
        judged: tasks, the first ones, on which calibration and rejection are measured too, which takes longer.
        outsiders: features of images of other domains, ``(O, D)``.
    """
    rows, tasks, tally = torch.from_numpy(features), Tasks(domain, cell, query), Tally()
    others = None if outsiders is None else torch.from_numpy(outsiders)
    for index in range(episodes):
        task, judge = tasks.task(index, rows, others), index < judged and cell.way != ALL
        tally.add(task, head(task.support, task.labels, judge=judge), judge=judge)
    return tally


def episodes_digest(domain: Domain, cell: Cell, query: int, episodes: int) -> str:
    """Fingerprint of the tasks of a cell."""
    return fingerprint(Tasks(domain, cell, query).sampler, episodes)


def head_milliseconds(heads: Mapping[str, Head], task: Task, rounds: int = 9) -> Iterator[tuple[str, float, float]]:
    """Processor time of one fit and of one query of every head, medians of some rounds, in turns."""
    fits = in_turns({name: partial(head, task.support, task.labels) for name, head in heads.items()}, rounds)
    fitted = {name: head(task.support, task.labels) for name, head in heads.items()}
    asks = in_turns({name: partial(answer, task.queries[:1]) for name, answer in fitted.items()}, rounds)
    for name in heads:
        yield name, 1000 * float(np.median(fits[name])), 1000 * float(np.median(asks[name]))
