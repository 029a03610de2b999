"""Matching networks: a query takes its label from the support images, each weighted by its similarity.

Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016, eq. 1 and section 2.1.1,
https://arxiv.org/abs/1606.04080; without the full context embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.learners import MatchingConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.support import at_least_float32, check_support


class MatchingNetworks(FilmLearner):
    """Attention over the support images: the softmax of the scaled cosines."""

    config: MatchingConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.scale = nn.Parameter(torch.tensor(self.config.scale), requires_grad=self.config.learn_scale)

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> MatchingHead:
        """Keep the support set's directions; see :meth:`FilmLearner.fit_head`."""
        check_support(features, labels)
        classes, members = labels.unique(return_inverse=True)
        directions = F.normalize(at_least_float32(features), dim=1)
        counted = None if weights is None else weights.to(directions).log()
        return MatchingHead(directions, F.one_hot(members, len(classes)).bool(), self.scale, counted)


@dataclass(frozen=True)
class MatchingHead:
    """The support set of one task."""

    directions: Tensor
    """Its features, of length 1, ``(N, D)``."""
    is_member: Tensor
    """Whether an image is of a class, ``(N, way)``."""
    scale: Tensor
    """Factor of the cosines."""
    log_weights: Tensor | None = None
    """Logarithms of what the images count, ``(N,)``; None: 1 each."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``: logarithms of the attention that each class gets."""
        cosines = F.normalize(features.to(self.directions.dtype), dim=1) @ self.directions.T
        scores = self.scale * cosines
        attention = (scores if self.log_weights is None else scores + self.log_weights).log_softmax(1)
        return attention[:, :, None].masked_fill(~self.is_member, -torch.inf).logsumexp(1)
