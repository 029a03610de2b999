"""FEAT: the class means of a task look at each other through self-attention before queries are compared with them.

Ye et al., "Few-Shot Learning via Embedding Adaptation with Set-to-Set Functions", CVPR 2020, section 4 and the
transformer of table 1, https://arxiv.org/abs/1812.03664. With ``p_k`` the class means, each becomes

    p'_k = LayerNorm(p_k + Dropout(W sum_l a_kl V p_l)),    a_k = softmax_l((Q p_k) . (K p_l) / sqrt(D))

and the logits of a query x are ``-|x - p'_k|^2 / temperature``. Queries stay as they are. Meta-training adds a
contrastive loss (their eq. 7), of weight 0.1 here, 0.01 to 0.1 there: all images of each class are adapted together, by
the same transformer, and every image of the task has to be nearest to its own class's mean of them.

Features are brought to a length of sqrt(D) first, that which the LayerNorm starts with, so that class means and queries
are of one size for any backbone; theirs are as they come. The backbone stays frozen unless ``train_backbone`` is set;
theirs is trained with the transformer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.learners import FEATConfig
from fewshot_film.episodes import Episode
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.prototypes import PrototypeHead, squared_distances
from fewshot_film.learners.support import at_least_float32, check_support, class_means


class FEAT(FilmLearner):
    """Class means adapted by a transformer, which knows nothing before meta-training."""

    config: FEATConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.transformer = SetTransformer(self.backbone.feature_dim, self.config.dropout)

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> FEATHead:
        """Adapt the class means; see :meth:`FilmLearner.fit_head`."""
        check_support(features, labels)
        means = class_means(scaled(features), labels, weights)
        return FEATHead(self.config.temperature, PrototypeHead(self.transformer(means), None))

    def penalty(self, episode: Episode) -> Tensor:
        """The contrastive loss beside what FiLM adds; see :meth:`Learner.penalty`."""
        penalty = super().penalty(episode)
        if not self.config.contrast_weight:
            return penalty
        images = torch.cat([episode.support_images, episode.query_images])
        labels = torch.cat([episode.support_labels, episode.query_labels])
        features = self.features(images, self.modulations(episode.support_images))
        return penalty + self.config.contrast_weight * self.contrast(features, labels)

    def contrast(self, features: Tensor, labels: Tensor) -> Tensor:
        """The contrastive loss of all images of a task, a scalar.

        Args:
            features: ``(M, D)``.
            labels: any integers, ``(M,)``.
        """
        classes, members = labels.unique(return_inverse=True)
        rows = scaled(features)
        centres = torch.stack([self.transformer(rows[labels == label]).mean(0) for label in classes])
        return F.cross_entropy(-squared_distances(rows, centres) / self.config.temperature, members)


class SetTransformer(nn.Module):
    """One layer of self-attention with one head over the vectors of a set.

    Args:
        dim: width ``D`` of the vectors.
        dropout: share of the attention's output that is dropped in training.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=dim**-0.5)
        self.out = nn.Linear(dim, dim)
        nn.init.xavier_normal_(self.out.weight)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors: Tensor) -> Tensor:
        """Adapted vectors of a set, ``(M, D)`` both; in any order."""
        attention = (self.query(vectors) @ self.key(vectors).T / vectors.shape[1] ** 0.5).softmax(1)
        return cast(Tensor, self.norm(vectors + self.dropout(self.out(attention @ self.value(vectors)))))


@dataclass(frozen=True)
class FEATHead:
    """The adapted class means of one task."""

    temperature: float
    """What squared distances are divided by."""
    means: PrototypeHead

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        return self.means(scaled(features)) / self.temperature


def scaled(features: Tensor) -> Tensor:
    """Features ``(N, D)`` at a length of sqrt(D)."""
    return F.normalize(at_least_float32(features), dim=1) * math.sqrt(features.shape[1])
