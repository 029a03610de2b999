"""The Mahalanobis classifier of Simple CNAPS, without a covariance matrix per class.

Class ``k`` with mean ``mu_k`` and ``n_k`` support pictures gets the regularised covariance

    Q_k = lambda_k S_k + (1 - lambda_k) S + I,    lambda_k = n_k / (n_k + 1),

with ``S_k`` the class covariance and ``S`` the covariance of the whole support set, and a query
``x`` the logit ``-(x - mu_k)^T Q_k^-1 (x - mu_k)``
(Bateni et al., "Improved Few-Shot Visual Classification", CVPR 2020, eq. 2-4, https://arxiv.org/abs/1912.03432).

How it is computed. Classes with the same number of pictures ``n`` share ``A_n = (1 - lambda_n) S + I``,
and their ``Q_k`` is ``A_n`` plus the few directions of their own pictures. All that is needed of ``A_n`` is
the inner product ``<u, v> = u^T A_n^-1 v`` between support pictures and queries: one Cholesky factor,
N x N in the dual form (N pictures < D features) or D x D in the primal form. The Woodbury identity then leaves
one n x n system a class, batched over the classes of equal ``n``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fewshot_film.learners.errors import SupportError

OneShot = Literal["zero", "broadcast"]
ONE_SHOT_RULES = ("zero", "broadcast")


@dataclass(frozen=True)
class ClassGroup:
    """What the distances to all classes of ``n`` support pictures need; K such classes."""

    classes: Tensor
    """Columns of the logits that these classes fill, ``(K,)``."""
    rows: Tensor
    """Support pictures of each class, ``(K, n)``."""
    shrinkage: float
    """``(1 - lambda_n) / (N - 1)``: the weight of the task's scatter in ``A_n``."""
    factor: Tensor
    """Cholesky factor: of ``I + shrinkage * G`` (dual, N x N) or of ``A_n`` (primal, D x D)."""
    gram: Tensor
    """``<x_i, x_j>`` within each class, ``(K, n, n)``."""
    update: Tensor | None
    """Cholesky factor of the classes' own part, ``(K, n, n)``; None where ``S_k`` is zero (n = 1)."""


@dataclass(frozen=True)
class MahalanobisClassifier:
    """A classifier fitted to one support set; made by :func:`fit_mahalanobis`."""

    classes: Tensor
    """The labels, in the order of the logits' columns, ``(way,)``."""
    centre: Tensor
    """Mean of all support features, ``(D,)``."""
    support: Tensor
    """Support features about their mean, ``(N, D)``."""
    groups: tuple[ClassGroup, ...]
    one_shot: OneShot

    def distances(self, queries: Tensor) -> Tensor:
        """Squared Mahalanobis distances from queries to classes.

        Args:
            queries: features, ``(Q, D)``.

        Returns:
            ``(Q, way)``, not negative, in the order of ``classes``.

        Raises:
            SupportError: ``queries`` are not ``(Q, D)`` with the support's ``D``.
        """
        if queries.ndim != 2 or queries.shape[1] != self.support.shape[1]:
            raise SupportError(
                f"queries have shape {tuple(queries.shape)}; expected (Q, {self.support.shape[1]}), "
                "features of the same network as the support set"
            )
        with torch.autocast(queries.device.type, enabled=False):
            centred = queries.to(self.support.dtype) - self.centre
            parts = [self._group_distances(group, centred) for group in self.groups]
            order = torch.cat([group.classes for group in self.groups]).argsort()
            distances: Tensor = torch.cat(parts)[order].T.clamp_min(0)
            return distances

    def __call__(self, queries: Tensor) -> Tensor:
        """Logits ``(Q, way)``: minus the squared distances."""
        return -self.distances(queries)

    def _group_distances(self, group: ClassGroup, queries: Tensor) -> Tensor:
        """Distances to the classes of one group, ``(K, Q)``."""
        cross, square = _inner_with_queries(self.support, queries, group)
        mean_cross = cross.mean(1)
        row_mean = group.gram.mean(2)
        mean_gram = row_mean.mean(1, keepdim=True)
        distance = square - 2 * mean_cross + mean_gram
        if group.update is not None:
            # <x_i - mu_k, q - mu_k> for the pictures i of class k
            residual = (cross - mean_cross[:, None]) - (row_mean - mean_gram)[..., None]
            solved = torch.linalg.solve_triangular(group.update, residual, upper=False)
            distance = distance - solved.square().sum(1)
        elif self.one_shot == "broadcast":
            distance = distance - self._broadcast_term(group, queries)
        return distance

    def _broadcast_term(self, group: ClassGroup, queries: Tensor) -> Tensor:
        """What a one-shot class's ``S_k = variance * ones`` takes off its distances, ``(K, Q)``."""
        pictures = self.support[group.rows[:, 0]]
        ones = torch.ones_like(self.centre)[None]
        variance = (pictures + self.centre).var(1, keepdim=True)
        to_ones = _inner(self.support, group, torch.cat([queries, pictures, ones]), ones)[:, 0]
        to_query, to_mean, ones_square = to_ones.split([len(queries), len(pictures), 1])
        half_variance = variance / 2  # lambda of a one-shot class is 1/2
        gain = half_variance / (1 + half_variance * ones_square)
        term: Tensor = gain * (to_query[None] - to_mean[:, None]).square()
        return term


