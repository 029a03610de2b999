"""Steps that several commands share."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.commands import EpisodesConfig, PretrainConfig, TrainConfig, ValidationConfig
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet, SourceError
from fewshot_film.data.domains import open_joined
from fewshot_film.data.leaks import Leaks, check_no_leaks
from fewshot_film.episodes import Episodes, EpisodeSampler, MetaDatasetSampler, by_domain
from fewshot_film.errors import counted
from fewshot_film.learners.evaluation import evaluate
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.networks import preprocessing_of
from fewshot_film.learners.registry import save_learner
from fewshot_film.run.loop import TrainResult
from fewshot_film.run.seeding import derived_seed
from fewshot_film.run.settings import plain
from fewshot_film.run.tables import markdown_text

log = logging.getLogger(__name__)

MAY_DIFFER = ("out", "data.root", "data.cache", "data.split_file")
"""Settings that a resumed run may change: where things lie, not what they are."""


def open_images(data: DataConfig, split: str | None, backbone: BackboneConfig) -> ImageSet:
    """The images of one split, decoded at the size and in the colours that the backbone reads."""
    return open_joined(data, split, preprocessing_of(backbone))


def open_training(data: DataConfig, backbone: BackboneConfig) -> tuple[ImageSet, ImageSet]:
    """The images of the training and of the validation classes, after a look whether they share any.

    Raises:
        LeakError: they do, and ``data.on_leak`` is ``raise``.
    """
    train_images, val_images = (open_images(data, split, backbone) for split in ("train", "val"))
    if data.on_leak != "ignore":
        check_no_leaks(train_images, val_images, allow=data.allow_leaks, on_leak=data.on_leak)
    return train_images, val_images


def leaks_into(images: ImageSet, split: str, data: DataConfig, backbone: BackboneConfig) -> Leaks | None:
    """What the images of a split share with the training classes of the same settings.

    Returns:
        None where it is not looked for: on request, for the training classes themselves, and where the training
        classes are not there.

    Raises:
        LeakError: they share something, and ``data.on_leak`` is ``raise``.
    """
    if data.on_leak == "ignore" or split in ("", "train"):
        return None
    try:
        train_images = open_images(data, "train", backbone)
    except (SourceError, FileNotFoundError) as error:
        log.info("whether training and %s share classes or images is not checked: %s", split, error)
        return None
    return check_no_leaks(train_images, images, allow=data.allow_leaks, on_leak=data.on_leak)


def source_title(data: DataConfig, images: ImageSet) -> str:
    """What tables and model cards call the images: the source as it was asked for, or the names of all."""
    return images.name if data.sources else data.source


def described(images: ImageSet) -> str:
    """A set of images in a few words, for log lines."""
    num_classes, size = len(images.class_names), f"{images.image_size} x {images.image_size} pixels"
    return f"{num_classes:,} of {images.name} ({counted(len(images), 'image')} of {size})"


def accuracies(train: str, config: ValidationConfig) -> dict[str, str]:
    """What the accuracies in the log of a training are those of.

    Args:
        train: what that of the training is.
        config: how episodes for validation are sampled.
    """
    return {"train": train, "validation": f"{config.way}-way {config.shot}-shot"}


def episode_sampler(images: ImageSet, config: EpisodesConfig, seed: int) -> Episodes:
    """Training episodes as asked for; of several sources each episode is from one."""

    def of_one(part: ImageSet) -> Episodes:
        if config.sampler == "meta-dataset":
            return MetaDatasetSampler(part, seed=seed)
        return EpisodeSampler(part, config.way, config.shot, config.query, seed=seed)

    return by_domain(images, of_one, seed=seed)


def validation(
    images: ImageSet, config: ValidationConfig, seed: int, learner_of: Callable[[nn.Module], Learner]
) -> Callable[[nn.Module], Mapping[str, float]]:
    """What the training loop calls to validate: mean accuracy on always the same episodes."""

    def of_one(part: ImageSet) -> Episodes:
        return EpisodeSampler(part, config.way, config.shot, config.query, seed=seed, split="val")

    sampler = by_domain(images, of_one, seed=seed, split="val")

    def validate(module: nn.Module) -> Mapping[str, float]:
        device = next(module.parameters()).device
        values = evaluate(learner_of(module), sampler, config.episodes, device=device)
        return {"accuracy": float(np.mean(values))}

    return validate


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fresh weights inside the block are a function of the seed; torch's global generator is left as it was."""
    with torch.random.fork_rng([]):
        torch.manual_seed(derived_seed(seed, "weights"))
        yield


def save_trained(
    learner: Learner, config: PretrainConfig | TrainConfig, result: TrainResult | None, images: ImageSet
) -> Path:
    """Save a run's model to OUT/model, with what it was trained on; returns the folder.

    ``result`` is None for a learner that had nothing to train.
    """
    folder = Path(config.out) / "model"
    classes = hashlib.sha256("\n".join(images.class_names).encode()).hexdigest()
    training: dict[str, Any] = {
        "settings": plain(config),
        "classes": len(images.class_names),
        "classes_sha256": classes,
    }
    if result is not None:
        training |= {
            "steps": result.step,
            "best_step": result.best_step,
            "validation_accuracy": result.best,
            "seconds": round(result.seconds, 1),
        }
    save_learner(folder, learner, training, _card(learner, config, result, images))
    return folder


def _card(learner: Learner, config: PretrainConfig | TrainConfig, result: TrainResult | None, images: ImageSet) -> str:
    backbone = learner.config.backbone
    rotated = ", rotations counted as classes" if config.data.rotations else ""
    classes = counted(len(images.class_names), "class")
    trained = f"{markdown_text(source_title(config.data, images))}, {classes} of its training split{rotated}"
    return f"""# {learner.config.method}, a few-shot classifier

- Trained on: {trained if result else "the data of its backbone only"}.
- Network: {backbone.name}, width {backbone.width}, images of {backbone.image_size} x {backbone.image_size} pixels
  with {counted(backbone.channels, "channel")}; {sum(p.numel() for p in learner.parameters()):,} parameters.
{_training_lines(config.validation, result) if result else ""}- Limits: intended for images like those it was \
trained on; its accuracy on others must be measured first.

Load it with `fewshot_film.learners.load_learner(folder)`; `config.json` has all settings of its training.
"""


def _training_lines(validation: ValidationConfig, result: TrainResult) -> str:
    best = "" if result.best is None else f", {100 * result.best:.1f} % at step {result.best_step}, which is saved"
    shot = counted(validation.shot, "image")
    return f"""- Training: {result.step} steps, {result.seconds / 60:.0f} minutes.
- Validation: {validation.episodes} episodes of {validation.way} classes, {shot} each{best}.
"""
