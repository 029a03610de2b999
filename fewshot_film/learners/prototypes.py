"""Prototypes: the nearest class mean on the features of a frozen, trained or FiLM-adapted backbone.

Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, https://arxiv.org/abs/1703.05175; cosines
with a learned factor: Chen et al., "Meta-Baseline", ICCV 2021, https://arxiv.org/abs/2003.04390
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.support import class_means


class PrototypicalNetworks(FilmLearner):
    """Nearest class mean; for cosines the features are brought to length 1 before they are averaged."""

    config: PrototypesConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.scale = nn.Parameter(torch.tensor(self.config.scale)) if self.config.learn_scale else None

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> PrototypeHead:
        """Average the features of every class; see :meth:`FilmLearner.fit_head`."""
        features = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
        if self.config.distance == "euclidean":
            return PrototypeHead(class_means(features, labels, weights), None)
        scale = self.config.scale if self.scale is None else self.scale
        means = class_means(F.normalize(features, dim=1), labels, weights)
        return PrototypeHead(F.normalize(means, dim=1), scale)


@dataclass(frozen=True)
class PrototypeHead:
    """The class means of one task."""

    prototypes: Tensor
    """Mean of each class, ``(way, D)``; of length 1 for cosines."""
    scale: float | Tensor | None
    """Factor of the cosine; None: squared distances."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``: scaled cosines, or minus the squared distances."""
        features = features.to(self.prototypes.dtype)
        if self.scale is None:
            centre = self.prototypes.mean(0)  # numbers near zero keep more digits through the difference below
            return -squared_distances(features - centre, self.prototypes - centre)
        return self.scale * F.normalize(features, dim=1) @ self.prototypes.T


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Squared Euclidean distances of all rows, ``(*, L, R)``; a difference, so centre the rows first.

    Args:
        left: ``(*, L, D)``.
        right: ``(*, R, D)``.
    """
    return left.square().sum(-1)[..., :, None] - 2 * left @ right.mT + right.square().sum(-1)[..., None, :]
