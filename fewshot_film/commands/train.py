"""``fewshot-film train``: any learner meta-trained on episodes of the training classes."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import nn

from fewshot_film.commands.common import (
    MAY_DIFFER,
    accuracies,
    described,
    episode_sampler,
    open_training,
    save_trained,
    seeded,
    validation,
)
from fewshot_film.config.commands import TrainConfig
from fewshot_film.config.learners import FilmConfig, LearnerConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.leaks import parts_of
from fewshot_film.episodes import AugmentedEpisodes
from fewshot_film.errors import ConfigError
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.objectives import MetaTraining
from fewshot_film.learners.registry import build_learner
from fewshot_film.learners.simple_shot import SimpleShot
from fewshot_film.learners.task_runners import features_of_set
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.command import is_first_process
from fewshot_film.run.loop import TrainResult, train

log = logging.getLogger(__name__)
AnyConfig = TypeVar("AnyConfig", bound=LearnerConfig)


def run(config: TrainConfig) -> None:
    """Meta-train and write the model with the best validation accuracy."""
    train_images, val_images = open_training(config.data, config.learner.backbone)
    log.info("training classes: %s; validation classes: %s", described(train_images), described(val_images))
    config = replace(config, learner=with_templates(config.learner, train_images))
    with seeded(config.loop.seed):
        module = MetaTraining(build_learner(config.learner), config.memory)
    if any(parameter.requires_grad for parameter in module.parameters()):
        result = _train(module, config, train_images, val_images)
    else:
        log.info("with these settings, %s has nothing to meta-train: saved without training", config.learner.method)
        result = None
    if isinstance(module.learner, SimpleShot):
        module.learner.centre_on(features_of_set(module.learner, train_images, torch.device("cpu")))
    if is_first_process():
        log.info("saved %s", save_trained(module.learner, config, result, train_images))


def with_templates(learner: AnyConfig, images: ImageSet) -> AnyConfig:
    """The settings of a learner that blends templates, with one for each source where they name none.

    Raises:
        ConfigError: they name some, and not all of the sources.
    """
    if not isinstance(learner, FilmConfig) or learner.adaptation != "templates":
        return learner
    sources = tuple(part.name for part in parts_of(images))
    without = [name for name in sources if name not in learner.templates]
    if learner.templates and without:
        raise ConfigError(
            f"learner.templates is {', '.join(learner.templates)}; expected all sources, but {without[0]} is missing"
        )
    return replace(learner, templates=learner.templates or sources)


def _train(module: MetaTraining, config: TrainConfig, train_images: ImageSet, val_images: ImageSet) -> TrainResult:
    """Run the loop; the module holds the best weights afterwards."""
    sampler = episode_sampler(train_images, config.episodes, config.loop.seed)
    result = train(
        module,
        AugmentedEpisodes(sampler, config.augment, config.loop.seed),
        config.loop,
        run_dir=Path(config.out),
        validate=validation(val_images, config.validation, config.loop.seed, _learner),
        config=config,
        resume=config.resume,
        may_differ=(*MAY_DIFFER, "learner.backbone.weights"),
        accuracy_of=accuracies("training episodes", config.validation),
    )
    if result.best_checkpoint is not None:
        load_weights(module, result.best_checkpoint)
    return result


def _learner(module: nn.Module) -> Learner:
    return cast(MetaTraining, module).learner
