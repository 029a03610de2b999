"""What every few-shot learner offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, cast

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import LearnerConfig
from fewshot_film.episodes import Episode
from fewshot_film.film import Modulations
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.support import check_finite


class Adapted(Protocol):
    """A classifier for one task."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of pictures ``(Q, C, H, W)`` in [0, 1]; changes nothing.

        Each picture is judged by itself, unless the learner is ``transductive``: then those of one call help to
        judge each other.
        """
        ...


Head = Callable[[Tensor], Tensor]
"""Features ``(Q, D)`` to logits ``(Q, way)``."""


@dataclass(frozen=True)
class FeatureClassifier:
    """A classifier for one task: the features of a network that is set for it, and a head on them."""

    features: Callable[[Tensor], Tensor]
    """Images ``(Q, C, H, W)`` in [0, 1] to features ``(Q, D)``."""
    head: Head
    """The head fitted to the support set."""
    modulations: Modulations | None = None
    """Values of the network's FiLM sites; None where it is the same for every task."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of images ``(Q, C, H, W)`` in [0, 1]."""
        return self.head(self.features(query_images))


class Learner(nn.Module, ABC):
    """Makes a classifier from a support set.

    Args:
        config: settings of the method.
        backbone: the network that gives the features; default: built from ``config.backbone``.
    """

    transductive: bool = False
    """Whether the query pictures of one call are looked at together: give all of a task's in one call."""

    def __init__(self, config: LearnerConfig, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone) if backbone is None else backbone

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

    def penalty(self, episode: Episode) -> Tensor:
        """What the learner adds to the training loss of an episode, a scalar; nothing unless it says otherwise."""
        return torch.zeros(())


class FrozenLearner(Learner):
    """A frozen backbone, always in evaluation mode, and nothing else that could be saved.

    Args:
        config: settings of the method.
        backbone: the network that gives the features; default: built from ``config.backbone``.
    """

    def __init__(self, config: LearnerConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        self.backbone.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the backbone."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(
        self, images: Tensor, kind: str = "image", network: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Features ``(B, D)`` of images ``(B, C, H, W)`` in [0, 1], in chunks.

        Args:
            images: the images.
            kind: what they are called in an error.
            network: what gives the features; None: the backbone.

        Raises:
            NonFiniteFeaturesError: features are NaN or infinite; says of which images.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        run = self.backbone if network is None else network
        found = torch.cat([cast(Tensor, run(chunk)) for chunk in images.split(self.config.chunk)])
        check_finite(found, kind, images)
        return found
