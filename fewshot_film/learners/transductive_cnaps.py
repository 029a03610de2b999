"""Transductive CNAPS: Simple CNAPS that looks at the query pictures too.

Bateni et al., "Enhancing Few-Shot Image Classification With Unlabelled Examples", WACV 2022,
https://arxiv.org/abs/2006.12245: the task code comes from support and query pictures (section 3.1), and after training
the class means and covariances are refined by soft k-means over both (section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import TransductiveCNAPSConfig
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.checks import check_finite
from fewshot_film.learners.film_learner import FilmFeatures
from fewshot_film.learners.mahalanobis import CovarianceWeights, MahalanobisClassifier, fit_mahalanobis
from fewshot_film.learners.prototypes import class_means
from fewshot_film.learners.refinement import refine


class TransductiveCNAPS(FilmFeatures):
    """The whole model. ``adapt`` keeps the support set; a call with query pictures then judges them together.

    So the logits of a picture depend on the others of the call: give all pictures of a task in one call.
    """

    config: TransductiveCNAPSConfig
    transductive = True

    def __init__(self, config: TransductiveCNAPSConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        self.task_encoder = None if self.set_encoder is None else TaskEncoder(config.code_dim)

    def fit_head(self, features: Tensor, labels: Tensor) -> MahalanobisClassifier:
        """Simple CNAPS's head, with class covariances divided by their number of pictures; before any refinement."""
        num_others = max(len(features) - 1, 1)
        weights = CovarianceWeights(own=lambda shot: 1 / (shot + 1), shared=lambda shot: 1 / (shot + 1) / num_others)
        return fit_mahalanobis(features, labels, weights=weights)

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedTransductiveCNAPS:
        """Keep the support set until the query pictures come; see :meth:`Learner.adapt`."""
        return AdaptedTransductiveCNAPS(self, support_images, support_labels)

    def judge(self, support_images: Tensor, support_labels: Tensor, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of query pictures ``(Q, C, H, W)``, by support and query pictures together."""
        if not self.training:  # all pictures make the code: one bad picture would spoil the features of all
            check_finite(support_images, "support image", support_images)
            check_finite(query_images, "query image", query_images)
        code = self._code(support_images, support_labels, query_images)
        modulations = self.modulations(support_images, code)
        support = self.support_features(support_images, modulations)
        queries = self.features(query_images, modulations, "query image")
        logits = self.fit_head(support, support_labels)(queries)
        if self.training or self.config.refinements == 0:
            return logits
        members = support_labels.unique(return_inverse=True)[1]
        return refine(support, members, queries, logits, self.config.min_refinements, self.config.refinements)

    def _code(self, support_images: Tensor, support_labels: Tensor, query_images: Tensor) -> Tensor | None:
        if self.set_encoder is None or self.task_encoder is None:
            return None
        support, queries = (
            self.set_encoder.vectors(self.backbone.normalize(images), self.gradient_chunk)
            for images in (support_images, query_images)
        )
        return cast(Tensor, self.task_encoder(class_means(support, support_labels).mean(0), queries.mean(0)))


class TaskEncoder(nn.Module):
    """A two-layer LSTM that reads the class-balanced mean of the support set, then the mean of the queries.

    Args:
        dim: width of the means and of the code.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, num_layers=2)

    def forward(self, support_mean: Tensor, query_mean: Tensor) -> Tensor:
        """Task code ``(1, dim)`` of two means ``(dim,)``."""
        outputs, _ = self.lstm(torch.stack([support_mean, query_mean])[:, None])
        return cast(Tensor, outputs[-1])


@dataclass(frozen=True)
class AdaptedTransductiveCNAPS:
    """A classifier for one task, that does its work when the query pictures come."""

    learner: TransductiveCNAPS
    support_images: Tensor
    support_labels: Tensor

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of pictures ``(Q, C, H, W)`` in [0, 1], judged together."""
        return self.learner.judge(self.support_images, self.support_labels, query_images)
