"""Simple CNAPS: FiLM-adapted features and a Mahalanobis classifier, both set by one pass over the support set.

Bateni et al., "Improved Few-Shot Visual Classification", CVPR 2020, https://arxiv.org/abs/1912.03432. Class ``k`` with
mean ``mu_k`` and ``n_k`` support images gets the regularised covariance of eq. 2-4

    Q_k = lambda_k S_k + (1 - lambda_k) S + I,    lambda_k = n_k / (n_k + 1),

with ``S_k`` the class covariance and ``S`` the covariance of the whole support set, and a query ``x`` the logit
``-(x - mu_k)^T Q_k^-1 (x - mu_k)``.

How it is computed, without a covariance matrix per class: classes with the same number of images ``n`` share
``A_n = (1 - lambda_n) S + I``, and their ``Q_k`` is ``A_n`` plus the few directions of their own images. All that is
needed of ``A_n`` is its metric ``<u, v> = u^T A_n^-1 v`` between support images and queries
(:mod:`fewshot_film.learners.scatter`). The Woodbury identity then leaves one n x n system per class, batched over the
classes of equal ``n``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from fewshot_film.config.learners import OneShot, SimpleCNAPSConfig
from fewshot_film.errors import shown
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.scatter import Metric, Projection, Scatter, Weight, cholesky, needs_double
from fewshot_film.learners.support import SupportError, at_least_float32, check_support, classes_by_shot

ONE_SHOT_RULES = get_args(OneShot)
DECOMPOSE_FROM = 3
"""Distinct numbers of images per class from which one eigendecomposition is faster than a Cholesky factor for each."""


class SimpleCNAPS(FilmLearner):
    """The whole model; the default configuration is the published architecture (19,771,008 parameters)."""

    config: SimpleCNAPSConfig

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> MahalanobisClassifier:
        """Means and covariances of the classes, eq. 2-4; see :meth:`FilmLearner.fit_head`."""
        return fit_mahalanobis(features, labels, self.config.one_shot, sample_weights=weights)


@dataclass(frozen=True)
class CovarianceWeights:
    """What a class covariance is made of: ``Q_k = I + own * scatter_k + shared * scatter``.

    Scatter is a sum over images, so that the division by their number is part of the weight.
    """

    own: Callable[[float], Weight]
    """Weight of the class's scatter about its mean, above 0, from its number of images (2 or more)."""
    shared: Callable[[float], Weight]
    """Weight of the scatter of the whole support set about its mean, from the class's number of images."""


@dataclass(frozen=True)
class ClassGroup:
    """What the distances to all classes of ``n`` support images need; K such classes."""

    classes: Tensor
    """Columns of the logits that these classes fill, ``(K,)``."""
    rows: Tensor
    """Support images of each class, ``(K, n)``."""
    metric: Metric
    """The metric of ``A_n``."""
    gram: Tensor
    """``<x_i, x_j>`` within each class, ``(K, n, n)``."""
    update: Tensor | None
    """Cholesky factor of ``I / own + C``, with the weight ``own`` of the classes' own scatter and C the gram about
    their means, ``(K, n, n)``; None where n = 1."""
    whitening: Tensor | None
    """``update^-1`` after centring, ``(K, n, n)``: turns ``<x_i, v>`` into what the class's own scatter takes off."""
    own: Tensor | None
    """The weight ``own``, a scalar; None where n = 1."""
    total: float
    """What the images of each class count together; their number without weights."""
    roots: Tensor | None = None
    """Square roots of the images' weights, ``(K, n)``: each row of the scatter is scaled by its own; None without."""

    def mean(self, values: Tensor) -> Tensor:
        """Class means, from values that are linear in the rows of the scatter, ``(K, n, *)`` to ``(K, *)``."""
        if self.roots is None:
            return values.mean(1)
        coefficients = self.roots / self.total
        means: Tensor = (coefficients.unflatten(1, (-1, *[1] * (values.ndim - 2))) * values).sum(1)
        return means

    def deviations(self, rows: Tensor) -> Tensor:
        """Rows of the scatter ``(K, n, D)`` less the class means, still scaled by the roots."""
        means = self.mean(rows)[:, None]
        return rows - (means if self.roots is None else self.roots[..., None] * means)

    @property
    def logdet(self) -> Tensor:
        """Logarithm of the determinant of each ``Q_k``, ``(K,)``."""
        if self.update is None or self.own is None:
            return self.metric.logdet.expand(len(self.rows))
        half: Tensor = self.update.diagonal(dim1=1, dim2=2).log().sum(1)
        return self.metric.logdet + 2 * half + self.rows.shape[1] * self.own.log()

    @property
    def shrinkage(self) -> Weight:
        """The weight of the task's scatter in ``A_n``."""
        return self.metric.weight

    @property
    def factor(self) -> Tensor:
        """Cholesky factor of ``I + shrinkage * G`` (dual, N x N) or of ``A_n`` (primal, D x D)."""
        return self.metric.factor()


