"""DeepEMD: the cheapest way to turn the local descriptors of a query into those of a class.

Zhang et al., "DeepEMD: Few-Shot Image Classification with Differentiable Earth Mover's Distance and Structured
Classifiers", CVPR 2020, https://arxiv.org/abs/2003.06777. With ``u_i`` the m descriptors of a query and ``v_j`` those
of a class, both less their mean over the channels,

- moving from i to j costs ``c_ij = 1 - cos(u_i, v_j)``;
- a descriptor weighs as much as it resembles the other image as a whole (their cross-reference mechanism):
  ``s_i = max(u_i . mean_j v_j, 0)`` before the channels' mean is subtracted, likewise for ``v_j``, plus 0.001, and both
  sides are scaled to a sum of m;
- ``x`` is the transport plan with these sums that costs least in all, and the logit ``temperature / m sum_ij (1 - c_ij)
  x_ij``, with a temperature of 12.5.

The numbers are those of their code. Theirs solves a linear programme for each pair, by OpenCV; here all pairs of a task
are solved at once by Sinkhorn's algorithm, with a regularisation so small that logits differ by less than about 0.1.
With several images per class the paper trains a map of prototypes, from the mean of the class's maps; here it stays
that mean. In the paper the backbone is trained for this measure; here it is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import DeepEMDConfig
from fewshot_film.learners.local_descriptors import LocalDescriptors
from fewshot_film.learners.sinkhorn import sinkhorn
from fewshot_film.learners.support import check_support, class_means

LEAST_WEIGHT = 1e-3
"""Added to the weight of every descriptor."""
_SHARPNESS = 100.0
"""Sinkhorn's lambda: costs are told apart to about a hundredth."""
_TOLERANCE = 0.01
"""Of Sinkhorn's algorithm; logits change by less than a hundredth where it is smaller."""
QUERIES_AT_ONCE = 32
"""Queries whose plans are found at once, which bounds the memory."""


class DeepEMD(LocalDescriptors):
    """The earth mover's distance between the maps of a frozen backbone."""

    config: DeepEMDConfig

    def fit_head(self, features: Tensor, labels: Tensor) -> DeepEMDHead:
        """Average the maps of every class; see :meth:`LocalDescriptors.fit_head`."""
        check_support(features.flatten(1), labels)
        means = class_means(features.flatten(1), labels).unflatten(1, features.shape[1:])
        return DeepEMDHead(means, self.config.temperature)


@dataclass(frozen=True)
class DeepEMDHead:
    """The mean maps of one task's classes."""

    prototypes: Tensor
    """``(way, m, C)``."""
    temperature: float
    """Factor of the mean similarity."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of descriptors ``(Q, m, C)``."""
        chunks = features.to(self.prototypes).split(QUERIES_AT_ONCE)
        return self.temperature * torch.cat([matched_similarity(chunk, self.prototypes) for chunk in chunks])


def matched_similarity(queries: Tensor, prototypes: Tensor) -> Tensor:
    """Mean similarity of the descriptors that the cheapest plan moves onto each other, ``(Q, way)``.

    Args:
        queries: ``(Q, m, C)``.
        prototypes: ``(way, m, C)``.
    """
    given = _weights(torch.einsum("qic,kc->qki", queries, prototypes.mean(1)))
    wanted = _weights(torch.einsum("kjc,qc->qkj", prototypes, queries.mean(1)))
    left, right = (F.normalize(rows - rows.mean(-1, keepdim=True), dim=-1) for rows in (queries, prototypes))
    similarity = torch.einsum("qic,kjc->qkij", left, right)
    plan = sinkhorn(1 - similarity, given, wanted, _SHARPNESS, _TOLERANCE).exp()
    return (similarity * plan).sum((-2, -1))


def _weights(products: Tensor) -> Tensor:
    """Weights of descriptors, ``(*, m)``, that add up to 1."""
    found = products.clamp_min(0) + LEAST_WEIGHT
    return found / found.sum(-1, keepdim=True)
