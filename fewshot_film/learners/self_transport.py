"""Self-optimal transport: every image of a task is described by how near it is to each of the others.

Shalam and Korman, "The Self-Optimal-Transport Feature Transform", 2022, https://arxiv.org/abs/2204.03065; as "The
Balanced-Pairwise-Affinities Feature Transform" at ICML 2024, https://arxiv.org/abs/2407.01467. The features are brought
to length 1; the plan that transports the set to itself at the squared Euclidean distances, with all sums 1 and nothing
staying in its place, is the matrix of affinities, whose diagonal is then set to 1. Its rows are the new features, for
any method that follows: as many numbers as the task has images, support set and queries.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.learners.sinkhorn import sinkhorn

PENALTY = 10.0
"""Sinkhorn's lambda: the authors give its inverse, 0.1."""


def self_transport(features: Tensor) -> Tensor:
    """Affinities ``(*, M, M)`` of the images of any number of tasks, from features ``(*, M, D)``; symmetric.

    With two images they are all 1: needs three to tell anything apart.
    """
    directions = F.normalize(features, dim=-1)
    identity = torch.eye(features.shape[-2], dtype=torch.bool, device=features.device)
    cost = (2 - 2 * directions @ directions.mT).masked_fill(identity, torch.inf)
    ones = features.new_ones(())
    plan = sinkhorn(cost, ones, ones, PENALTY).exp()
    return ((plan + plan.mT) / 2).masked_fill(identity, 1)  # symmetric but for what the iteration leaves