@dataclass(frozen=True)
class MahalanobisClassifier:
    """A classifier fitted to one support set; made by :func:`fit_mahalanobis`."""

    classes: Tensor
    """The labels, in the order of the logits' columns, ``(way,)``."""
    centre: Tensor
    """Mean of all support features, ``(D,)``."""
    scatter: Scatter
    """Support features about their mean."""
    groups: tuple[ClassGroup, ...]
    one_shot: OneShot

    @property
    def support(self) -> Tensor:
        """Support features about their mean, ``(N, D)``, each scaled by the square root of its weight if any."""
        return self.scatter.rows

    def distances(self, queries: Tensor) -> Tensor:
        """Squared Mahalanobis distances from queries to classes.

        Args:
            queries: features, ``(Q, D)``.

        Returns:
            ``(Q, way)``, not negative, in the order of ``classes``.

        Raises:
            SupportError: ``queries`` are not ``(Q, D)`` with the support's ``D``.
        """
        if queries.ndim != 2 or queries.shape[1] != len(self.centre):
            raise SupportError(
                f"queries have shape {tuple(queries.shape)}; expected (Q, {len(self.centre)}), "
                "features of the same network as the support set"
            )
        with torch.autocast(queries.device.type, enabled=False):
            projected = self.scatter.project(queries.to(self.centre.dtype) - self.centre)
            distances = self._in_order([self._group_distances(group, projected) for group in self.groups])
            return distances.T.clamp_min(0)

    def logdets(self) -> Tensor:
        """Logarithms of the determinants of the class covariances, ``(way,)``."""
        return self._in_order([group.logdet for group in self.groups])

    def __call__(self, queries: Tensor) -> Tensor:
        """Logits ``(Q, way)``: minus the squared distances."""
        return -self.distances(queries)

    def _in_order(self, parts: list[Tensor]) -> Tensor:
        """Values of every group, one row per class, in the order of the classes."""
        if len(parts) == 1:
            return parts[0]
        order = torch.cat([group.classes for group in self.groups]).argsort()
        return torch.cat(parts)[order]

    def _group_distances(self, group: ClassGroup, queries: Projection) -> Tensor:
        """Distances to the classes of one group, ``(K, Q)``."""
        cross, square = group.metric.against(group.rows, queries)
        mean_cross = group.mean(cross)
        row_mean = group.mean(group.gram)  # the gram is symmetric
        mean_gram = group.mean(row_mean)[:, None]
        distance = square - 2 * mean_cross + mean_gram
        if group.whitening is not None:
            at_mean = group.whitening @ row_mean[..., None]
            distance = distance - torch.baddbmm(at_mean, group.whitening, cross, beta=-1).square().sum(1)
        elif self.one_shot == "broadcast" and group.total <= 1:
            distance = distance - self._broadcast_term(group, queries)
        return distance

    def _broadcast_term(self, group: ClassGroup, queries: Projection) -> Tensor:
        """What a one-shot class's ``S_k = variance * ones`` takes off its distances, ``(K, Q)``."""
        means = group.mean(self.support[group.rows])
        variance = (means + self.centre).var(1, keepdim=True)
        ones = self.scatter.project(torch.ones_like(self.centre)[None])
        to_query = group.metric.inner(queries, ones)[:, 0]
        to_mean = group.metric.inner(self.scatter.project(means), ones)
        half_variance = variance * (group.total / (group.total + 1))  # lambda of a one-shot class is 1/2
        gain = half_variance / (1 + half_variance * group.metric.squares(ones))
        return gain * (to_query - to_mean).square()


