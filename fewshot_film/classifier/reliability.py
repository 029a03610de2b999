"""How far confidence and accuracy are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fewshot_film.errors import InvalidValueError


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error and the bins of its reliability diagram."""

    error: float
    """Mean of ``|accuracy - confidence|`` over the bins, weighted by their pictures; 0 is perfect, 1 the worst."""
    accuracy: np.ndarray
    """``(bins,)``: share of right answers in each bin; NaN where it is empty."""
    confidence: np.ndarray
    """``(bins,)``: mean of the largest probability in each bin; NaN where it is empty."""
    count: np.ndarray
    """``(bins,)``: pictures in each bin."""


def calibration_error(probabilities: Any, labels: Any, *, classes: Any = None, num_bins: int = 15) -> Calibration:
    """The expected calibration error: how far the confidence in an answer is from how often it is right.

    Pictures are put into bins of equal width by the largest probability; bin ``b`` holds those in
    ``(b / num_bins, (b + 1) / num_bins]``.

    Args:
        probabilities: ``(N, way)``, rows that sum to 1.
        labels: ``(N,)`` true classes: columns, or values of ``classes``. To one that is no column every answer is
            wrong.
        classes: ``(way,)`` what the columns stand for, such as ``classifier.classes_``; None: 0 to way - 1.
        num_bins: at least 1.

    Raises:
        InvalidValueError: shapes do not fit, there is no picture, or a row is no distribution.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3, https://arxiv.org/abs/1706.04599
    """
    rows, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if rows.ndim != 2 or truth.shape[:1] != rows.shape[:1] or truth.ndim != 1 or rows.size == 0 or num_bins < 1:
        raise InvalidValueError(
            f"probabilities {rows.shape}, labels {truth.shape}, num_bins {num_bins}; expected (N, way), (N,) and at "
            "least 1, with N at least 1"
        )
    if not (rows >= 0).all() or not np.allclose(rows.sum(1), 1, atol=1e-4):
        raise InvalidValueError(
            "a row of probabilities is negative or does not sum to 1; apply a softmax to logits first"
        )
    names = np.arange(rows.shape[1]) if classes is None else np.asarray(classes)
    right = names[rows.argmax(1)] == truth
    confidence = rows.max(1)
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(bins, right, num_bins) / count
        mean_confidence = np.bincount(bins, confidence, num_bins) / count
    gaps = np.where(count > 0, np.abs(accuracy - mean_confidence), 0)
    return Calibration(float((count * gaps).sum() / count.sum()), accuracy, mean_confidence, count)
