"""``fewshot-film pretrain``: a backbone trained by classification of all training classes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from torch import nn

from fewshot_film.commands.common import (
    MAY_DIFFER,
    accuracies,
    described,
    open_training,
    save_trained,
    seeded,
    validation,
)
from fewshot_film.config.commands import PretrainConfig
from fewshot_film.config.learners import PrototypesConfig, SimpleCNAPSConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.batches import LabelledBatches
from fewshot_film.errors import counted
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.objectives import Pretraining
from fewshot_film.learners.prototypes import PrototypicalNetworks
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.learners.whitened_vgg import WhitenedConv2d
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.command import is_first_process
from fewshot_film.run.loop import train

log = logging.getLogger(__name__)

WHITENED_BY = 5000
"""Training images whose patches whiten the first layer of a network that has such a layer."""


def whiten(backbone: Backbone, images: ImageSet) -> None:
    """Set the filters of the whitened layer, where the network has one, by images from all over the set."""
    for layer in backbone.modules():
        if isinstance(layer, WhitenedConv2d):
            evenly = np.linspace(0, len(images) - 1, min(WHITENED_BY, len(images))).astype(np.int64)
            layer.whiten(backbone.normalize(images.get(evenly).float() / 255))


def run(
    config: PretrainConfig,
    start: Callable[[Backbone, ImageSet], None] = whiten,
    objective: Callable[..., Pretraining] = Pretraining,
    batches: Callable[..., LabelledBatches] = LabelledBatches,
) -> None:
    """Pre-train and write the model: the backbone under a Mahalanobis classifier, without FiLM.

    Args:
        config: settings.
        start: what training images do to random weights before they are trained.
        objective: called as :class:`Pretraining` is; what is trained.
        batches: called as :class:`LabelledBatches` is; what it is trained on.
    """
    train_images, val_images = open_training(config.data, config.backbone)
    log.info("training classes: %s; validation classes: %s", described(train_images), described(val_images))
    with seeded(config.loop.seed):
        backbone = build_backbone(config.backbone)
        if not config.backbone.weights:
            start(backbone, train_images)
        module = objective(
            backbone,
            len(train_images.class_names),
            config.classifier,
            config.label_smoothing,
            config.rotation_ssl,
        )
    result = train(
        module,
        batches(train_images, config.batch_size, config.augment, config.loop.seed),
        config.loop,
        run_dir=Path(config.out),
        validate=validation(val_images, config.validation, config.loop.seed, _frozen_features),
        config=config,
        resume=config.resume,
        may_differ=MAY_DIFFER,
        accuracy_of=accuracies(f"of {counted(len(train_images.class_names), 'class')}", config.validation),
    )
    if result.best_checkpoint is not None:
        load_weights(module, result.best_checkpoint)
    learner = SimpleCNAPS(SimpleCNAPSConfig(backbone=replace(config.backbone, weights=""), adaptation="none"))
    learner.backbone.load_state_dict(module.backbone.state_dict())
    if is_first_process():
        log.info("saved %s", save_trained(learner, config, result, train_images))


def _frozen_features(module: nn.Module) -> Learner:
    return PrototypicalNetworks(PrototypesConfig(train_backbone=True), cast(Pretraining, module).backbone)
