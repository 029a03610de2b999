"""What a comparison compares: trained models, learners on a backbone as it is, and raw pixels."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.errors import ConfigError, UserError, suggestion
from fewshot_film.extras import MissingExtraError
from fewshot_film.film import remove_film
from fewshot_film.learners import CONFIGS, Learner, build_learner
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.registry import LEARNERS

log = logging.getLogger(__name__)

PIXELS = "pixels"

_FIXED_FEATURES = tuple(
    method
    for method, config in CONFIGS.items()
    if issubclass(LEARNERS[config], FilmLearner) and not LEARNERS[config].transductive
)
"""Methods that are a head on features which no support set changes, once there is no FiLM."""


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
    why = f"is unknown{suggestion(name, (PIXELS, *CONFIGS))}"
    if name in CONFIGS:
        try:
            learner = _build(name, backbone, template)
        except MissingExtraError:
            raise
        except UserError as error:
            why = f"does not fit the backbone of the first model: {error}"
        else:
            if not _has_trained_parts(learner):
                return learner
            why = "has parts that must be trained: give a trained model in --models"
    known = ", ".join([PIXELS, *_that_run_here(CONFIGS, backbone, template)])
    raise ConfigError(f"learner {name!r} {why}; learners that need no training: {known}")


def _that_run_here(methods: Iterable[str], backbone: Backbone, template: LearnerConfig) -> dict[str, Learner]:
    """Those of some methods that fit and have nothing to train; one line names those that miss a package."""
    found: dict[str, Learner] = {}
    missing: dict[str, MissingExtraError] = {}
    for method in methods:
        try:
            learner = _build(method, backbone, template)
        except MissingExtraError as error:
            missing[method] = error
        except UserError:  # what it adapts are layers of other backbones
            continue
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


def _as_it_is(kind: type[LearnerConfig], template: LearnerConfig) -> LearnerConfig:
    """Default settings of a method, without FiLM where it has a choice."""
    settings: dict[str, Any] = {"backbone": template.backbone}
    if any(field.name == "adaptation" for field in fields(kind)):
        settings["adaptation"] = "none"
    return kind(**settings)
