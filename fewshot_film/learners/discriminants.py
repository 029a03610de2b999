"""Linear and quadratic discriminant analysis with shrinkage: one normal distribution per class, on frozen features.

Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", section 4.3; the shrinkage towards a multiple
of the identity is that of Ledoit and Wolf, "Honey, I Shrunk the Sample Covariance Matrix", 2004, with a given amount.

With ``W`` the covariance of the support set about the class means (divided by N - way), ``t = trace(W) / D`` and ``g``
the shrinkage, LDA has ``(1 - g) W + g t I`` for all classes and QDA ``(1 - g) S_k + g t I``, with ``S_k`` the class's
own covariance, zero for a single image. Where no class has two images, ``W`` is zero and ``t`` is taken from the
support set's covariance: both are the nearest class mean then. Classes count as equally frequent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot_film.config.learners import LDAConfig, QDAConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.scatter import Metric, Scatter, Weight, needs_double
from fewshot_film.learners.simple_cnaps import CovarianceWeights, MahalanobisClassifier, fit_mahalanobis
from fewshot_film.learners.simple_cnaps import freedom as covariance_freedom
from fewshot_film.learners.support import at_least_float32, check_support, class_means


class LDA(FilmLearner):
    """Linear discriminant analysis: one covariance for all classes."""

    config: LDAConfig

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> SharedCovarianceHead:
        """Class means and the shared covariance; see :meth:`FilmLearner.fit_head`."""
        return fit_lda(features, labels, self.config.shrinkage, weights)


class QDA(FilmLearner):
    """Quadratic discriminant analysis: one covariance per class."""

    config: QDAConfig

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> GaussianHead:
        """Class means and covariances; see :meth:`FilmLearner.fit_head`."""
        return fit_qda(features, labels, self.config.shrinkage, weights)


@dataclass(frozen=True)
class SharedCovarianceHead:
    """Normal distributions with one covariance, ``scale`` times the inverse of the metric."""

    metric: Metric
    prototypes: Tensor
    """Class means, ``(way, D)``."""
    scale: Weight

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``: log-densities, up to what all classes share."""
        centre = self.prototypes.mean(0)
        project = self.metric.scatter.project
        with torch.autocast(features.device.type, enabled=False):
            queries, means = project(features.to(centre.dtype) - centre), project(self.prototypes - centre)
            inner = self.metric.inner(queries, means)
            return (inner - self.metric.squares(means) / 2) / self.scale


@dataclass(frozen=True)
class GaussianHead:
    """Normal distributions with ``scale`` times the covariances of a Mahalanobis classifier."""

    classifier: MahalanobisClassifier
    scale: Weight

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``: log-densities, up to what all classes share."""
        return -(self.classifier.distances(features) / self.scale + self.classifier.logdets()) / 2


def fit_lda(
    features: Tensor, labels: Tensor, shrinkage: float, sample_weights: Tensor | None = None
) -> SharedCovarianceHead:
    """Fit linear discriminant analysis; differentiable in the features.

    Args:
        features: ``(N, D)``.
        labels: any integers, ``(N,)``; the logits' columns follow their sorted order.
        shrinkage: in (0, 1].
        sample_weights: what each image counts, above 0, ``(N,)``; None: 1 each.

    Raises:
        SupportError: empty support, shapes that do not fit, or features that are not finite.
    """
    check_support(features, labels)
    features = at_least_float32(features)
    means = class_means(features, labels, sample_weights)
    deviations, freedom = _deviations(features, labels, means, sample_weights)
    scale = shrinkage * _mean_variance(features, deviations, freedom, sample_weights)
    weight = (1 - shrinkage) / freedom / scale
    if needs_double(deviations, weight):
        return fit_lda(features.double(), labels, shrinkage, sample_weights)
    with torch.autocast(features.device.type, enabled=False):
        metric = Scatter(deviations).metric(weight)
    return SharedCovarianceHead(metric, means, scale)


def fit_qda(features: Tensor, labels: Tensor, shrinkage: float, sample_weights: Tensor | None = None) -> GaussianHead:
    """Fit quadratic discriminant analysis; differentiable in the features; see :func:`fit_lda`."""
    check_support(features, labels)
    features = at_least_float32(features)
    means = class_means(features, labels, sample_weights)
    deviations, freedom = _deviations(features, labels, means, sample_weights)
    scale = shrinkage * _mean_variance(features, deviations, freedom, sample_weights)
    # a weight of 0 would leave out what a shrinkage of 1 makes vanish
    own = max(1 - shrinkage, 1e-12) / scale
    if needs_double(deviations, own):
        return fit_qda(features.double(), labels, shrinkage, sample_weights)
    weights = CovarianceWeights(own=lambda shot: own / covariance_freedom(shot), shared=lambda shot: 0.0)
    return GaussianHead(fit_mahalanobis(features, labels, weights=weights, sample_weights=sample_weights), scale)


def _deviations(features: Tensor, labels: Tensor, means: Tensor, sample_weights: Tensor | None) -> tuple[Tensor, float]:
    """The features about their class means, ``(N, D)``, and their degrees of freedom, at least 1.

    With weights every row is scaled by the square root of its own.
    """
    members = labels.unique(return_inverse=True)[1]
    deviations = features - means[members]
    if sample_weights is None:
        return deviations, max(len(features) - len(means), 1)
    return _weighted(deviations, sample_weights), max(float(sample_weights.sum()) - len(means), 1.0)


def _mean_variance(features: Tensor, deviations: Tensor, freedom: float, sample_weights: Tensor | None) -> Tensor:
    """The mean over features of the variance within classes; of all images where classes have one each; else 1."""
    within = deviations.square().sum() / freedom / features.shape[1]
    if bool(within > 0):
        return within
    if sample_weights is None:
        rows, total = features - features.mean(0), float(len(features))
    else:
        total = float(sample_weights.sum())
        rows = _weighted(features - sample_weights.to(features) @ features / total, sample_weights)
    among = rows.square().sum() / max(total - 1, 1) / features.shape[1]
    return among if bool(among > 0) else within + 1


def _weighted(rows: Tensor, sample_weights: Tensor) -> Tensor:
    return sample_weights.to(rows).sqrt()[:, None] * rows
