"""A classifier for people with a few pictures of each of their things: fit and predict, no training loop."""

from fewshot_film.classifier.errors import ModelNotFoundError, NotFittedError
from fewshot_film.classifier.estimator import FewShotClassifier
from fewshot_film.classifier.pictures import read_pictures
from fewshot_film.classifier.pretrained import shipped_models
from fewshot_film.classifier.reliability import Calibration, calibration_error
from fewshot_film.classifier.state import Answers

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
