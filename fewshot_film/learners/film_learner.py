"""Learners with a head on features that FiLM adapts to the task, by one pass over the support set.

The adaptation networks are those of Requeima et al., "CNAPs", NeurIPS 2019, https://arxiv.org/abs/1906.07697: a set
encoder turns the support set into a task code, a generator the code into gamma and beta of every site. A method of
this family is a head: how a classifier comes from the features of the support set.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import FilmConfig
from fewshot_film.episodes import Episode
from fewshot_film.errors import ConfigError
from fewshot_film.film import (
    AutoregressiveGenerator,
    ChannelGenerator,
    FiLMedNetwork,
    Generator,
    Modulations,
    ResidualGenerator,
    StagedRun,
    TemplateGenerator,
    channel_statistics,
    site_moments,
)
from fewshot_film.film.channelwise import ChannelStatistics
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.bounded_memory import MIB, activation_bytes, draw_subset, in_chunks, through_subset
from fewshot_film.learners.learner import FeatureClassifier, Head, Learner
from fewshot_film.learners.set_encoder import SetEncoder
from fewshot_film.learners.support import check_finite

LEAST_SPREAD = 0.1
"""Lower bound on a feature's spread, as a share of the mean spread: features that hardly vary are not blown up."""
COARSE = 4
"""Factor by which outlier images are downsampled, then upsampled again, so that fine detail is lost."""


