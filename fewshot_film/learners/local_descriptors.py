"""Base of the methods that compare the positions of feature maps, not their means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from fewshot_film.learners.learner import FixedFeatures, Head
from fewshot_film.learners.support import at_least_float32


class LocalDescriptors(FixedFeatures):
    """A head on the last maps of a frozen backbone: an image is a set of descriptors, one for each position.

    What a :class:`FixedFeatures` calls features are descriptors ``(B, m, C)`` here. A backbone that returns no maps has
    one descriptor per image; so have several networks side by side, all of whose features it holds.
    """

    def descriptors(self, images: Tensor) -> Tensor:
        """Local descriptors ``(B, m, C)`` of images ``(B, C, H, W)`` in [0, 1]."""
        found = self.backbone.maps(images)
        maps = at_least_float32(found[-1] if self.backbone.is_sequence else torch.cat(found, 1))
        return maps.flatten(2).mT if maps.ndim > 2 else maps[:, None]

    def features(
        self, images: Tensor, kind: str = "image", network: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Descriptors ``(B, m, C)``; see :meth:`FrozenLearner.features`."""
        return super().features(images, kind, network or self.descriptors)

    @abstractmethod
    def fit_head(self, features: Tensor, labels: Tensor) -> Head:
        """The head for a task.

        Args:
            features: descriptors of the support set, ``(N, m, C)``.
            labels: any integers, ``(N,)``; the logits' columns follow their sorted order.

        Raises:
            SupportError: no head can be made from this support set.
        """