def fit_mahalanobis(
    features: Tensor,
    labels: Tensor,
    one_shot: OneShot = "zero",
    weights: CovarianceWeights | None = None,
    sample_weights: Tensor | None = None,
) -> MahalanobisClassifier:
    """Fit the classifier to a support set; differentiable in the features and in the weights.

    Args:
        features: support features, ``(N, D)``; half precision is raised to float32, and float32 to double where the
            features are so large that the identity in the covariances would be lost.
        labels: any integers, ``(N,)``; the logits' columns follow their sorted order.
        one_shot: covariance of a class with one image. ``"zero"``: none of its own. ``"broadcast"``: what the
            reference implementation computes, the variance of the image over its D features in every entry.
        weights: what the class covariances are made of; default: as in the formula above.
        sample_weights: what each image counts, above 0, ``(N,)``: one of weight 2 counts as two; default: 1 each.

    Raises:
        SupportError: empty support, shapes that do not fit, features that are not finite, an unknown rule.
    """
    check_support(features, labels)
    if one_shot not in ONE_SHOT_RULES:
        raise SupportError(f"unknown one_shot rule {shown(one_shot)}; choose one of {', '.join(ONE_SHOT_RULES)}")
    with torch.autocast(features.device.type, enabled=False):
        features = at_least_float32(features)
        classes, groups = classes_by_shot(labels)
        centre, deviations, total = _about_the_mean(features, sample_weights)
        counted = _by_count(groups, None if sample_weights is None else sample_weights.to(features))
        weights = weights or simple_cnaps_weights(total)
        shared = [weights.shared(each.total) for each in counted]
        own = [weights.own(each.total) if each.rows.shape[1] > 1 else 0.0 for each in counted]
        if needs_double(deviations, *shared, *own):
            return fit_mahalanobis(features.double(), labels, one_shot, weights, sample_weights)
        needs_gradient = torch.is_grad_enabled() and (
            features.requires_grad or any(isinstance(weight, Tensor) and weight.requires_grad for weight in shared)
        )
        scatter = Scatter(deviations, decompose=not needs_gradient and len(set(shared)) >= DECOMPOSE_FROM)
        fitted = tuple(
            _fit_group(each, metric, weight)
            for each, metric, weight in zip(counted, scatter.metrics(shared), own, strict=True)
        )
    return MahalanobisClassifier(classes, centre, scatter, fitted, one_shot)


def simple_cnaps_weights(num_images: float) -> CovarianceWeights:
    """Simple CNAPS's weights for a support set of ``num_images`` images."""
    return CovarianceWeights(
        own=lambda shot: shot / (shot + 1) / freedom(shot),
        shared=lambda shot: 1 / (shot + 1) / freedom(num_images),
    )


def freedom(total: float) -> float:
    """What a scatter is divided by to be a covariance: one less than its images count.

    Weights may add up to less than 2, where that is too little to divide by: half of them then.
    """
    return max(total - 1, total / 2)


def _about_the_mean(features: Tensor, sample_weights: Tensor | None) -> tuple[Tensor, Tensor, float]:
    """The mean of the features, ``(D,)``, the rows of the scatter about it, ``(N, D)``, and what all count together."""
    if sample_weights is None:
        centre = features.mean(0)
        return centre, features - centre, float(len(features))
    counted = sample_weights.to(features)
    total = float(counted.sum())
    centre = counted @ features / total
    return centre, counted.sqrt()[:, None] * (features - centre), total


class _Classes(NamedTuple):
    """Classes with the same number of images, which count the same together; see :class:`ClassGroup`."""

    columns: Tensor
    rows: Tensor
    total: float
    roots: Tensor | None


def _by_count(groups: list[tuple[Tensor, Tensor]], sample_weights: Tensor | None) -> list[_Classes]:
    """The classes of every number of images, parted by what their images count together."""
    if sample_weights is None:
        return [_Classes(columns, rows, rows.shape[1], None) for columns, rows in groups]
    found, roots = [], sample_weights.sqrt()
    for columns, rows in groups:
        sums = sample_weights[rows].sum(1)
        for total in sums.unique().tolist():
            those = sums == total
            found.append(_Classes(columns[those], rows[those], float(total), roots[rows[those]]))
    return found


def _fit_group(classes: _Classes, metric: Metric, own: Weight) -> ClassGroup:
    columns, rows, total, roots = classes
    gram, shot = metric.within(rows), rows.shape[1]
    if shot == 1:
        return ClassGroup(columns, rows, metric, gram, None, None, None, total, roots)
    own = torch.as_tensor(own, dtype=gram.dtype, device=gram.device)
    identity = torch.eye(shot, dtype=gram.dtype, device=gram.device)
    # what takes a class's mean off its rows
    centring = identity - 1 / shot if roots is None else identity - roots[:, :, None] * roots[:, None] / total
    factor = cholesky(identity + own * (centring @ gram @ centring))
    update = factor / own.sqrt()
    whitening = torch.linalg.solve_triangular(update, centring.expand_as(update), upper=False)
    return ClassGroup(columns, rows, metric, gram, update, whitening, own, total, roots)
