"""Probabilities that mean what they say: a temperature for the logits, and how far off the result is.

The temperature is fitted to support images that were left out when the head was fitted, never to queries; see Guo et
al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599, for both it and the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fewshot_film.errors import InvalidValueError, shown
from fewshot_film.run.student import student_quantile

NUM_FOLDS = 20
MAX_HELD_OUT = 1000
PRIOR_STRENGTH = 5.0
"""How firmly a task's temperature is expected near the one that was measured for its learner."""
LAPLACE, JEFFREYS = 1.0, 0.5
"""Mistakes and right answers that are counted before any held-out image is: rules for a share that was never seen."""
EXPECTED_COUNT = 1.0
"""How many held-out images the distances that are known of a learner count as."""
LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 1e-6, 1e6
_LOG_RANGE = (math.log(LEAST_TEMPERATURE), math.log(LARGEST_TEMPERATURE))
_LARGEST_LOG = 700.0
"""Of a distance that is not rejected: ``e^700`` is a number yet."""


class FittedHead(Protocol):
    """What is measured of a head."""

    def logits(self, features: Tensor, /) -> Tensor:
        """``(Q, way)`` of features ``(Q, D)``."""
        ...

    def nearest(self, features: Tensor, /) -> Tensor:
        """``(Q,)``: distance to the nearest class."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """What heads say of support images that they were not fitted to."""

    logits: Tensor
    """``(M, way)``."""
    nearest: Tensor
    """``(M,)``: distances to the nearest class."""
    labels: Tensor
    """``(M,)``: their classes."""
    weights: Tensor | None = None
    """``(M,)``: what each counts; None: 1 each."""


@dataclass(frozen=True)
class Measured:
    """What is known of a learner from episodes on other images; a saved model's ``config.json`` keeps it."""

    temperatures: Mapping[float, float] = field(default_factory=dict)
    """Temperature by images per class."""
    doubt: float = LAPLACE
    """How firmly a mistake is expected before one is seen, see :func:`fit_temperature`."""
    member_distances: Mapping[float, Sequence[float]] = field(default_factory=dict)
    """By images per class, quantiles at even probabilities of the distance from a class's member to the nearest class;
    empty: a task's distances say nothing of another's."""

    def record(self) -> dict[str, Any]:
        """As ``config.json`` keeps it."""
        members = {str(shot): list(values) for shot, values in self.member_distances.items()}
        known = {"temperatures": {str(shot): value for shot, value in self.temperatures.items()}, "doubt": self.doubt}
        return {**known, "member_distances": members} if members else known

    @staticmethod
    def of(record: Mapping[str, Any]) -> Measured:
        """What a record says; what it leaves out is as by default."""
        temperatures, members = (record.get(name) or {} for name in ("temperatures", "member_distances"))
        return Measured(
            {float(shot): float(value) for shot, value in temperatures.items()},
            float(record.get("doubt", LAPLACE)),
            {float(shot): tuple(map(float, values)) for shot, values in members.items()},
        )


