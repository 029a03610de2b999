"""Base of the learners that meta-training leaves as they are: what they learn, they learn on the support set."""

from __future__ import annotations

from typing import Self, cast

import torch
from torch import Tensor

from fewshot_film.config.learners import LearnerConfig
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.checks import check_finite
from fewshot_film.learners.learner import Learner


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
    def features(self, images: Tensor, kind: str = "image") -> Tensor:
        """Features ``(B, D)`` of pictures ``(B, C, H, W)`` in [0, 1], in chunks.

        Raises:
            NonFiniteFeaturesError: features are NaN or infinite; says of which pictures, called ``kind``.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        found = torch.cat([cast(Tensor, self.backbone(chunk)) for chunk in images.split(self.config.chunk)])
        check_finite(found, kind, images)
        return found


def members_in_order(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Classes numbered by their first picture, so that what is learned does not depend on what they are called.

    Args:
        labels: any integers, ``(N,)``.

    Returns:
        The number of each picture's class, ``(N,)``; and for the classes in the sorted order of their labels their
        numbers, ``(way,)``.
    """
    classes, members = labels.unique(return_inverse=True)
    first = torch.stack([(members == index).nonzero()[0, 0] for index in range(len(classes))])
    numbers = first.argsort().argsort()
    return numbers[members], numbers
