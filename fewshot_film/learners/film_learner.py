"""Learners with a head on features that FiLM adapts to the task, by one pass over the support set.

The adaptation networks are those of Requeima et al., "CNAPs", NeurIPS 2019, https://arxiv.org/abs/1906.07697: a set
encoder turns the support set into a task code, a generator the code into gamma and beta of every site. A method of
this family is a head: how a classifier comes from the features of the support set.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor

from fewshot_film.config.learners import FilmConfig
from fewshot_film.film import (
    AutoregressiveGenerator,
    FiLMedNetwork,
    Generator,
    Modulations,
    ResidualGenerator,
    StagedRun,
)
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.set_encoder import SetEncoder

Head = Callable[[Tensor], Tensor]
"""Features ``(Q, D)`` to logits ``(Q, way)``."""


class FilmLearner(Learner):
    """Base of the methods with a head on adapted features.

    The backbone is always in evaluation mode, and frozen unless ``train_backbone`` is set.

    Args:
        config: settings of the method.
        backbone: the network that gives the features; default: built from ``config.backbone``.
    """

    config: FilmConfig

    def __init__(self, config: FilmConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        self.backbone.requires_grad_(config.train_backbone)
        self.set_encoder: SetEncoder | None = None
        self.generator: Generator | None = None
        # the FiLM-ed view shares the backbone: hidden from the modules, so that its weights are listed once
        self._filmed: tuple[FiLMedNetwork, ...] = ()
        if config.adaptation != "none":
            self._filmed = (self.backbone.inject(config.sites),)
            self.set_encoder = SetEncoder(config.backbone.channels, config.code_dim, config.set_encoder_layers)
            self.generator = _generator(config, self.backbone, self.filmed)
        self.train()

    @abstractmethod
    def fit_head(self, features: Tensor, labels: Tensor) -> Head:
        """The head for a task.

        Args:
            features: adapted features of the support set, ``(N, D)``.
            labels: any integers, ``(N,)``; the logits' columns follow their sorted order.

        Raises:
            SupportError: no head can be made from this support set.
        """

    @property
    def filmed(self) -> FiLMedNetwork:
        """The backbone with FiLM at its sites; there is none where ``adaptation`` is ``none``."""
        (filmed,) = self._filmed
        return filmed

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the backbone, whose BatchNorm keeps its pre-training statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def encode(self, support_images: Tensor) -> Tensor | None:
        """The task code ``(1, code_dim)`` of pictures ``(N, C, H, W)``; None without adaptation."""
        if self.set_encoder is None:
            return None
        return cast(Tensor, self.set_encoder(self.backbone.normalize(support_images)))

    def modulations(self, support_images: Tensor, code: Tensor | None = None) -> Modulations | None:
        """Gamma and beta of every site for the task that ``(N, C, H, W)`` pictures show, one row each.

        Args:
            support_images: the support set.
            code: the task's code; default: that of :meth:`encode`.
        """
        if self.generator is None:
            return None
        code = self.encode(support_images) if code is None else code
        if isinstance(self.generator, AutoregressiveGenerator):
            run = StagedRun(self.filmed, self.backbone.segments(self.filmed.sites), support_images)
            return cast(Modulations, self.generator(code, run))
        return cast(Modulations, self.generator(code))

    def features(self, images: Tensor, modulations: Modulations | None) -> Tensor:
        """Adapted features ``(B, D)`` of pictures ``(B, C, H, W)`` in [0, 1].

        Where no gradient is needed the pictures go through in chunks: they stay in the processor's caches.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() and (modulations is not None or self.config.train_backbone):
            return self._run(images, modulations)
        return torch.cat([self._run(chunk, modulations) for chunk in images.split(self.config.chunk)])

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedFilmLearner:
        """Set the network and fit the head to a support set; see :meth:`Learner.adapt`."""
        modulations = self.modulations(support_images)
        head = self.fit_head(self.features(support_images, modulations), support_labels)
        return AdaptedFilmLearner(self, modulations, head)

    def penalty(self) -> Tensor:
        """The generator's L2 penalty on its regularisers."""
        return super().penalty() if self.generator is None else self.generator.penalty()

    def _run(self, images: Tensor, modulations: Modulations | None) -> Tensor:
        return cast(Tensor, self.backbone(images) if modulations is None else self.filmed(images, modulations))


@dataclass(frozen=True)
class AdaptedFilmLearner:
    """A classifier for one task."""

    learner: FilmLearner
    modulations: Modulations | None
    """Values of the FiLM sites; None where the network is not adapted."""
    head: Head
    """The head fitted to the support set."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of pictures ``(Q, C, H, W)`` in [0, 1]."""
        return self.head(self.learner.features(query_images, self.modulations))


def _generator(config: FilmConfig, backbone: Backbone, filmed: FiLMedNetwork) -> Generator:
    if config.adaptation == "film":
        return ResidualGenerator(config.code_dim, filmed.sites, penalty_weight=config.penalty)
    widths = backbone.entering_widths(filmed.sites)
    return AutoregressiveGenerator(config.code_dim, filmed.sites, widths, penalty_weight=config.penalty)
