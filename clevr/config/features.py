"""Which fixed features images are brought to. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from fewshot_film.run.settings import Settings, at_least

IMAGENET = "IMAGENET1K_V1"
"""Weights from ImageNet."""
RANDOM = "random"
"""Weights that were never trained, for tests."""


@dataclass(frozen=True)
class ExtractorConfig(Settings, group="extractor"):
    """A layer of a network, and how images are brought to it.

    Raises:
        ConfigError: a value out of range.
    """

    backbone: str = "resnet101"
    """Network, by torchvision's name; or efficientnet-lite0, whose weights come with the package."""
    layer: str = "layer3"
    """Layer, by torchvision's name; layer3 of a ResNet is what the papers call conv4. EfficientNet-Lite has stage1 to
    stage7."""
    weights: str = IMAGENET
    """IMAGENET1K_V1 or another of torchvision's names of weights, or the path of a file with them; those of
    EfficientNet-Lite are installed and go by IMAGENET1K_V1 too; random: for tests only."""
    normalisation: Literal["imagenet", "film"] = "imagenet"
    """imagenet: the mean and std with which the network was trained, of torchvision's std 0.229 0.224 0.225; film: std
    0.229 0.224 0.224, with which the published feature files and checkpoints were made."""
    size: Annotated[int, at_least(1)] = 224
    """Width and height to which images are resized."""


@dataclass(frozen=True)
class ExtractorOverrides(Settings, group="extractor"):
    """Settings of an extractor that are set otherwise than in a model's record; null: as recorded, or else the default
    of :class:`ExtractorConfig`.
    """

    backbone: str | None = None
    """Network, by torchvision's name, or efficientnet-lite0."""
    layer: str | None = None
    """Layer, by its name there."""
    weights: str | None = None
    """Name of weights, or the path of a file with them; random: for tests only."""
    normalisation: Literal["imagenet", "film"] | None = None
    """imagenet: those of the network's training; film: std 0.229 0.224 0.224."""
    size: Annotated[int | None, at_least(1)] = None
    """Width and height to which images are resized."""

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not null."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def complete(self, record: Mapping[str, Any]) -> ExtractorConfig:
        """The settings of a model's record, with these in their place.

        Args:
            record: what the model was trained on, as it was saved with it.
        """
        names = {entry.name for entry in fields(ExtractorConfig)}
        recorded = {name: value for name, value in (record.get("extractor") or {}).items() if name in names}
        return ExtractorConfig(**{**recorded, **self.given})
