"""Soft k-means of the class means: the queries refine them in proportion to how likely they are of each class.

Ren et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018, section 3.1.1,
https://arxiv.org/abs/1803.00676. With the class means ``p_k``, the shares ``z_ik`` of the queries are the softmax of
``-scale |x_i - p_k|^2``, and the refined means are those of all images by their shares, certain for support images.

The paper has unlabelled images besides the queries; here the queries are the unlabelled images. Its embedding is
trained for a scale of 1; here features have length 1 and the scale is a setting.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.config.learners import SoftKMeansConfig
from fewshot_film.learners.prototypes import squared_distances
from fewshot_film.learners.transductive import TransductiveLearner, weighted_means


class SoftKMeans(TransductiveLearner):
    """Class means refined by soft k-means on the features of a frozen backbone."""

    config: SoftKMeansConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        return soft_kmeans_logits(support, members, queries, self.config.scale, self.config.steps)


def soft_kmeans_logits(support: Tensor, members: Tensor, queries: Tensor, scale: float, steps: int) -> Tensor:
    """Logits ``(*, Q, way)`` by the refined class means.

    Args:
        support: ``(*, N, D)``.
        members: 1 where an image is of a class and else 0, ``(*, N, way)``.
        queries: ``(*, Q, D)``.
        scale: factor of the squared distances.
        steps: refinements, at least 0.
    """
    images, means = torch.cat([support, queries], -2), weighted_means(support, members)
    logits = -scale * squared_distances(queries, means)
    for _ in range(steps):
        means = weighted_means(images, torch.cat([members, logits.softmax(-1)], -2))
        logits = -scale * squared_distances(queries, means)
    return logits
