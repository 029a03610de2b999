"""LaplacianShot: queries near each other get the same class.

Ziko et al., "Laplacian Regularized Few-Shot Learning", ICML 2020, https://arxiv.org/abs/2006.15486. With the squared
distance ``a_qk`` of query q to class mean k, and ``w_qp = 1`` where p is one of the nearest neighbours of q among the
queries and else 0, the assignments ``y_q`` relax

    sum_q y_q^T a_q + lambda / 2 sum_qp w_qp |y_q - y_p|^2,

whose bound is minimised for all queries at once: from ``y_q = softmax(-a_q)``, every step takes

    y_q = softmax(-a_q + lambda sum_p w_qp y_p).

Class means are rectified and queries shifted as in BD-CSPN first, unless the settings say otherwise. Here the weights
of a rectified mean add up to 1 (there its length does not matter), and an image is no neighbour of itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.config.learners import LaplacianShotConfig
from fewshot_film.learners.bd_cspn import rectified
from fewshot_film.learners.prototypes import squared_distances
from fewshot_film.learners.transductive import TransductiveLearner, weighted_means

RECTIFICATION_SCALE = 10.0
"""The epsilon of BD-CSPN."""


class LaplacianShot(TransductiveLearner):
    """LaplacianShot on the features of a frozen backbone."""

    config: LaplacianShotConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        config = self.config
        means = weighted_means(support, members)
        if config.rectify:
            means, queries = rectified(support, members, queries, RECTIFICATION_SCALE)
        costs, affinities = squared_distances(queries, means), neighbours(queries, config.neighbours)
        return laplacian_logits(costs, affinities, config.laplacian_weight, config.steps)


def laplacian_logits(costs: Tensor, affinities: Tensor, weight: float, steps: int) -> Tensor:
    """Logits ``(*, Q, way)`` after so many bound updates.

    Args:
        costs: of every query in every class, ``(*, Q, way)``.
        affinities: of the queries, ``(*, Q, Q)``.
        weight: the paper's lambda, at least 0.
        steps: at least 0.
    """
    logits = -costs
    for _ in range(steps):
        logits = weight * affinities @ logits.softmax(-1) - costs
    return logits


def neighbours(rows: Tensor, count: int) -> Tensor:
    """1 where column q is among the nearest ``count`` other rows of row p, ``(*, Q, Q)``; fewer rows are all taken."""
    distances = squared_distances(rows, rows)
    identity = torch.eye(rows.shape[-2], dtype=torch.bool, device=rows.device)
    distances = distances.masked_fill(identity, torch.inf)
    count = min(count, rows.shape[-2] - 1)
    nearest = distances.topk(count, largest=False).indices
    return torch.zeros_like(distances).scatter(-1, nearest, 1.0)
