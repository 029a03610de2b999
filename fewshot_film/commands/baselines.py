"""What a comparison compares: trained models, learners on a backbone as it is, and raw pixels."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import Plan
from fewshot_film.errors import ConfigError
from fewshot_film.extras import MissingExtraError
from fewshot_film.film import remove_film
from fewshot_film.learners import CONFIGS, Learner, build_learner
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.film_learner import FilmFeatures, FilmLearner
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.prototypes import PrototypeHead
from fewshot_film.learners.registry import LEARNERS
from fewshot_film.learners.support import class_means

log = logging.getLogger(__name__)

PIXELS = "pixels"

_FIXED_FEATURES = tuple(
    method
    for method, config in CONFIGS.items()
    if issubclass(LEARNERS[config], FilmLearner) and not LEARNERS[config].transductive
)
"""Methods that are a head on features which no support set changes, once there is no FiLM."""


Fit = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
"""Rows ``(N, ...)`` and labels ``(N,)`` of a support set to what turns rows of queries into logits."""


@dataclass(frozen=True)
class TaskRunner:
    """Learns from the support set of a plan and answers about its queries; made for the images of one set."""

    rows: Callable[[np.ndarray], Tensor]
    """Numbers of images to what is learned from and asked about: the images themselves, or features of them."""
    fit: Fit
    device: torch.device

    @torch.no_grad()
    def logits(self, plan: Plan) -> Tensor:
        """``(M, way)`` for the queries of a plan."""
        labels = torch.from_numpy(plan.support_labels).to(self.device)
        return self.fit(self.rows(plan.support), labels)(self.rows(plan.query))


class FullLearner(TaskRunner):
    """A learner that sees every split anew."""

    def __init__(self, learner: Learner, images: ImageSet, device: torch.device) -> None:
        super().__init__(lambda numbers: _floats(images, numbers).to(device), learner.to(device).eval().adapt, device)


class CachedFeatures(TaskRunner):
    """A head on features that no support set changes: they are computed once for all splits."""

    def __init__(self, learner: FilmFeatures | FixedFeatures, images: ImageSet, device: torch.device) -> None:
        features = features_of_set(learner.to(device).eval(), images, device)
        super().__init__(features.__getitem__, learner.fit_head, device)


@torch.no_grad()
def features_of_set(learner: FilmFeatures | FixedFeatures, images: ImageSet, device: torch.device) -> Tensor:
    """The unadapted features of all images of a set, ``(N, D)``."""
    compute = partial(learner.features, modulations=None) if isinstance(learner, FilmFeatures) else learner.features
    return torch.cat([compute(chunk.to(device)) for chunk in _chunks(images, learner.config.chunk)])


class Pixels(TaskRunner):
    """The nearest class mean of the pixels themselves: what a learner has to beat."""

    def __init__(self, images: ImageSet) -> None:
        pixels = torch.cat([chunk.flatten(1) for chunk in _chunks(images, 256)])
        super().__init__(pixels.__getitem__, _nearest_mean, pixels.device)


def _nearest_mean(rows: Tensor, labels: Tensor) -> PrototypeHead:
    return PrototypeHead(class_means(rows, labels), None)


def load_models(names: Sequence[str]) -> dict[str, Learner]:
    """Trained learners by name.

    Raises:
        ConfigError: there is no name, or one is given twice.
        ModelNotFoundError: nothing has that name.
    """
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"models are {', '.join(names) or 'none'}; expected at least one, each once")
    return {name: load_pretrained(name).learner for name in names}


def without_training(names: Sequence[str], backbone: Backbone, template: LearnerConfig) -> dict[str, Learner | None]:
    """Learners that have nothing to train beside the backbone, by name; None stands for raw pixels.

    Only what is asked for is built, so that a package which another method needs may be missing.

    Args:
        names: which; empty for all whose features no support set changes, without those that cannot run here.
        backbone: every learner gets a copy, without FiLM.
        template: settings that say what the backbone is.

    Raises:
        ConfigError: no learner has that name, or it has parts that must be trained.
        MissingExtraError: a learner that is named needs a package that is not installed.
    """
    if not names:
        return {PIXELS: None, **_that_run_here(_FIXED_FEATURES, backbone, template)}
    return {name: None if name == PIXELS else _named(name, backbone, template) for name in names}


def _named(name: str, backbone: Backbone, template: LearnerConfig) -> Learner:
    learner = _build(name, backbone, template) if name in CONFIGS else None
    if learner is not None and not _has_trained_parts(learner):
        return learner
    why = "is unknown" if learner is None else "has parts that must be trained: give a trained model in --models"
    known = ", ".join([PIXELS, *_that_run_here(CONFIGS, backbone, template)])
    raise ConfigError(f"learner {name!r} {why}; learners that need no training: {known}")


def _that_run_here(methods: Iterable[str], backbone: Backbone, template: LearnerConfig) -> dict[str, Learner]:
    """Those of some methods that have nothing to train; one line names those that miss a package."""
    found: dict[str, Learner] = {}
    missing: dict[str, MissingExtraError] = {}
    for method in methods:
        try:
            learner = _build(method, backbone, template)
        except MissingExtraError as error:
            missing[method] = error
        else:
            if not _has_trained_parts(learner):
                found[method] = learner
    if missing:
        log.info("left out %s: %s", ", ".join(missing), next(iter(missing.values())))
    return found


def _build(method: str, backbone: Backbone, template: LearnerConfig) -> Learner:
    plain = copy.deepcopy(backbone)
    remove_film(plain)
    return build_learner(_as_it_is(CONFIGS[method], template), plain)


def _has_trained_parts(learner: Learner) -> bool:
    """Whether the learner has weights of its own beside the backbone's."""
    shared = {id(parameter) for parameter in learner.backbone.parameters()}
    return any(one.requires_grad and id(one) not in shared for one in learner.parameters())


def task_runner(learner: Learner | None, images: ImageSet, device: torch.device) -> TaskRunner:
    """How a learner answers over some images in the cheapest way; None is raw pixels."""
    if learner is None:
        return Pixels(images)
    if isinstance(learner, FixedFeatures) or (isinstance(learner, FilmFeatures) and not learner.has_film):
        return CachedFeatures(learner, images, device)
    return FullLearner(learner, images, device)


def _as_it_is(kind: type[LearnerConfig], template: LearnerConfig) -> LearnerConfig:
    """Default settings of a method, without FiLM where it has a choice."""
    settings: dict[str, Any] = {"backbone": template.backbone}
    if any(field.name == "adaptation" for field in fields(kind)):
        settings["adaptation"] = "none"
    return kind(**settings)


def _chunks(images: ImageSet, chunk: int) -> Iterator[Tensor]:
    """All images in order, float in [0, 1]."""
    for start in range(0, len(images), chunk):
        yield _floats(images, np.arange(start, min(start + chunk, len(images))))


def _floats(images: ImageSet, numbers: np.ndarray) -> Tensor:
    """Images ``(N, C, H, W)`` in [0, 1]."""
    return images.get(numbers).float().div_(255)
