"""Simple CNAPS: FiLM-adapted features and a Mahalanobis classifier, both set by one pass over the support set.

Bateni et al., "Improved Few-Shot Visual Classification", CVPR 2020, https://arxiv.org/abs/1912.03432; the adaptation
networks are those of Requeima et al., "CNAPs", NeurIPS 2019, https://arxiv.org/abs/1906.07697.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.film import (
    AutoregressiveGenerator,
    FiLMedNetwork,
    Generator,
    Modulations,
    ResidualGenerator,
    StagedRun,
    inject_film,
)
from fewshot_film.learners.backbone import Backbone, build_backbone
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.mahalanobis import MahalanobisClassifier, fit_mahalanobis
from fewshot_film.learners.set_encoder import SetEncoder


class SimpleCNAPS(Learner):
    """The whole model; the default configuration is the published architecture (19,771,008 parameters).

    The backbone is always in evaluation mode, and frozen unless ``train_backbone`` is set.
    """

    def __init__(self, config: SimpleCNAPSConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)
        self.backbone.requires_grad_(config.train_backbone)
        self.set_encoder = _set_encoder(config)
        # the FiLM-ed view shares the backbone: hidden from the modules, so that its weights are listed once
        self._filmed = (inject_film(self.backbone, after=config.sites),)
        self.generator = _generator(config, self.filmed)
        self.train()

    @property
    def filmed(self) -> FiLMedNetwork:
        """The backbone with FiLM at its sites."""
        return self._filmed[0]

    def train(self, mode: bool = True) -> SimpleCNAPS:
        """Set the mode of everything but the backbone, whose BatchNorm keeps its pre-training statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def modulations(self, support_images: Tensor) -> Modulations | None:
        """Gamma and beta of every site for the task that ``(N, C, H, W)`` pictures show, one row each."""
        if self.set_encoder is None or self.generator is None:
            return None
        code = self.set_encoder(self.backbone.normalize(support_images))
        if isinstance(self.generator, AutoregressiveGenerator):
            run = StagedRun(self.filmed, _segments(self.filmed), support_images)
            return cast(Modulations, self.generator(code, run))
        return cast(Modulations, self.generator(code))

    def features(self, images: Tensor, modulations: Modulations | None) -> Tensor:
        """Adapted features ``(B, D)`` of pictures ``(B, C, H, W)`` in [0, 1].

        Where no gradient is needed the pictures go through in chunks: they stay in the processor's caches.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() and (modulations is not None or self.config.train_backbone):
            return cast(Tensor, self.filmed(images, modulations))
        return torch.cat([self.filmed(chunk, modulations) for chunk in images.split(self.config.chunk)])

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedSimpleCNAPS:
        """Set the network and fit the classifier to a support set; see :meth:`Learner.adapt`."""
        modulations = self.modulations(support_images)
        features = self.features(support_images, modulations)
        classifier = fit_mahalanobis(features, support_labels, self.config.one_shot)
        return AdaptedSimpleCNAPS(self, modulations, classifier)

    def penalty(self) -> Tensor:
        """The generator's L2 penalty on its regularisers."""
        return super().penalty() if self.generator is None else self.generator.penalty()


@dataclass(frozen=True)
class AdaptedSimpleCNAPS:
    """A classifier for one task."""

    learner: SimpleCNAPS
    modulations: Modulations | None
    classifier: MahalanobisClassifier

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)``: minus the squared Mahalanobis distances to the classes."""
        return self.classifier.logits(self.learner.features(query_images, self.modulations))


def _set_encoder(config: SimpleCNAPSConfig) -> SetEncoder | None:
    if config.adaptation == "none":
        return None
    return SetEncoder(config.backbone.channels, config.code_dim, config.set_encoder_layers)


def _generator(config: SimpleCNAPSConfig, filmed: FiLMedNetwork) -> Generator | None:
    if config.adaptation == "none":
        return None
    if config.adaptation == "film":
        return ResidualGenerator(config.code_dim, filmed.sites, penalty_weight=config.penalty)
    return AutoregressiveGenerator(
        config.code_dim, filmed.sites, _entering_widths(filmed), penalty_weight=config.penalty
    )


def _segments(filmed: FiLMedNetwork) -> list[nn.Sequential]:
    """What comes before the first stage with sites, then every such stage with what follows it."""
    backbone = cast(Backbone, filmed.network)
    with_sites = list(filmed.sites.by_stage())
    unknown = [name for name in with_sites if name not in backbone.stage_names]
    if unknown:
        raise ValueError(
            f"adaptation film+ar goes stage by stage and has no place for sites in {', '.join(unknown)}; "
            f"use sites in {', '.join(backbone.stage_names)}, or adaptation film"
        )
    segments = [[*backbone.stem_modules()]]
    for name in backbone.stage_names:
        if name in with_sites:
            segments.append([])
        segments[-1].append(backbone.get_submodule(name))
    return [nn.Sequential(*modules) for modules in segments]


def _entering_widths(filmed: FiLMedNetwork) -> list[int]:
    """Channels that enter every stage with sites: found by a pass of one small picture."""
    backbone = cast(Backbone, filmed.network).eval()
    widths, maps = [], torch.zeros(1, backbone.channels, 64, 64)
    with torch.no_grad():
        for segment in _segments(filmed)[:-1]:
            maps = segment(maps)
            widths.append(maps.shape[1])
    return widths
