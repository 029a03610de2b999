"""Relation networks: a small network says how well a query and a class go together.

Sung et al., "Learning to Compare: Relation Network for Few-Shot Learning", CVPR 2018, eq. 1,
https://arxiv.org/abs/1711.06025; on pooled features, where the paper compares feature maps, with the class mean for the
paper's sum, and with cross-entropy as every learner here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import RelationConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.support import at_least_float32, check_support, class_means


class RelationNetworks(FilmLearner):
    """A learned comparison; it knows nothing before meta-training."""

    config: RelationConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.compare = RelationModule(self.backbone.feature_dim, self.config.hidden_dim)

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> RelationHead:
        """Average the features of every class; see :meth:`FilmLearner.fit_head`."""
        check_support(features, labels)
        return RelationHead(self.compare, class_means(at_least_float32(features), labels, weights))


class RelationModule(nn.Module):
    """Two layers on a class mean and a query side by side.

    Args:
        feature_dim: width ``D`` of the features.
        hidden_dim: width between the layers.
    """

    def __init__(self, feature_dim: int, hidden_dim: int) -> None:
        super().__init__()
        # one linear layer on the pair is one on each, added up: no pair has to be written out
        self.of_class = nn.Linear(feature_dim, hidden_dim)
        self.of_query = nn.Linear(feature_dim, hidden_dim, bias=False)
        self.score = nn.Linear(hidden_dim, 1)

    def forward(self, means: Tensor, queries: Tensor) -> Tensor:
        """Scores ``(Q, way)`` of class means ``(way, D)`` and queries ``(Q, D)``."""
        hidden = torch.relu(self.of_query(queries)[:, None] + self.of_class(means))
        return cast(Tensor, self.score(hidden))[..., 0]


@dataclass(frozen=True)
class RelationHead:
    """The class means of one task, and what compares with them."""

    compare: RelationModule
    prototypes: Tensor
    """``(way, D)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        return cast(Tensor, self.compare(self.prototypes, features.to(self.prototypes.dtype)))