def held_out(
    fit_head: Callable[..., FittedHead],
    features: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
) -> HeldOut:
    """Leave support images out, fit the head to the others, and measure those left out.

    One at a time for up to 20 images; beyond, in 20 parts that spread every class as widely as can be. An image
    that is alone in its class is never left out. At most 1,000 are measured.

    Args:
        fit_head: support features ``(N, D)``, labels ``(N,)`` and weights ``(N,)`` or None to a head.
        features: ``(N, D)``.
        labels: ``(N,)`` in ``[0, way)``, every class at least once.
        weights: what each image counts, ``(N,)``; None: 1 each. An image is left out with all of its weight.
    """
    counts = labels.bincount()
    by_class = labels.argsort(stable=True)
    candidates = by_class[counts[labels[by_class]] > 1]
    part = torch.arange(len(candidates), device=labels.device) % NUM_FOLDS
    most = MAX_HELD_OUT // NUM_FOLDS
    logits, nearest = [features.new_zeros(0, len(counts))], [features.new_zeros(0)]
    chosen = [by_class[:0]]
    for number in range(min(NUM_FOLDS, len(candidates))):
        left_out = candidates[part == number]
        keep = torch.ones_like(labels, dtype=torch.bool)
        keep[left_out] = False
        rest = () if weights is None else (weights.to(keep.device)[keep],)
        head = fit_head(features[keep], labels[keep], *rest)
        count = min(len(left_out), most)
        measured = left_out[torch.arange(count, device=labels.device) * len(left_out) // count]
        logits.append(head.logits(features[measured]))
        nearest.append(head.nearest(features[measured]))
        chosen.append(measured)
    found = torch.cat(chosen)
    counted = None if weights is None else weights.to(found.device)[found]
    return HeldOut(torch.cat(logits), torch.cat(nearest), labels[found], counted)


def fit_temperature(
    logits: Tensor,
    labels: Tensor,
    prior: float = 1.0,
    strength: float = 0.0,
    weights: Tensor | None = None,
    doubt: float = LAPLACE,
) -> float:
    """The temperature ``T`` for ``softmax(logits / T)``.

    Minimises the cross-entropy of the images plus ``strength / 2 (log T - log prior)^2``. Of every image's target
    ``doubt / (M + 2 doubt)`` goes to the likeliest of the other classes: however well all is told apart, the next
    image may be a mistake (Laplace's rule with a doubt of 1, as in Platt's scaling; Jeffreys' with 1/2).

    Args:
        logits: ``(M, way)`` of images that the classifier was not fitted to.
        labels: ``(M,)`` in ``[0, way)``.
        prior: temperature expected beforehand, above 0.
        strength: how firmly, at least 0.
        weights: what each image counts, ``(M,)``; None: 1 each.
        doubt: at least 0; 0 suits many images, of which some are mistakes.

    Returns:
        The temperature; the prior where there are no images or no two classes.
    Raises:
        InvalidValueError: a number is out of range, or the shapes do not fit.
    """
    if not prior > 0 or not strength >= 0 or logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InvalidValueError(
            f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}, prior {prior}, strength {strength}; expected "
            "(M, way), (M,), a number above 0 and one of at least 0"
        )
    if len(labels) == 0 or logits.shape[1] == 1:
        return prior
    loss, centre = _doubting_loss(logits.double(), labels, weights, doubt), math.log(prior)

    def penalised(log_temperature: float) -> float:
        return strength / 2 * (log_temperature - centre) ** 2 + loss(log_temperature)

    return math.exp(_golden_section(penalised, *_LOG_RANGE))


def _doubting_loss(logits: Tensor, labels: Tensor, weights: Tensor | None, doubt: float) -> Callable[[float], float]:
    """The cross-entropy as a function of log T, with a share of every target given to its likeliest rival."""
    counted = torch.ones_like(logits[:, :1]) if weights is None else weights.to(logits)[:, None]
    share = doubt / (float(counted.sum()) + 2 * doubt)
    target = labels[:, None]
    rival = logits.scatter(1, target, -math.inf).argmax(1, keepdim=True)

    def loss(log_temperature: float) -> float:
        log_share = (logits / math.exp(log_temperature)).log_softmax(1)
        expected = (1 - share) * log_share.gather(1, target) + share * log_share.gather(1, rival)
        return -float((counted * expected).sum())

    return loss


def task_temperature(held: HeldOut, measured: Mapping[float, float], shot: float, doubt: float = LAPLACE) -> float:
    """The temperature of a task, from its own held-out support images and from what is known of the learner.

    Held-out images are judged by heads of one image per class less, which need a higher temperature: what they tell
    is by which factor this task differs from others of its learner at that number.

    Args:
        held: held-out support images.
        measured: see :func:`prior_temperature`.
        shot: support images per class, a mean where they differ.
        doubt: see :func:`fit_temperature`.
    """
    before, now = (prior_temperature(measured, max(number, 1)) for number in (shot - 1, shot))
    return fit_temperature(held.logits, held.labels, before, PRIOR_STRENGTH, held.weights, doubt) * now / before


def prior_temperature(measured: Mapping[float, float], shot: float) -> float:
    """Temperature at some number of images per class, from temperatures measured at others.

    Args:
        measured: temperature by shot, as a learner's training found it on validation episodes.
        shot: images per class, a mean where they differ.

    Returns:
        Between two shots straight in the logarithms; beyond all of them that of the nearest; 1 where none is known.
    """
    if not measured:
        return 1.0
    shots = sorted(measured)
    values = [math.log(measured[known]) for known in shots]
    return math.exp(float(np.interp(math.log(shot), np.log(shots), values)))


