"""``fewshot-film train``: Simple CNAPS meta-trained on episodes of the training classes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from torch import nn

from fewshot_film.commands.common import (
    MAY_DIFFER,
    episode_sampler,
    open_images,
    save_trained,
    seeded,
    validation,
)
from fewshot_film.config.commands import TrainConfig
from fewshot_film.episodes import AugmentedEpisodes
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.learners.training import MetaTraining
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.command import is_first_process
from fewshot_film.run.loop import train

log = logging.getLogger(__name__)


def run(config: TrainConfig) -> None:
    """Meta-train and write the model with the best validation accuracy."""
    train_images = open_images(config.data, "train", config.learner.backbone)
    val_images = open_images(config.data, "val", config.learner.backbone)
    log.info("training classes: %s; validation classes: %s", train_images, val_images)
    with seeded(config.loop.seed):
        module = MetaTraining(SimpleCNAPS(config.learner))
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
    )
    if result.best_checkpoint is not None:
        load_weights(module, result.best_checkpoint)
    if is_first_process():
        log.info("saved %s", save_trained(cast(SimpleCNAPS, module.learner), config, result, train_images))


def _learner(module: nn.Module) -> Learner:
    return cast(MetaTraining, module).learner
