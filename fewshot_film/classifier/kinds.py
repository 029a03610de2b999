"""What other kinds of images tell of a learner: its temperature, and how far members lie from their class.

With one image per class nothing can be held out, so both must be known beforehand; with more, they are what a task's
own images are weighed against. They are measured on episodes of several kinds of images (data sets, domains), which
all count the same, so that the next kind is one more of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fewshot_film.classifier.calibration import JEFFREYS, FittedHead, Measured, fit_temperature
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.seeding import generator

NUM_QUANTILES = 100
"""Quantiles of the members' distances that are kept."""
_DIGITS = 5


@dataclass(frozen=True)
class Judged:
    """What a learner said of the queries of some episodes of one kind and shot."""

    logits: Tensor
    """``(M, way)``."""
    labels: Tensor
    """``(M,)`` in ``[0, way)``."""
    nearest: Tensor
    """``(M,)``: distances to the nearest class."""


@dataclass(frozen=True)
class Plan:
    """Positions of the images of an episode."""

    support: Tensor
    """``(way * shot,)``."""
    support_labels: Tensor
    """``(way * shot,)`` in ``[0, way)``."""
    query: Tensor
    """``(way * query,)``."""
    query_labels: Tensor
    """``(way * query,)`` in ``[0, way)``."""


def plans(labels: Tensor, way: int, shot: int, query: int, episodes: int, draw: torch.Generator) -> Iterator[Plan]:
    """Episodes of classes drawn without replacement, and images of each likewise.

    Args:
        labels: ``(N,)`` integers.
        way: classes of an episode; all, where there are fewer.
        shot: support images per class.
        query: query images per class.
        episodes: how many.
        draw: decides them.

    Raises:
        InvalidValueError: fewer than two classes have ``shot + query`` images.
    """
    numbers, counts = labels.unique(return_counts=True)
    members = [(labels == number).nonzero()[:, 0] for number in numbers[counts >= shot + query]]
    if len(members) < 2:
        raise InvalidValueError(
            f"{len(members)} of {len(numbers)} classes have {shot} + {query} images; expected at least two: give more "
            "images, or ask for fewer support or query images"
        )
    way = min(way, len(members))
    for _ in range(episodes):
        chosen = torch.randperm(len(members), generator=draw)[:way].tolist()
        drawn = [members[one][torch.randperm(len(members[one]), generator=draw)] for one in chosen]
        yield Plan(
            torch.cat([rows[:shot] for rows in drawn]),
            torch.arange(way).repeat_interleave(shot),
            torch.cat([rows[shot : shot + query] for rows in drawn]),
            torch.arange(way).repeat_interleave(query),
        )


def judge_features(
    fit_head: Callable[[Tensor, Tensor], FittedHead], features: Tensor, episodes: Iterator[Plan]
) -> Judged:
    """Fit a head to the support images of every episode and ask it about the queries.

    Args:
        fit_head: support features ``(N, D)`` and labels ``(N,)`` to a head.
        features: of all images of one kind, ``(images, D)``.
        episodes: see :func:`plans`.
    """
    logits, labels, nearest = [], [], []
    for plan in episodes:
        head = fit_head(features[plan.support], plan.support_labels)
        logits.append(head.logits(features[plan.query]))
        nearest.append(head.nearest(features[plan.query]))
        labels.append(plan.query_labels)
    return Judged(torch.cat(logits), torch.cat(labels), torch.cat(nearest))


def measure_features(
    fit_head: Callable[[Tensor, Tensor], FittedHead],
    kinds: Mapping[str, tuple[Tensor, Tensor]],
    shots: Sequence[int] = (1, 2, 5, 10, 20),
    *,
    way: int = 5,
    query: int = 10,
    episodes: int = 200,
    seed: int = 0,
) -> Measured:
    """What is kept with a model whose features do not depend on the task.

    Args:
        fit_head: see :func:`judge_features`; :meth:`Adapter.fit_head` of a learner's adapter is one.
        kinds: by name, features ``(images, D)`` and labels ``(images,)``. A kind whose classes have too few images
            for a shot is left out there.
        shots: images per class.
        way: classes of an episode.
        query: query images per class.
        episodes: of each kind and shot.
        seed: of the episodes.

    Raises:
        InvalidValueError: a shot is too large for every kind.
    """
    judged: dict[int, dict[str, Judged]] = {shot: {} for shot in shots}
    for shot, of_shot in judged.items():
        for name, (features, labels) in kinds.items():
            if int((labels.unique(return_counts=True)[1] >= shot + query).sum()) < 2:
                continue
            drawn = plans(labels, way, shot, query, episodes, generator(seed, "kinds", name, shot))
            of_shot[name] = judge_features(fit_head, features, drawn)
    return measure_kinds(judged)


def measure_kinds(judged: Mapping[int, Mapping[str, Judged]]) -> Measured:
    """What is kept with the model, from judged queries by shot and kind.

    The temperature of a shot is the geometric mean of those that suit each kind best; the distances are those of an
    even mixture of the kinds.

    Raises:
        InvalidValueError: a shot has no kind.
    """
    for shot, kinds in judged.items():
        if not kinds:
            raise InvalidValueError(f"{shot}-shot has no kind of images; expected at least one")
    return Measured(
        {float(shot): _shared_temperature(kinds) for shot, kinds in judged.items()},
        JEFFREYS,
        {float(shot): _shared_quantiles(kinds) for shot, kinds in judged.items()},
    )


def _shared_temperature(kinds: Mapping[str, Judged]) -> float:
    logs = [math.log(fit_temperature(one.logits, one.labels)) for one in kinds.values()]
    return round(math.exp(sum(logs) / len(logs)), _DIGITS)


def _shared_quantiles(kinds: Mapping[str, Judged]) -> tuple[float, ...]:
    places = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES
    fine = (np.arange(10 * NUM_QUANTILES) + 0.5) / (10 * NUM_QUANTILES)
    each = [np.quantile(one.nearest.double().cpu().numpy(), fine) for one in kinds.values()]
    return tuple(np.quantile(np.concatenate(each), places).round(_DIGITS).tolist())