class FilmFeatures(Learner):
    """Base of the methods with adapted features.

    The backbone is always in evaluation mode, and frozen unless ``train_backbone`` is set.
    """

    config: FilmConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        config = self.config
        self.backbone.requires_grad_(config.train_backbone)
        self.gradient_chunk: int | None = None
        """Number of images whose activations are held at once when gradients are needed; None: all."""
        self.lite_support: int | None = None
        """Number of randomly chosen support images that gradients go through; None: all."""
        self.set_encoder: SetEncoder | None = None
        self.generator: Generator | None = None
        if config.adaptation != "none":
            self.inject_film(config.sites)
            if config.adaptation != "channelwise":
                channels = self.backbone.preprocessing.channels
                self.set_encoder = SetEncoder(channels, config.code_dim, config.set_encoder_layers)
            self.generator = _generator(config, self.backbone, self.filmed)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the backbone, whose BatchNorm keeps its pre-training statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    @abstractmethod
    def fit_head(self, features: Tensor, labels: Tensor) -> Head:
        """The head for a task.

        Args:
            features: adapted features of the support set, ``(N, D)``.
            labels: any integers, ``(N,)``; the logits' columns follow their sorted order.

        Raises:
            SupportError: no head can be made from this support set.
        """

    def encode(self, support_images: Tensor) -> Tensor | None:
        """The task code ``(1, code_dim)`` of images ``(N, C, H, W)``; None without adaptation."""
        if self.set_encoder is None:
            return None
        return cast(Tensor, self.set_encoder(self.backbone.normalize(support_images), self.gradient_chunk))

    def modulations(self, support_images: Tensor, code: Tensor | None = None) -> Modulations | None:
        """Gamma and beta of every site for the task that ``(N, C, H, W)`` images show, one row each.

        Args:
            support_images: the support set.
            code: the task's code; default: that of :meth:`encode`.
        """
        if self.generator is None:
            return None
        if isinstance(self.generator, ChannelGenerator):
            return cast(Modulations, self.generator(*self.channel_statistics(support_images)))
        code = self.encode(support_images) if code is None else code
        if isinstance(self.generator, AutoregressiveGenerator):
            segments = self.backbone.segments(self.filmed.sites)
            in_bounds = partial(in_chunks, chunk=self.gradient_chunk)
            run = StagedRun(self.filmed, segments, support_images, in_bounds)
            return cast(Modulations, self.generator(code, run))
        if self.config.feature_scaling:
            return cast(Modulations, self.generator(code, self._feature_scaling(support_images)))
        return cast(Modulations, self.generator(code))

    @torch.no_grad()
    def channel_statistics(self, support_images: Tensor) -> ChannelStatistics:
        """What ``(N, C, H, W)`` images do to the channels of every site, for a :class:`ChannelGenerator`."""
        moments = site_moments(self.filmed, lambda: self._features(support_images, None))
        return channel_statistics(self.filmed, moments)

    def _feature_scaling(self, support_images: Tensor) -> Modulations:
        """Values that scale the joined features by their spread over the support set and change nothing else."""
        scales = feature_scales(self.features(support_images, None), self.config.feature_scaling)
        values = self.filmed.sites.identity(device=scales.device, dtype=scales.dtype)
        names = self.backbone.feature_sites
        for name, gamma in zip(names, scales.split([values[name].gamma.shape[1] for name in names]), strict=True):
            values[name] = values[name]._replace(gamma=gamma[None])
        return values

    def features(self, images: Tensor, modulations: Modulations | None, kind: str = "image") -> Tensor:
        """Adapted features ``(B, D)`` of images ``(B, C, H, W)`` in [0, 1].

        Without gradients, images are processed in chunks that fit the processor's caches; with gradients,
        ``gradient_chunk`` bounds the memory.

        Args:
            images: ``(B, C, H, W)``.
            modulations: values of the FiLM sites; None: the network is not adapted.
            kind: what the images are called in an error.

        Raises:
            NonFiniteFeaturesError: features are NaN or infinite; not checked in training, where the loss shows it.
        """
        features = self._features(images.contiguous(memory_format=torch.channels_last), modulations)
        if not self.training:
            check_finite(features, kind, images)
        return features

    def _features(self, images: Tensor, modulations: Modulations | None) -> Tensor:
        if torch.is_grad_enabled() and (modulations is not None or self.config.train_backbone):
            return in_chunks(lambda chunk: self._run(chunk, modulations), images, self.gradient_chunk)
        return torch.cat([self._run(chunk, modulations) for chunk in images.split(self.config.chunk)])

    def support_features(self, images: Tensor, modulations: Modulations | None) -> Tensor:
        """The :meth:`features` of support images; their gradient goes through ``lite_support`` of them."""
        needs_gradient = torch.is_grad_enabled() and (modulations is not None or self.config.train_backbone)
        if self.lite_support is None or self.lite_support >= len(images) or not needs_gradient:
            return self.features(images, modulations, "support image")
        subset = draw_subset(len(images), self.lite_support, images.device)
        images = images.contiguous(memory_format=torch.channels_last)
        return through_subset(lambda rows: self._run(rows, modulations), images, subset, self.config.chunk)

    def images_within(self, budget_mib: int) -> int:
        """The largest ``gradient_chunk`` whose activations stay within a budget.

        Each image counts as twice what autograd keeps of it, which leaves room for the gradients.

        Raises:
            ConfigError: a single image needs more.
        """
        backbone = self.config.backbone
        like = next(self.backbone.parameters())
        images = like.new_zeros(2, backbone.channels, backbone.image_size, backbone.image_size)
        images = images.contiguous(memory_format=torch.channels_last)
        modulations = None
        if self.has_film:
            sites = self.filmed.sites
            modulations = sites.split(sites.flatten(sites.identity()).to(like).requires_grad_())
        needed = 1 + activation_bytes(lambda rows: self._run(rows, modulations), images)
        if self.set_encoder is not None:
            needed = max(needed, activation_bytes(self.set_encoder, self.backbone.normalize(images)))
        found = budget_mib * MIB // needed  # of two images, counted twice: of one
        if found < 1:
            raise ConfigError(
                f"memory.budget_mib is {budget_mib}; expected at least {-(-needed // MIB)}, which the activations of "
                "one image take"
            )
        return found

    def penalty(self, episode: Episode) -> Tensor:
        """The generator's L2 penalty; with templates, plus the loss of telling source or outlier by the code."""
        if self.generator is None:
            return super().penalty(episode)
        penalty = self.generator.penalty()
        if isinstance(self.generator, TemplateGenerator):
            seen = (episode.support_images, outlier_images(episode.support_images))
            scores = self.generator.scores(torch.cat([cast(Tensor, self.encode(images)) for images in seen]))
            kinds = torch.tensor([self._template_of(episode), len(self.config.templates)], device=scores.device)
            penalty = penalty + F.cross_entropy(scores, kinds)
        return penalty

    def _template_of(self, episode: Episode) -> int:
        if episode.source not in self.config.templates:
            known = ", ".join(self.config.templates)
            raise ConfigError(f"an episode is of {episode.source}, which has no template; learner.templates: {known}")
        return self.config.templates.index(episode.source)

    def _run(self, images: Tensor, modulations: Modulations | None) -> Tensor:
        return cast(Tensor, self.backbone(images) if modulations is None else self.filmed(images, modulations))


