"""What a network was trained to see: settings that turn an image file into its input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fewshot_film.run.settings import Settings, above, between

MAX_SIZE = 4096
"""Largest side of a network's input, pixels."""

Resize = Literal["stretch", "crop", "pad"]
"""How an image becomes square: ``stretch`` ignores its proportions (what Omniglot, mini-ImageNet and
Meta-Dataset do), ``crop`` fits the short side and cuts the middle out, ``pad`` fits the long side and fills
with white."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
"""Pillow's resampling filters."""


def least_side(size: int, crop: float) -> int:
    """The short side that an image may be decoded at without a loss that would show at ``size``."""
    return round(2 * size / crop)


@dataclass(frozen=True)
class Preprocessing(Settings, group="preprocessing"):
    """How an image file becomes the input of a network; every backbone carries its own.

    Example:
        >>> Preprocessing(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="crop", crop=0.875).channels
        3
    """

    size: Annotated[int, between(1, MAX_SIZE)]
    """Height and width of the input, pixels."""
    mean: Annotated[tuple[float, ...], between(-1000, 1000)]
    """Subtracted from every channel of values in [0, 1]; as many numbers as channels: 3 for RGB, 1 for grey."""
    std: Annotated[tuple[float, ...], above(0)]
    """What every channel is divided by then."""
    interpolation: Interpolation = "bilinear"
    """Resampling filter; always antialiased."""
    resize: Resize = "stretch"
    """How an image becomes square."""
    crop: Annotated[float, between(0.1, 1)] = 1.0
    """Share of the square's side that is kept, from its middle: 0.875 of ImageNet's usual 224 of 256 pixels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("mean", len(self.mean) in (1, 3), "1 number for grey or 3 for RGB")
        self._expect("std", len(self.std) == len(self.mean), f"as many numbers as mean has ({len(self.mean)})")

    def resized_by(self, resize: Resize | None) -> Preprocessing:
        """The same with another way to make an image square; None: as the network was trained, this one."""
        return self if resize is None else replace(self, resize=resize)

    @property
    def channels(self) -> int:
        """Colour channels: 3 for RGB, 1 for grey."""
        return len(self.mean)

    @property
    def pixels(self) -> dict[str, Any]:
        """What decides the pixels, before they are normalised: arguments of ``decode`` and ``to_array``."""
        return {
            "image_size": self.size,
            "channels": self.channels,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "crop": self.crop,
        }

    @property
    def min_side(self) -> int:
        """The short side that an image may be decoded at without a loss that would show."""
        return least_side(self.size, self.crop)
