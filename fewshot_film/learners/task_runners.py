"""How a learner answers about the episodes of one set of images, in the cheapest way that gives the same answers.

A head on features that no support set changes needs those of every image once, however many episodes it is in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.data import ImageSet
from fewshot_film.episodes import Plan
from fewshot_film.learners.film_learner import FilmFeatures, FilmLearner
from fewshot_film.learners.learner import FixedFeatures, Learner
from fewshot_film.learners.objectives import accuracy
from fewshot_film.learners.prototypes import PrototypeHead
from fewshot_film.learners.support import class_means
from fewshot_film.learners.transductive import TransductiveLearner
from fewshot_film.learners.transductive_cnaps import TransductiveCNAPS

BATCH = 20
"""Episodes that transductive heads solve at once."""


class TaskRunner(ABC):
    """Learns from the support set of a plan and answers about its queries; made for the images of one set."""

    @abstractmethod
    def logits(self, plan: Plan) -> Tensor:
        """``(M, way)`` for the queries of a plan."""

    def logits_of(self, plans: Sequence[Plan]) -> Iterator[Tensor]:
        """The logits of several plans, in their order."""
        return map(self.logits, plans)


class FullLearner(TaskRunner):
    """A learner that sees every episode anew."""

    def __init__(self, learner: Learner, images: ImageSet, device: torch.device) -> None:
        self.learner = learner.to(device).eval()
        self.images = images
        self.device = device

    @torch.no_grad()
    def logits(self, plan: Plan) -> Tensor:
        """See :meth:`TaskRunner.logits`."""
        support, queries = (_floats(self.images, part).to(self.device) for part in (plan.support, plan.query))
        labels = torch.from_numpy(plan.support_labels).to(self.device)
        return self.learner.adapt(support, labels)(queries)


class CachedFeatures(TaskRunner):
    """A head on features that no support set changes: those of every image are computed once.

    Args:
        learner: see :func:`is_head_on_features`; put into evaluation mode.
        features: of images, ``(n, D)``.
        places: which row is that of each image of the set, ``(N,)``; None: the rows are those of all images.
    """

    def __init__(self, learner: FilmFeatures | FixedFeatures, features: Tensor, places: Tensor | None = None) -> None:
        self.learner = learner.eval()
        self.features = features
        self.places = places

    @torch.no_grad()
    def logits(self, plan: Plan) -> Tensor:
        """See :meth:`TaskRunner.logits`."""
        support, queries = (self._rows(torch.from_numpy(part)) for part in (plan.support, plan.query))
        return self.learner.fit_head(support, torch.from_numpy(plan.support_labels).to(support.device))(queries)

    @torch.no_grad()
    def logits_of(self, plans: Sequence[Plan]) -> Iterator[Tensor]:
        """See :meth:`TaskRunner.logits_of`; transductive heads solve those of equal size together."""
        if not isinstance(self.learner, TransductiveLearner):
            yield from super().logits_of(plans)
            return
        for _, group in groupby(plans, _sizes):
            alike = list(group)
            for start in range(0, len(alike), BATCH):
                support, labels, queries = (
                    torch.from_numpy(np.stack([getattr(plan, part) for plan in alike[start : start + BATCH]]))
                    for part in ("support", "support_labels", "query")
                )
                members = F.one_hot(labels).to(self.features.device)
                yield from self.learner.classify(self._rows(support), members, self._rows(queries))

    def _rows(self, numbers: Tensor) -> Tensor:
        rows = numbers if self.places is None else self.places[numbers]
        return self.features[rows.to(self.features.device)]


class Pixels(TaskRunner):
    """The nearest class mean of the pixels themselves: what a learner has to beat."""

    def __init__(self, images: ImageSet) -> None:
        chunks = np.split(np.arange(len(images)), range(256, len(images), 256))
        self.pixels = torch.cat([_floats(images, chunk).flatten(1) for chunk in chunks])

    def logits(self, plan: Plan) -> Tensor:
        """See :meth:`TaskRunner.logits`."""
        means = class_means(self.pixels[plan.support], torch.from_numpy(plan.support_labels))
        return PrototypeHead(means, None)(self.pixels[plan.query])


_ADAPTS = {FixedFeatures.adapt, FilmLearner.adapt, TransductiveCNAPS.adapt}
_FORWARDS = {Learner.forward, FilmLearner.forward}


def is_head_on_features(learner: Learner) -> TypeGuard[FilmFeatures | FixedFeatures]:
    """Whether a learner is a head on features that no support set changes.

    In evaluation mode, that is; its backbone has to compute each image by itself there, as networks do. A class with an
    ``adapt`` or a ``forward`` of its own may do more.
    """
    kind = type(learner)
    if kind.adapt not in _ADAPTS or kind.forward not in _FORWARDS:
        return False
    return isinstance(learner, FixedFeatures) or (isinstance(learner, FilmFeatures) and not learner.has_film)


def plan_accuracies(runner: TaskRunner, plans: Sequence[Plan]) -> list[float]:
    """Share of the queries that get their class, for each of some plans."""
    logits = runner.logits_of(plans)
    return [
        float(accuracy(found, torch.from_numpy(plan.query_labels).to(found.device)))
        for plan, found in zip(plans, logits, strict=True)
    ]


def task_runner(learner: Learner | None, images: ImageSet, device: torch.device) -> TaskRunner:
    """How a learner answers over some images in the cheapest way; None is raw pixels."""
    if learner is None:
        return Pixels(images)
    if is_head_on_features(learner):
        return CachedFeatures(learner, features_of_set(learner, images, device))
    return FullLearner(learner, images, device)


def features_of_set(learner: FilmFeatures | FixedFeatures, images: ImageSet, device: torch.device) -> Tensor:
    """The unadapted features of all images of a set, ``(N, D)``."""
    return features_of(learner.to(device).eval(), images, device, np.arange(len(images)))


@torch.no_grad()
def features_of(
    learner: FilmFeatures | FixedFeatures, images: ImageSet, device: torch.device, numbers: np.ndarray
) -> Tensor:
    """The unadapted features of some images of a set, ``(n, D)``, by a learner on the device."""
    compute = partial(learner.features, modulations=None) if isinstance(learner, FilmFeatures) else learner.features
    size = learner.config.chunk
    chunks = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return torch.cat([compute(_floats(images, chunk).to(device)) for chunk in chunks])


def _sizes(plan: Plan) -> tuple[int, ...]:
    """What plans have in common whose logits can be stacked."""
    return len(plan.classes), len(plan.support), len(plan.query)


def _floats(images: ImageSet, numbers: np.ndarray) -> Tensor:
    """Images ``(N, C, H, W)`` in [0, 1]."""
    return images.get(numbers).float().div_(255)