class FilmLearner(FilmFeatures):
    """Base of the methods with a head on adapted features that the support set alone decides."""

    @abstractmethod
    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Head:
        """The head for a task.

        Args:
            features: adapted features of the support set, ``(N, D)``.
            labels: any integers, ``(N,)``; the logits' columns follow their sorted order.
            weights: what each image counts, above 0, ``(N,)``: one of weight 2 counts as two; None: 1 each.

        Raises:
            SupportError: no head can be made from this support set.
        """

    def forward(self, episode: Episode) -> Tensor:
        """Logits of the episode's query images, ``(Q, way)``; in training by the template of the episode's source."""
        if not (self.training and isinstance(self.generator, TemplateGenerator)):
            return super().forward(episode)
        own = self.generator.template(self._template_of(episode))
        return self._adapted(episode.support_images, episode.support_labels, own)(episode.query_images)

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> FeatureClassifier:
        """Set the network and fit the head to a support set; see :meth:`Learner.adapt`."""
        return self._adapted(support_images, support_labels, self.modulations(support_images))

    def _adapted(
        self, support_images: Tensor, support_labels: Tensor, modulations: Modulations | None
    ) -> FeatureClassifier:
        head = self.fit_head(self.support_features(support_images, modulations), support_labels)
        features = partial(self.features, modulations=modulations, kind="query image")
        return FeatureClassifier(features, head, modulations)


def _generator(config: FilmConfig, backbone: Backbone, filmed: FiLMedNetwork) -> Generator:
    settings: dict[str, float] = {"penalty_weight": config.penalty, "regulariser_std": config.init_std}
    if config.adaptation == "templates":
        if not config.templates:
            raise ConfigError("learner.templates is empty; expected the names of the sources that each have a template")
        without = set(backbone.feature_sites) - set(filmed.sites.names)
        if config.feature_scaling and without:
            raise ConfigError(
                f"learner.feature_scaling is {config.feature_scaling}, which needs FiLM at "
                f"{', '.join(sorted(without))}; expected feature_norms.* among learner.sites, or 0"
            )
        return TemplateGenerator(config.code_dim, filmed.sites, len(config.templates), config.penalty)
    if config.adaptation == "channelwise":
        return ChannelGenerator(filmed.sites, config.code_dim, config.penalty)
    if config.adaptation == "film":
        return ResidualGenerator(config.code_dim, filmed.sites, **settings)
    return AutoregressiveGenerator(config.code_dim, filmed.sites, backbone.entering_widths(filmed.sites), **settings)


def feature_scales(features: Tensor, power: float) -> Tensor:
    """Factor of every feature: its spread over the support set to the power ``-power``, up to a constant.

    The constant preserves the sum of the features' variances, so that the identity in Simple CNAPS's covariances keeps
    its weight. Labels are not used, as they are not for the task code.

    Args:
        features: of the support set, ``(N, D)``.
        power: 0 changes nothing, 1 gives all features one spread.

    Returns:
        ``(D,)``; ones where a single image, or images that are all alike, show no spread.
    """
    variances = features.var(0) if len(features) > 1 else features.new_zeros(features.shape[1])
    spreads = variances.sqrt()
    if not spreads.any():
        return features.new_ones(features.shape[1])
    scales = spreads.clamp_min(LEAST_SPREAD * spreads.mean()).pow(-power)
    return scales * (variances.sum() / (scales.square() * variances).sum()).sqrt()


def outlier_images(images: Tensor) -> Tensor:
    """Images unlike those of any source, from which the task code learns when to blend in no template.

    All undergo the same one to three changes, drawn from PyTorch's generator: inverted, tinted, without fine detail.

    Args:
        images: ``(N, C, H, W)`` in [0, 1].

    Returns:
        The same shape and range.

    Source:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019, https://arxiv.org/abs/1812.04606,
        for training on artificial outliers; the choice of outliers is ours.
    """
    changes = int(torch.randint(1, 8, ()))
    inverted, tinted, coarse = (changes >> bit & 1 for bit in range(3))
    if inverted:
        images = 1 - images
    if tinted:
        images = images * torch.rand(1, images.shape[1], 1, 1).to(images)
    if coarse:
        height, width = images.shape[2:]
        small = F.adaptive_avg_pool2d(images, (max(1, height // COARSE), max(1, width // COARSE)))
        images = F.interpolate(small, (height, width), mode="bilinear")
    return images
