"""Simple CNAPS: FiLM-adapted features and a Mahalanobis classifier, both set by one pass over the support set.

Bateni et al., "Improved Few-Shot Visual Classification", CVPR 2020, https://arxiv.org/abs/1912.03432
"""

from __future__ import annotations

from torch import Tensor

from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.mahalanobis import MahalanobisClassifier, fit_mahalanobis


class SimpleCNAPS(FilmLearner):
    """The whole model; the default configuration is the published architecture (19,771,008 parameters)."""

    config: SimpleCNAPSConfig

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> MahalanobisClassifier:
        """Means and covariances of the classes, eq. 2-4; see :meth:`FilmLearner.fit_head`."""
        return fit_mahalanobis(features, labels, self.config.one_shot, sample_weights=weights)
