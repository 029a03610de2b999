"""What every few-shot learner offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from fewshot_film.episodes import Episode


class Adapted(Protocol):
    """A classifier for one task."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of pictures ``(Q, C, H, W)`` in [0, 1]; changes nothing."""
        ...


class Learner(nn.Module, ABC):
    """Makes a classifier from a support set."""

    @abstractmethod
    def adapt(self, support_images: Tensor, support_labels: Tensor) -> Adapted:
        """A classifier for the task that the support set shows.

        Args:
            support_images: ``(N, C, H, W)`` in [0, 1].
            support_labels: ``(N,)``, integers; the logits' columns follow their sorted order.

        Raises:
            SupportError: no classifier can be made from this support set.
        """

    def forward(self, episode: Episode) -> Tensor:
        """Logits of the episode's query pictures, ``(Q, way)``."""
        return self.adapt(episode.support_images, episode.support_labels)(episode.query_images)

    def penalty(self) -> Tensor:
        """What the learner adds to the training loss, a scalar; nothing unless it says otherwise."""
        return torch.zeros(())
