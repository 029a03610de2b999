"""What a comparison compares: trained models, learners on a backbone as it is, and raw pixels."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import Plan, build_episode
from fewshot_film.film import remove_film
from fewshot_film.learners import CONFIGS, Learner, build_learner
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.prototypes import PrototypeHead, class_means
from fewshot_film.run.errors import ConfigError

PIXELS = "pixels"


class Contender(Protocol):
    """Something that learns from a support set and answers about queries."""

    def logits(self, plan: Plan) -> Tensor:
        """``(M, way)`` for the queries of a plan over the pictures that this was made for."""
        ...


class Whole:
    """A learner that sees every split anew."""

    def __init__(self, learner: Learner, images: ImageSet, device: torch.device) -> None:
        self.learner = learner.to(device).eval()
        self.images = images
        self.device = device

    @torch.no_grad()
    def logits(self, plan: Plan) -> Tensor:
        """See :class:`Contender`."""
        return cast(Tensor, self.learner(build_episode(self.images, plan, 0).to(self.device)))


class OnFeatures:
    """A head on features that no support set changes: they are computed once for all splits."""

    def __init__(self, learner: FilmLearner, images: ImageSet, device: torch.device) -> None:
        self.learner = learner.to(device).eval()
        with torch.no_grad():
            self.features = torch.cat(
                [learner.features(chunk.to(device), None) for chunk in _pictures(images, learner.config.chunk)]
            )

    @torch.no_grad()
    def logits(self, plan: Plan) -> Tensor:
        """See :class:`Contender`."""
        labels = torch.from_numpy(plan.support_labels).to(self.features.device)
        head = self.learner.fit_head(self.features[plan.support], labels)
        return head(self.features[plan.query])


class Pixels:
    """The nearest class mean of the pixels themselves: what a learner has to beat."""

    def __init__(self, images: ImageSet) -> None:
        self.pixels = torch.cat([chunk.flatten(1) for chunk in _pictures(images, 256)])

    def logits(self, plan: Plan) -> Tensor:
        """See :class:`Contender`."""
        means = class_means(self.pixels[plan.support], torch.from_numpy(plan.support_labels))
        return PrototypeHead(means, None)(self.pixels[plan.query])


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

    Args:
        names: which; empty for all that take no gradient steps.
        backbone: every learner gets a copy, without FiLM.
        template: settings that say what the backbone is.

    Raises:
        ConfigError: no learner has that name, or it has parts that must be trained.
    """
    found: dict[str, Learner | None] = {PIXELS: None}
    for method, kind in CONFIGS.items():
        plain = copy.deepcopy(backbone)
        remove_film(plain)
        learner = build_learner(_as_it_is(kind, template), plain)
        shared = {id(parameter) for parameter in plain.parameters()}
        if not any(one.requires_grad and id(one) not in shared for one in learner.parameters()):
            found[method] = learner
    for name in names:
        if name not in found:
            why = "has parts that must be trained: name a model of it in --models" if name in CONFIGS else "is unknown"
            raise ConfigError(f"learner {name!r} {why}; those that work on a backbone as it is: {', '.join(found)}")
    return {name: found[name] for name in names} or {
        name: learner for name, learner in found.items() if learner is None or _has_fixed_features(learner)
    }


def contender(learner: Learner | None, images: ImageSet, device: torch.device) -> Contender:
    """How a learner answers over some pictures in the cheapest way; None is raw pixels."""
    if learner is None:
        return Pixels(images)
    if _has_fixed_features(learner):
        return OnFeatures(cast(FilmLearner, learner), images, device)
    return Whole(learner, images, device)


def _has_fixed_features(learner: Learner) -> bool:
    """Whether the learner is a head on features that no support set changes."""
    return isinstance(learner, FilmLearner) and learner.config.adaptation == "none" and not learner.transductive


def _as_it_is(kind: type[LearnerConfig], template: LearnerConfig) -> LearnerConfig:
    """Default settings of a method, without FiLM where it has a choice."""
    settings: dict[str, Any] = {"backbone": template.backbone}
    if any(field.name == "adaptation" for field in fields(kind)):
        settings["adaptation"] = "none"
    return kind(**settings)


def _pictures(images: ImageSet, chunk: int) -> Iterator[Tensor]:
    """All pictures in order, float in [0, 1]."""
    for start in range(0, len(images), chunk):
        yield images.get(np.arange(start, min(start + chunk, len(images)))).float().div_(255)
