"""Meta-SGD: MAML whose step sizes are learned too, one for every weight.

Li et al., "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017, https://arxiv.org/abs/1707.09835
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import MetaSGDConfig
from fewshot_film.extras import learn2learn
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.inner_loop import InnerLoop, LinearHead, Network
from fewshot_film.learners.maml import MAML, FastNetwork


class MetaSGD(MAML):
    """The rates start at ``inner_rate``; a head that starts at zero shares its rates among the classes."""

    config: MetaSGDConfig

    def __init__(self, config: MetaSGDConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        changed = self.start(self.backbone, self.start_of_head(config.way or 1)).parameters()
        self.rates = nn.ParameterList(torch.full_like(each.detach(), config.inner_rate) for each in changed)

    def algorithm(self, start: FastNetwork, first_order: bool) -> Any:
        """See :meth:`MAML.algorithm`."""
        rates = [rate.expand_as(each) for rate, each in zip(self.rates, start.parameters(), strict=True)]
        return learn2learn().algorithms.MetaSGD(start, lrs=rates, first_order=first_order)

    def run_inner_loop(self, images: Tensor, targets: Tensor, head: LinearHead, inner: InnerLoop) -> Network:
        """See :meth:`MAML.run_inner_loop`."""
        with warnings.catch_warnings():
            # learn2learn keeps the inner gradients in .grad of weights that are no leaves
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
            return super().run_inner_loop(images, targets, head, inner)
