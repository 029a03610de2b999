"""A few-shot image classifier: ``fit`` and ``predict``, without a training loop."""

from __future__ import annotations

import warnings
from typing import Any

from fewshot_film.classifier.bulk import ImageNamer
from fewshot_film.classifier.calibration import Calibration, calibration_error
from fewshot_film.classifier.embeddings import (
    EmbeddingClassifier,
    ImageEmbedder,
    embedding_files,
    read_embeddings,
)
from fewshot_film.classifier.estimator import FewShotClassifier
from fewshot_film.classifier.fitted import Answers
from fewshot_film.classifier.inputs import read_images
from fewshot_film.classifier.pretrained import ModelNotFoundError, shipped_models
from fewshot_film.classifier.quantized import QuantizationError
from fewshot_film.classifier.sklearn_compat import NotFittedError

__all__ = [
    "Answers",
    "Calibration",
    "EmbeddingClassifier",
    "FewShotClassifier",
    "ImageEmbedder",
    "ImageNamer",
    "ModelNotFoundError",
    "NotFittedError",
    "QuantizationError",
    "calibration_error",
    "embedding_files",
    "read_embeddings",
    "read_images",
    "shipped_models",
]


def __getattr__(name: str) -> Any:
    """The name of an earlier version, with a warning that says the present one."""
    if name == "read_pictures":
        message = "read_pictures is called read_images since 0.2; the old name will be removed in 0.3"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return read_images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