def fit_mahalanobis(features: Tensor, labels: Tensor, one_shot: OneShot = "zero") -> MahalanobisClassifier:
    """Fit the classifier to a support set; differentiable in the features.

    Args:
        features: support features, ``(N, D)``; half precision is raised to float32.
        labels: any integers, ``(N,)``; the logits' columns follow their sorted order.
        one_shot: covariance of a class with one picture. ``"zero"``: none of its own. ``"broadcast"``: what the
            reference implementation computes, the variance of the picture over its D features in every entry.

    Raises:
        SupportError: empty support, shapes that do not fit, features that are not finite, an unknown rule.
    """
    _check_support(features, labels, one_shot)
    with torch.autocast(features.device.type, enabled=False):
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        centre = features.mean(0)
        support = features - centre
        dual = support.shape[0] < support.shape[1]
        scatter = support @ support.T if dual else support.T @ support
        classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
        by_class = members.argsort(stable=True).split(counts.tolist())
        groups = []
        for shot in counts.unique().tolist():
            columns = (counts == shot).nonzero()[:, 0]
            rows = torch.stack([by_class[column] for column in columns.tolist()])
            groups.append(_fit_group(support, scatter, columns, rows))
    return MahalanobisClassifier(classes, centre, support, tuple(groups), one_shot)


def _check_support(features: Tensor, labels: Tensor, one_shot: str) -> None:
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise SupportError(
            f"features {tuple(features.shape)} and labels {tuple(labels.shape)} do not fit; expected (N, D) and (N,)"
        )
    if len(features) == 0:
        raise SupportError("the support set is empty; give at least one picture")
    if one_shot not in ONE_SHOT_RULES:
        raise SupportError(f"unknown one_shot rule {one_shot!r}; choose one of {', '.join(ONE_SHOT_RULES)}")
    if not bool(torch.isfinite(features).all()):
        raise SupportError("support features are not finite; check the network's weights and the pictures")


def _fit_group(support: Tensor, scatter: Tensor, columns: Tensor, rows: Tensor) -> ClassGroup:
    num_pictures, shot = len(support), rows.shape[1]
    shrinkage = 1 / (shot + 1) / max(num_pictures - 1, 1)
    identity = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)
    factor = torch.linalg.cholesky(identity + shrinkage * scatter)
    group = ClassGroup(columns, rows, shrinkage, factor, gram=support, update=None)
    gram = _inner_within_classes(support, scatter, group)
    update = None
    if shot > 1:
        weight = (shot - 1) * (shot + 1) / shot  # 1 / (lambda / (n - 1))
        own = weight * torch.eye(shot, dtype=gram.dtype, device=gram.device) + _centre(gram)
        update = torch.linalg.cholesky(own)
    return ClassGroup(columns, rows, shrinkage, factor, gram, update)


def _is_dual(support: Tensor) -> bool:
    return support.shape[0] < support.shape[1]


def _inner_within_classes(support: Tensor, scatter: Tensor, group: ClassGroup) -> Tensor:
    """``<x_i, x_j>`` of the pictures of each class, ``(K, n, n)``."""
    if _is_dual(support):
        gram = torch.cholesky_solve(scatter, group.factor)
        return gram[group.rows[:, :, None], group.rows[:, None, :]]
    white: Tensor = torch.linalg.solve_triangular(group.factor, support[group.rows].mT, upper=False)
    return white.mT @ white


def _inner_with_queries(support: Tensor, queries: Tensor, group: ClassGroup) -> tuple[Tensor, Tensor]:
    """``<x_i, q>`` for the pictures of each class, ``(K, n, Q)``, and ``<q, q>``, ``(Q,)``."""
    if _is_dual(support):
        plain = support @ queries.T
        solved = torch.cholesky_solve(plain, group.factor)
        return solved[group.rows], queries.square().sum(1) - group.shrinkage * (plain * solved).sum(0)
    solved = torch.cholesky_solve(queries.T, group.factor)
    return support[group.rows] @ solved, (queries.T * solved).sum(0)


def _inner(support: Tensor, group: ClassGroup, left: Tensor, right: Tensor) -> Tensor:
    """``<u, v>`` between any vectors, ``(len(left), len(right))``."""
    if _is_dual(support):
        solved = torch.cholesky_solve(support @ right.T, group.factor)
        return left @ right.T - group.shrinkage * (left @ support.T) @ solved
    return left @ torch.cholesky_solve(right.T, group.factor)


def _centre(gram: Tensor) -> Tensor:
    """Inner products about the classes' means, ``(K, n, n)``."""
    row_mean = gram.mean(2, keepdim=True)
    return gram - row_mean - row_mean.mT + row_mean.mean(1, keepdim=True)
