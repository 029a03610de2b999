"""Which fixed features images are brought to. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from fewshot_film.run.settings import Settings, at_least

RANDOM = "random"
"""Weights that were never trained, for tests."""


@dataclass(frozen=True)
class ExtractorConfig(Settings, group="extractor"):
    """A layer of a torchvision network, and how images are brought to it.

    Raises:
        ConfigError: a value out of range.
    """

    backbone: str = "resnet101"
    """Network, by torchvision's name."""
    layer: str = "layer3"
    """Layer, by torchvision's name; layer3 of a ResNet is what the papers call conv4."""
    weights: str = "IMAGENET1K_V1"
    """Torchvision's name of weights, or the path of a file with them; random: for tests only."""
    normalisation: Literal["imagenet", "film"] = "imagenet"
    """imagenet: std 0.229 0.224 0.225; film: std 0.229 0.224 0.224, with which the published feature files
    and checkpoints were made."""
    size: Annotated[int, at_least(1)] = 224
    """Width and height to which images are resized."""


@dataclass(frozen=True)
class ExtractorOverrides(Settings, group="extractor"):
    """Settings of an extractor that are set otherwise than in a model's record; null: as recorded, or else the default
    of :class:`ExtractorConfig`.
    """

    backbone: str | None = None
    """Network, by torchvision's name."""
    layer: str | None = None
    """Layer, by torchvision's name."""
    weights: str | None = None
    """Torchvision's name of weights, or the path of a file with them; random: for tests only."""
    normalisation: Literal["imagenet", "film"] | None = None
    """imagenet: std 0.229 0.224 0.225; film: std 0.229 0.224 0.224."""
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
