"""A classifier for people with a few pictures of each of their things: fit and predict, no training loop."""

from fewshot_film.classifier.calibration import Calibration, calibration_error
from fewshot_film.classifier.estimator import FewShotClassifier
from fewshot_film.classifier.fitted import Answers
from fewshot_film.classifier.inputs import read_pictures
from fewshot_film.classifier.pretrained import ModelNotFoundError, shipped_models
from fewshot_film.classifier.sklearn_compat import NotFittedError

__all__ = [
    "Answers",
    "Calibration",
    "FewShotClassifier",
    "ModelNotFoundError",
    "NotFittedError",
    "calibration_error",
    "read_pictures",
    "shipped_models",
]
