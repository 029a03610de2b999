"""A small learner and a small set of images that several tests use."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.image_set import Pixels
from fewshot_film.learners.simple_cnaps import SimpleCNAPS

SMALL = SimpleCNAPSConfig(
    backbone=BackboneConfig(width=8, blocks=(1, 1), channels=1, image_size=16, stem_kernel=3),
    set_encoder_layers=2,
    code_dim=8,
)


def small_learner(**settings) -> SimpleCNAPS:
    torch.manual_seed(0)
    return SimpleCNAPS(dataclasses.replace(SMALL, **settings))


def noisy_classes(num_classes: int = 8, per_class: int = 10, noise: float = 40.0) -> ImageSet:
    """Every class is one random image with noise on it."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, size=(num_classes, 1, 1, 16, 16))
    images = centres + rng.normal(scale=noise, size=(num_classes, per_class, 1, 16, 16))
    pixels = images.clip(0, 255).astype(np.uint8).reshape(-1, 1, 16, 16)
    count = len(pixels)
    return ImageSet(
        "noisy",
        Pixels(pixels.shape, pixels),
        [f"class {index}" for index in range(num_classes)],
        np.repeat(np.arange(num_classes), per_class),
        np.arange(count),
        [f"{index}.png" for index in range(count)],
        np.arange(count),
    )
