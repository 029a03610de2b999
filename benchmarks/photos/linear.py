"""Linear classifiers of scikit-learn: what people fit to features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from benchmarks.photos.head import Answer, Answers


@dataclass(frozen=True)
class SklearnHead:
    """A linear classifier of scikit-learn.

    Its solution lies in the span of the support features and does not depend on how the space is turned, so it is
    fitted to coordinates in that span: as many as images, not as features.
    """

    make: Callable[[], Any]
    length: float
    """What features are scaled to first: both classifiers gain by it with one image per class, and lose nothing."""

    def __call__(self, features: Tensor, labels: Tensor, *, judge: bool = True) -> Answer:
        """See `Head`."""
        scaled = self.length * F.normalize(features.double(), dim=1)
        basis = torch.linalg.qr(scaled.T).Q
        fitted = self.make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", message="The number of unique classes")  # few images are what it is about
            fitted.fit((scaled @ basis).numpy(), labels.numpy())
        gives_probabilities = judge and hasattr(fitted, "predict_proba")

        def answer(queries: Tensor) -> Answers:
            rows = (self.length * F.normalize(queries.double(), dim=1) @ basis).numpy()
            found = torch.from_numpy(fitted.predict_proba(rows)) if gives_probabilities else None
            return Answers(torch.from_numpy(fitted.predict(rows)), found, None)

        return answer


def logistic_regression() -> SklearnHead:
    """Logistic regression on features of length 10."""
    return SklearnHead(lambda: LogisticRegression(max_iter=1000), 10.0)


def linear_svm() -> SklearnHead:
    """A linear support vector machine on features of length 1."""
    return SklearnHead(LinearSVC, 1.0)
