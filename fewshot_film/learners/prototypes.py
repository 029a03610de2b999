"""Prototypes: the nearest class mean on the features of a frozen or trained backbone.

Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, https://arxiv.org/abs/1703.05175
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.errors import SupportError
from fewshot_film.learners.learner import Learner

Distance = Literal["cosine", "euclidean"]


class Prototypes(Learner):
    """Nearest class mean.

    Args:
        backbone: pictures to features.
        distance: ``euclidean`` is the paper's squared distance; ``cosine`` compares directions.
        scale: factor of the cosine in the logits.
    """

    def __init__(self, backbone: Backbone, distance: Distance = "cosine", scale: float = 10.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.distance = distance
        self.scale = scale

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedPrototypes:
        """Average the features of every class; see :meth:`Learner.adapt`."""
        features = self.features(support_images)
        return AdaptedPrototypes(self, class_means(features, support_labels))

    def features(self, images: Tensor) -> Tensor:
        """Features ``(B, D)``, of length 1 for cosine distances."""
        features = cast(Tensor, self.backbone(images)).float()
        return F.normalize(features, dim=1) if self.distance == "cosine" else features


@dataclass(frozen=True)
class AdaptedPrototypes:
    """A classifier for one task."""

    learner: Prototypes
    prototypes: Tensor
    """Mean of each class, ``(way, D)``."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)``: scaled cosines, or minus the squared distances."""
        queries = self.learner.features(query_images)
        if self.learner.distance == "cosine":
            return self.learner.scale * queries @ F.normalize(self.prototypes, dim=1).T
        return -torch.cdist(queries, self.prototypes).square()


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """Mean of the rows of every label, ``(way, D)``, in the sorted order of the labels.

    Raises:
        SupportError: there are no rows, or labels and rows differ in number.
    """
    if len(features) == 0 or len(features) != len(labels):
        raise SupportError(f"{len(features)} support pictures and {len(labels)} labels; expected as many, at least 1")
    classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
    sums = features.new_zeros(len(classes), features.shape[1]).index_add(0, members, features)
    means: Tensor = sums / counts[:, None]
    return means
