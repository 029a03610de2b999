"""What every few-shot learner offers."""

from __future__ import annotations

import dataclasses
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.episodes import Episode
from fewshot_film.errors import ConfigError, suggestion
from fewshot_film.film import FiLMedNetwork, Modulations
from fewshot_film.learners.backbone import Backbone, plain_preprocessing
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.support import check_finite


class Adapted(Protocol):
    """A classifier for one task."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of images ``(Q, C, H, W)`` in [0, 1]; changes nothing.

        Images are classified independently, unless the learner is ``transductive``: then the logits of an image
        depend on the others of the call.
        """
        ...


Head = Callable[[Tensor], Tensor]
"""Features ``(Q, D)`` to logits ``(Q, way)``."""


@dataclass(frozen=True)
class FeatureClassifier:
    """A classifier for one task: the features of a network adapted to it, and a head on them."""

    features: Callable[[Tensor], Tensor]
    """Images ``(Q, C, H, W)`` in [0, 1] to features ``(Q, D)``."""
    head: Head
    """The head fitted to the support set."""
    modulations: Modulations | None = None
    """Values of the network's FiLM sites; None where it is the same for every task."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of images ``(Q, C, H, W)`` in [0, 1]."""
        return self.head(self.features(query_images))


def _stating(config: LearnerConfig, preprocessing: Preprocessing) -> LearnerConfig:
    """A configuration that states what its backbone reads, unless that is what it says without."""
    backbone = config.backbone
    if (
        backbone.name == "cnaps-resnet18"
        and plain_preprocessing(backbone.image_size, backbone.channels) == preprocessing
    ):
        return config
    size, channels = preprocessing.size, preprocessing.channels
    stated = dataclasses.replace(backbone, image_size=size, channels=channels, preprocessing=preprocessing)
    return dataclasses.replace(config, backbone=stated)


class Learner(nn.Module, ABC):
    """Makes a classifier from a support set.

    Args:
        config: settings of the method; default: those of the class, as its ``config`` is annotated.
        backbone: the network that gives the features, or its name or settings; default: built from
            ``config.backbone``.
        settings: settings of the method by name, instead of those in ``config``.

    Raises:
        ConfigError: the method has no such setting, or a value is out of range.

    Example:
        >>> from fewshot_film.learners import SimpleCNAPS
        >>> SimpleCNAPS(backbone="resnet18", code_dim=32).config.backbone.name
        'resnet18'
    """

    config: LearnerConfig
    # it shares the backbone: in a tuple it is hidden from the modules, so that its weights are listed once
    _filmed: tuple[FiLMedNetwork, ...] = ()

    transductive: bool = False
    """Whether the query images of one call are classified jointly: pass all of a task's in one call."""

    def __init__(
        self,
        config: LearnerConfig | None = None,
        backbone: Backbone | BackboneConfig | str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        if isinstance(backbone, BackboneConfig | str):
            settings["backbone"] = backbone
        self.config = self._configured(config, settings)
        is_built = backbone is None or isinstance(backbone, BackboneConfig | str)
        self.backbone = build_backbone(self.config.backbone) if is_built else cast(Backbone, backbone)
        preprocessing = getattr(self.backbone, "preprocessing", None)  # any module that makes features will do
        if preprocessing is not None:
            self.config = _stating(self.config, preprocessing)
        self.build()

    @classmethod
    def config_class(cls) -> type[LearnerConfig]:
        """The class of the method's settings: what ``config`` is annotated with."""
        return cast(type[LearnerConfig], typing.get_type_hints(cls)["config"])

    @classmethod
    def _configured(cls, config: LearnerConfig | None, settings: dict[str, Any]) -> LearnerConfig:
        """The settings of ``config``, changed where others are given by name."""
        config = cls.config_class()() if config is None else config
        if not isinstance(config, LearnerConfig):
            raise ConfigError(
                f"the settings of a {cls.__name__} are {config!r}; expected a {cls.config_class().__name__}, or "
                f"settings by name, such as {cls.__name__}(backbone='resnet18')"
            )
        known = [field.name for field in dataclasses.fields(config) if field.name != "method"]
        for name in settings:
            if name not in known:
                hint = suggestion(name, known) or f"; it has {', '.join(known)}"
                raise ConfigError(f"{cls.__name__} has no setting {name!r}{hint}")
        if isinstance(settings.get("backbone"), str):
            name, own = settings["backbone"], config.backbone
            named = BackboneConfig(name) if own == BackboneConfig() else dataclasses.replace(own, name=name)
            settings = {**settings, "backbone": named}
        return dataclasses.replace(config, **settings) if settings else config

    @property
    def has_film(self) -> bool:
        """Whether the backbone has FiLM, so that features depend on the support set."""
        return bool(self._filmed)

    @property
    def filmed(self) -> FiLMedNetwork:
        """The backbone with FiLM at its sites; there is none unless :attr:`has_film`."""
        (filmed,) = self._filmed
        return filmed

    def inject_film(self, sites: Iterable[str]) -> None:
        """Give the backbone FiLM after the normalisation layers that names or patterns name; see :attr:`filmed`.

        Raises:
            SiteError: nothing has such a name, or carries FiLM already.
        """
        self._filmed = (self.backbone.inject(sites),)

    def build(self) -> None:
        """Make what the method has besides its backbone; called once, when ``config`` and ``backbone`` are set."""

    @abstractmethod
    def adapt(self, support_images: Tensor, support_labels: Tensor) -> Adapted:
        """A classifier for the task that a support set defines.

        Args:
            support_images: ``(N, C, H, W)`` in [0, 1].
            support_labels: ``(N,)``, integers; the logits' columns follow their sorted order.

        Raises:
            SupportError: no classifier can be made from this support set.
        """

    def forward(self, episode: Episode) -> Tensor:
        """Logits of the episode's query images, ``(Q, way)``."""
        return self.adapt(episode.support_images, episode.support_labels)(episode.query_images)

    def penalty(self, episode: Episode) -> Tensor:
        """A term of the training loss of an episode beside the cross-entropy, a scalar; zero by default."""
        return torch.zeros(())


class FrozenLearner(Learner):
    """A frozen backbone, always in evaluation mode, and nothing else that could be saved.

    Its arguments are those of :class:`Learner`.
    """

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
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
            images: ``(B, C, H, W)``.
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


class FixedFeatures(FrozenLearner):
    """Base of the methods that are a head on the unmodified features of a frozen backbone."""

    @abstractmethod
    def fit_head(self, features: Tensor, labels: Tensor) -> Head:
        """The head for a task.

        Args:
            features: of the support set, ``(N, D)``.
            labels: any integers, ``(N,)``; the logits' columns follow their sorted order.

        Raises:
            SupportError: no head can be made from this support set.
        """

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> FeatureClassifier:
        """Fit the head to the features of a support set; see :meth:`Learner.adapt`."""
        head = self.fit_head(self.features(support_images, "support image"), support_labels)
        return FeatureClassifier(partial(self.features, kind="query image"), head)
