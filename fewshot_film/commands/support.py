"""The support set of a command: a folder of labelled images, as a network reads them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import ImageSource, decode


def read_support(source: ImageSource, preprocessing: Preprocessing) -> tuple[Tensor, list[str]]:
    """All images of a source, and their classes.

    Args:
        source: the labelled images.
        preprocessing: how the network reads them.

    Returns:
        ``(N, C, H, W)`` uint8 images, and the class of each.
    """
    images = decode(source, **preprocessing.pixels)
    return images.get(np.arange(len(images))), [images.class_names[label] for label in images.labels]


def fit_to_source(classifier: FewShotClassifier, source: ImageSource) -> FewShotClassifier:
    """Fit a classifier to all images of a source; returns it."""
    return classifier.fit(*read_support(source, classifier.preprocessing))