def expected_distances(measured: Mapping[float, Sequence[float]], shot: float) -> Tensor | None:
    """How far members of a class lie from it at some number of images per class, from what was measured at others.

    Args:
        measured: by shot, quantiles of the distance to the nearest class, at even probabilities
            (:func:`fewshot_film.classifier.kinds.measure_kinds`).
        shot: images per class, a mean where they differ.

    Returns:
        The quantiles, ``(quantiles,)`` double: between two shots straight in the logarithm of the shot, beyond all of
        them those of the nearest; None where none is known.
    """
    if not measured:
        return None
    shots = sorted(measured)
    columns = zip(*(measured[known] for known in shots), strict=True)
    found = [float(np.interp(math.log(shot), np.log(shots), column)) for column in columns]
    return torch.tensor(found, dtype=torch.float64)


def largest_member_distance(distances: Tensor, reject: float, expected: Tensor | None = None) -> float:
    """The distance to its nearest class that an image of one of the classes exceeds with probability ``reject``.

    Where nothing is known of the learner, the logarithms of the held-out images' distances are taken as normal with
    unknown mean and variance; the bound is that for one more image, ``m + t s sqrt(1 + 1 / n)`` with Student's ``t``
    of ``n - 1`` degrees of freedom. With ``expected`` it is the quantile of those that were held out and of what other
    kinds of images showed, which counts as one of them: all there is with one image per class.

    Args:
        distances: ``(n,)`` distances of held-out support images to their nearest class; at least 2 without
            ``expected``.
        reject: probability, in (0, 1).
        expected: quantiles of the distance that are known of the learner, see :func:`expected_distances`.

    Raises:
        InvalidValueError: ``reject`` is out of range, or there are fewer than 2 distances.
    """
    if not _is_share(reject):
        raise InvalidValueError(f"reject is {shown(reject)}; expected a share above 0 and below 1, such as 0.05")
    count = len(distances)
    if expected is not None:
        values = np.concatenate([distances.double().cpu().numpy(), expected.numpy()])
        return _quantile(values, np.repeat([1.0, EXPECTED_COUNT / len(expected)], [count, len(expected)]), 1 - reject)
    if count < 2:
        raise InvalidValueError(
            "reject needs support images to learn from how far members of a class lie from it: at least one class "
            "with two images; give more, or leave reject out"
        )
    logs = distances.double().clamp_min(1e-12).log()
    spread = float(logs.std()) * math.sqrt(1 + 1 / count)
    bound = float(logs.mean()) - student_quantile(reject, count - 1) * spread
    return math.exp(min(max(bound, -_LARGEST_LOG), _LARGEST_LOG))


def _is_share(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < 1


def _quantile(values: np.ndarray, weights: np.ndarray, probability: float) -> float:
    """Quantile of weighted values, each at the middle of its weight; straight between them."""
    order = values.argsort(kind="stable")
    middles = (weights[order].cumsum() - weights[order] / 2) / weights.sum()
    return float(np.interp(probability, middles, values[order]))


def _golden_section(function: Callable[[float], float], low: float, high: float, steps: int = 60) -> float:
    """Where a function with one valley has its minimum."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(steps):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error and the bins of its reliability diagram."""

    error: float
    """Mean of ``|accuracy - confidence|`` over the bins, weighted by their images; 0 is perfect, 1 the worst."""
    accuracy: np.ndarray
    """``(bins,)``: share of right answers in each bin; NaN where it is empty."""
    confidence: np.ndarray
    """``(bins,)``: mean of the largest probability in each bin; NaN where it is empty."""
    count: np.ndarray
    """``(bins,)``: images in each bin."""


def calibration_error(probabilities: Any, labels: Any, *, classes: Any = None, num_bins: int = 15) -> Calibration:
    """The expected calibration error: the mean difference between confidence and accuracy.

    Images are put into bins of equal width by the largest probability; bin ``b`` holds those in
    ``(b / num_bins, (b + 1) / num_bins]``.

    Args:
        probabilities: ``(N, way)``, rows that sum to 1.
        labels: ``(N,)`` true classes: columns, or values of ``classes``. To one that is no column every answer is
            wrong.
        classes: ``(way,)`` what the columns stand for, such as ``classifier.classes_``; None: 0 to way - 1.
        num_bins: at least 1.

    Raises:
        InvalidValueError: shapes do not fit, there is no image, or a row is no distribution.

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
