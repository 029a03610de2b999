"""DN4: every local descriptor of a query looks for its nearest neighbours among those of each class.

Li et al., "Revisiting Local Descriptor based Image-to-Class Measure for Few-shot Learning", CVPR 2019,
https://arxiv.org/abs/1903.12290. The last maps of the backbone are m local descriptors ``x_i`` of an image, one for
each position. With ``x_i^1 .. x_i^k`` the k = 3 descriptors of a class's support images whose cosine with ``x_i`` is
largest, the class's logit is (their eq. 3)

    sum_{i=1..m} sum_{j=1..k} cos(x_i, x_i^j).

In the paper the backbone is trained for this measure, on episodes; here it is frozen, as it was pre-trained, so that
what the measure itself gives is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import DN4Config
from fewshot_film.learners.local_descriptors import LocalDescriptors
from fewshot_film.learners.support import check_support

QUERIES_AT_ONCE = 8
"""Queries whose descriptors are compared at once, which bounds the memory."""


class DN4(LocalDescriptors):
    """The image-to-class measure on the local descriptors of a frozen backbone."""

    config: DN4Config

    def fit_head(self, features: Tensor, labels: Tensor) -> DN4Head:
        """Keep the descriptors of every class; see :meth:`LocalDescriptors.fit_head`."""
        check_support(features.flatten(1), labels)
        found = F.normalize(features, dim=-1)
        return DN4Head([found[labels == label].flatten(0, 1) for label in labels.unique()], self.config.neighbours)


@dataclass(frozen=True)
class DN4Head:
    """The descriptors of one task's classes."""

    by_class: Sequence[Tensor]
    """Of each class, ``(images * m, C)``, of length 1."""
    neighbours: int
    """The paper's k."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of descriptors ``(Q, m, C)``."""
        return torch.cat([self._logits(F.normalize(part, dim=-1)) for part in features.split(QUERIES_AT_ONCE)])

    def _logits(self, queries: Tensor) -> Tensor:
        columns = []
        for known in self.by_class:
            nearest = (queries @ known.T).topk(min(self.neighbours, len(known)), dim=-1).values
            columns.append(nearest.sum((1, 2)))
        return torch.stack(columns, 1)
