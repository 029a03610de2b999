"""Transductive CNAPS: Simple CNAPS that uses the query images too.

Bateni et al., "Enhancing Few-Shot Image Classification With Unlabelled Examples", WACV 2022,
https://arxiv.org/abs/2006.12245: the task code comes from support and query images (section 3.1), and after training
the class means and covariances are refined by soft k-means over both, in the metrics of Simple CNAPS's class
covariances (section 3.2).

With ``w_ik`` the share of image i in class k (certain for support images, the softmax of the logits for queries),
``N_k`` their sum, ``mu_k`` the weighted mean, and M images in all, a step of soft k-means takes

    Q_k = lambda_k sum_i w_ik (x_i - mu_k) (x_i - mu_k)^T / N_k + (1 - lambda_k) S + I,    lambda_k = N_k / (N_k + 1),

and the logits are minus the squared distances again. How it is computed: ``Q_k = I + X^T C_k X`` for the images about
their mean, with ``C_k`` a diagonal matrix less one of rank 1, whose inverse is written down at once. So where M < D the
distances take a Cholesky factor of the M x M matrix ``C_k^-1 + X X^T`` for each class, and nothing of size D x D.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import TransductiveCNAPSConfig
from fewshot_film.learners.film_learner import FilmFeatures
from fewshot_film.learners.learner import Head
from fewshot_film.learners.scatter import cholesky, needs_double
from fewshot_film.learners.simple_cnaps import CovarianceWeights, MahalanobisClassifier, fit_mahalanobis
from fewshot_film.learners.support import at_least_float32, check_finite, class_means

MIN_REFINEMENTS = 2
"""Steps of soft k-means after training, at least."""


class TransductiveCNAPS(FilmFeatures):
    """The whole model. ``adapt`` keeps the support set; a call with query images then classifies them jointly.

    So the logits of an image depend on the others of the call: pass all images of a task in one call.
    """

    config: TransductiveCNAPSConfig
    transductive = True

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.task_encoder = None if self.set_encoder is None else TaskEncoder(self.config.code_dim)

    def fit_head(self, features: Tensor, labels: Tensor) -> Head:
        """Keep the support set until the queries' features come; see :meth:`FilmFeatures.fit_head`."""
        return partial(self._joint_logits, features, labels)

    def _joint_logits(self, support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
        logits = self._first_head(support, labels)(queries)
        if self.training or self.config.refinements == 0:
            return logits
        members = labels.unique(return_inverse=True)[1]
        return refine(support, members, queries, logits, MIN_REFINEMENTS, self.config.refinements)

    def _first_head(self, features: Tensor, labels: Tensor) -> MahalanobisClassifier:
        """Simple CNAPS's head, with class covariances divided by their number of images; before any refinement."""
        num_others = max(len(features) - 1, 1)
        weights = CovarianceWeights(own=lambda shot: 1 / (shot + 1), shared=lambda shot: 1 / (shot + 1) / num_others)
        return fit_mahalanobis(features, labels, weights=weights)

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedTransductiveCNAPS:
        """Keep the support set until the query images come; see :meth:`Learner.adapt`."""
        return AdaptedTransductiveCNAPS(self, support_images, support_labels)

    def classify(self, support_images: Tensor, support_labels: Tensor, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of query images ``(Q, C, H, W)``, from support and query images together."""
        if not self.training:  # all images make the code: one bad image would spoil the features of all
            check_finite(support_images, "support image", support_images)
            check_finite(query_images, "query image", query_images)
        if len(query_images) == 0:
            return support_images.new_zeros(0, len(support_labels.unique()))
        code = self._code(support_images, support_labels, query_images)
        modulations = self.modulations(support_images, code)
        support = self.support_features(support_images, modulations)
        queries = self.features(query_images, modulations, "query image")
        return self.fit_head(support, support_labels)(queries)

    def _code(self, support_images: Tensor, support_labels: Tensor, query_images: Tensor) -> Tensor | None:
        if self.set_encoder is None or self.task_encoder is None:
            return None
        support, queries = (
            self.set_encoder.vectors(self.backbone.normalize(images), self.gradient_chunk)
            for images in (support_images, query_images)
        )
        return cast(Tensor, self.task_encoder(class_means(support, support_labels).mean(0), queries.mean(0)))


class TaskEncoder(nn.Module):
    """A two-layer LSTM that reads the class-balanced mean of the support set, then the mean of the queries.

    Args:
        dim: width of the means and of the code.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, num_layers=2)

    def forward(self, support_mean: Tensor, query_mean: Tensor) -> Tensor:
        """Task code ``(1, dim)`` of two means ``(dim,)``."""
        outputs, _ = self.lstm(torch.stack([support_mean, query_mean])[:, None])
        return cast(Tensor, outputs[-1])


@dataclass(frozen=True)
class AdaptedTransductiveCNAPS:
    """A classifier for one task, that does its work when the query images come."""

    learner: TransductiveCNAPS
    support_images: Tensor
    support_labels: Tensor

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of images ``(Q, C, H, W)`` in [0, 1], classified jointly."""
        return self.learner.classify(self.support_images, self.support_labels, query_images)


def refine(support: Tensor, members: Tensor, queries: Tensor, logits: Tensor, min_steps: int, max_steps: int) -> Tensor:
    """Refine the query images' logits, until no label changes.

    Args:
        support: features, ``(N, D)``.
        members: class of every support image, ``(N,)`` in ``[0, way)``, every class at least once.
        queries: features, ``(Q, D)``.
        logits: what is known before, ``(Q, way)``.
        min_steps: steps to take at least.
        max_steps: steps to take at most.

    Returns:
        Logits ``(Q, way)``.
    """
    if len(queries) == 0:
        return logits
    with torch.autocast(support.device.type, enabled=False):
        features = at_least_float32(torch.cat([support, queries]))
        features = features - features.mean(0)
        if needs_double(features, 0.5):  # no image weighs more in a class's covariance
            features = features.double()
        known = torch.nn.functional.one_hot(members, logits.shape[1]).to(features.dtype)
        logits = logits.to(features.dtype)
        for step in range(max_steps):
            before = logits
            shares = torch.cat([known, before.softmax(1)])
            logits = -_distances(features, shares, len(queries))
            if step + 1 >= min_steps and torch.equal(logits.argmax(1), before.argmax(1)):
                break
    return logits


def _distances(features: Tensor, shares: Tensor, num_queries: int) -> Tensor:
    """Squared distances of the last ``num_queries`` images, ``(Q, way)``, from shares ``(M, way)``."""
    count = shares.sum(0)
    own = 1 / (count + 1)  # lambda / N
    shared = own / (len(features) - 1)  # (1 - lambda) / (M - 1)
    solve = _in_the_span if len(features) < features.shape[1] else _in_feature_space
    distances = solve(features, shares.T, count, own, shared, num_queries)
    return distances.T.clamp_min(0)


def _in_the_span(
    features: Tensor, shares: Tensor, count: Tensor, own: Tensor, shared: Tensor, num_queries: int
) -> Tensor:
    gram = features @ features.T
    to_mean = shares @ gram / count[:, None]  # <mu_k, x_i>, (K, M)
    mean_square = (to_mean * shares).sum(1) / count
    # C_k = diag(d) - own / N w w^T with d = shared + own w; its inverse by Sherman and Morrison
    diagonal = shared[:, None] + own[:, None] * shares
    scaled = shares / diagonal
    gain = own / (scaled * shared[:, None]).sum(1)
    system = gain[:, None, None] * scaled[:, :, None] * scaled[:, None, :] + gram
    system = system + torch.diag_embed(1 / diagonal)
    offset = gram[:, -num_queries:] - to_mean[:, :, None]  # <x_i, q - mu_k>, (K, M, Q)
    solved: Tensor = torch.linalg.solve_triangular(cholesky(system), offset, upper=False)
    plain = gram.diagonal()[-num_queries:] - 2 * to_mean[:, -num_queries:] + mean_square[:, None]
    return plain - solved.square().sum(1)


def _in_feature_space(
    features: Tensor, shares: Tensor, count: Tensor, own: Tensor, shared: Tensor, num_queries: int
) -> Tensor:
    scatter = features.T @ features
    identity = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)
    distances = []
    for weights, number, own_weight, shared_weight in zip(shares, count, own, shared, strict=True):
        mean = weights @ features / number
        within = (features.T * weights) @ features - number * mean[:, None] * mean
        factor = cholesky(identity + shared_weight * scatter + own_weight * within)
        offset = (features[-num_queries:] - mean).T
        distances.append(torch.linalg.solve_triangular(factor, offset, upper=False).square().sum(0))
    return torch.stack(distances)
