"""Images and fitted classifiers that several tests use."""

from __future__ import annotations

import numpy as np
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.learners import PrototypesConfig, RidgeConfig
from fewshot_film.learners import Learner, build_learner
from tests.learners.small import SMALL, noisy_classes, small_learner


def pictures_and_labels(num_classes: int = 5, per_class: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """``(N, 16, 16, 1)`` uint8 and names, class by class."""
    images = noisy_classes(num_classes, per_class)
    pixels = images.get(np.arange(len(images))).numpy().transpose(0, 2, 3, 1)
    return pixels, np.array(images.class_names)[images.labels]


def film_learner() -> Learner:
    """Simple CNAPS whose FiLM does something: a fresh generator's values are all but the identity."""
    learner = small_learner().eval()
    for name, parameter in learner.generator.named_parameters():
        if "regulari" in name:
            parameter.data.mul_(300)
    return learner


def prototypes() -> Learner:
    return build_learner(PrototypesConfig(backbone=SMALL.backbone)).eval()


def ridge(seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return build_learner(RidgeConfig(backbone=SMALL.backbone)).eval()


def fitted(learner: Learner | None = None, **shape: int) -> tuple[FewShotClassifier, np.ndarray, np.ndarray]:
    """A classifier fitted to half of the images, and the other half with its labels."""
    images, labels = pictures_and_labels(**shape)
    classifier = FewShotClassifier(learner or film_learner(), device="cpu").fit(images[::2], labels[::2])
    return classifier, images[1::2], labels[1::2]
