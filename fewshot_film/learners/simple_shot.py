"""SimpleShot: the nearest class mean after a simple transform of the features.

Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning", 2019,
https://arxiv.org/abs/1911.04623. Distances are Euclidean, and features are

- UN: as they come;
- L2N: of length 1 (their eq. 3);
- CL2N: less the mean feature of the training classes, then of length 1 (their eq. 4): their best, and the default.

The mean of the training classes is part of the model: ``fewshot-film train`` computes it, and so does
:meth:`SimpleShot.centre_on`. Until then it is 0, which makes CL2N the same as L2N.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import SimpleShotConfig
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.prototypes import PrototypeHead
from fewshot_film.learners.support import at_least_float32, check_support, class_means


class SimpleShot(FixedFeatures):
    """The nearest class mean on transformed features of a frozen backbone."""

    config: SimpleShotConfig
    centre: Tensor

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.register_buffer("centre", torch.zeros(self.backbone.feature_dim))

    def centre_on(self, features: Tensor) -> None:
        """Take the mean feature of the training classes from features ``(N, D)`` of their images."""
        self.centre.copy_(features.mean(0))

    def fit_head(self, features: Tensor, labels: Tensor) -> SimpleShotHead:
        """Average the transformed features of every class; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        transform = Transform(self.config.transform, self.centre)
        return SimpleShotHead(transform, PrototypeHead(class_means(transform(features), labels), None))


@dataclass(frozen=True)
class Transform:
    """What is done to features first."""

    kind: str
    """``un``, ``l2n`` or ``cl2n``."""
    centre: Tensor
    """Mean feature of the training classes, ``(D,)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Features ``(N, D)``, transformed."""
        rows = at_least_float32(features)
        if self.kind == "cl2n":
            rows = rows - self.centre.to(rows)
        return rows if self.kind == "un" else F.normalize(rows, dim=1)


@dataclass(frozen=True)
class SimpleShotHead:
    """The class means of one task."""

    transform: Transform
    means: PrototypeHead

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``: minus the squared distances."""
        return self.means(self.transform(features))
