"""MAML: a start from which a few gradient steps on the support set lead to a good classifier.

Finn et al., "Model-Agnostic Meta-Learning", ICML 2017, https://arxiv.org/abs/1703.03400. With ``inner`` set to
``film+head`` or ``film`` the steps change gamma and beta of the FiLM sites and leave the backbone alone, the idea of
Zintgraf et al., "Fast Context Adaptation via Meta-Learning" (CAVIA), ICML 2019, https://arxiv.org/abs/1810.03642
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import InnerConfig
from fewshot_film.extras import learn2learn
from fewshot_film.film import FiLMedNetwork
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.inner_loop import GradientLearner, InnerLoop, LinearHead, Network, Tensors
from fewshot_film.learners.task_norm import keeping_statistics


class MAML(GradientLearner):
    """All weights, or FiLM with or without the head, adapted by steps of one size."""

    config: InnerConfig

    def __init__(self, config: InnerConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        # the FiLM-ed view shares the backbone: hidden from the modules, so that its weights are listed once
        self._filmed: tuple[FiLMedNetwork, ...] = ()
        self.film_start: Tensor | None
        if config.inner == "all":
            self.film_start = None
            return
        self._filmed = (self.backbone.inject(config.sites),)
        sites = self.filmed.sites
        identity = sites.flatten(sites.identity())
        if config.film_start == "learned":
            self.film_start = nn.Parameter(identity)
        else:
            self.register_buffer("film_start", identity, persistent=False)

    @property
    def filmed(self) -> FiLMedNetwork:
        """The backbone with FiLM at its sites; there is none where ``inner`` is ``all``."""
        (filmed,) = self._filmed
        return filmed

    def run_inner_loop(self, images: Tensor, targets: Tensor, head: LinearHead, inner: InnerLoop) -> Network:
        """Steps of the chosen part; see :meth:`GradientLearner.run_inner_loop`."""
        body = learn2learn().clone_module(self.backbone)
        fast: FastNetwork = inner(self.algorithm(self.start(body, head), inner.needs_first_order), images, targets)
        if not self.transductive:
            with keeping_statistics(fast.body), torch.set_grad_enabled(inner.meta_training):
                fast(images)
        return fast

    def start(self, body: nn.Module, head: LinearHead) -> FastNetwork:
        """The network before the first step: its parameters are those that the steps change."""
        if self.film_start is None:
            return FastNetwork(body, head)
        film = self.film_start if self.film_start.requires_grad else self.film_start.clone().requires_grad_()
        return FastFilm(body, head, self.filmed, film, with_head=self.config.inner == "film+head")

    def algorithm(self, start: FastNetwork, first_order: bool) -> Any:
        """What of learn2learn takes the steps."""
        return learn2learn().algorithms.MAML(start, lr=self.config.inner_rate, first_order=first_order)


class FastNetwork(nn.Module):
    """A body and a head, all of whose weights the inner steps change."""

    def __init__(self, body: nn.Module, head: LinearHead) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, way)`` of pictures ``(B, C, H, W)``."""
        logits: Tensor = self.head(self.body(images))
        return logits


class FilmValues(Tensors):
    """Gamma and beta of all sites."""

    flat: Tensor
    """``(1, flat_dim)``, in the layout of ``Sites``."""


class FastFilm(FastNetwork):
    """A body, FiLM and a head, of which the inner steps change FiLM, and the head where ``with_head`` is set."""

    def __init__(
        self, body: nn.Module, head: LinearHead, filmed: FiLMedNetwork, film: Tensor, *, with_head: bool
    ) -> None:
        nn.Module.__init__(self)
        self.film = FilmValues(flat=film)
        # what is no module's child is neither copied nor changed by the steps
        self.__dict__["body"] = body
        if with_head:
            self.head = head
        else:
            self.__dict__["head"] = head
        self.__dict__["filmed"] = filmed

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, way)`` of pictures ``(B, C, H, W)``."""
        filmed: FiLMedNetwork = self.__dict__["filmed"]
        with filmed.modulated(filmed.sites.split(self.film.flat)):
            return super().forward(images)
