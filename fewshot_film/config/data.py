"""Settings of pictures and of how they are varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """Where pictures come from."""

    source: str = "glyphs"
    """Kind of source: glyphs, folder, omniglot, cifar-fs, fc100, mini-imagenet, or torchvision:NAME."""
    root: str = ""
    """Folder or zip file that holds the pictures; glyphs need none."""
    split_file: str = ""
    """For ``folder``: JSON file with the class names of train, val and test."""
    split_seed: int | None = None
    """For ``folder``: deal the classes to train, val and test by a draw with this seed, 64 : 16 : 20."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How a picture becomes square: stretched, its middle cut out, or white added."""
    rotations: bool = False
    """Count every class turned by 90, 180 and 270 degrees as three further classes, as usual for Omniglot."""
    cache: str = ""
    """Folder for decoded pictures, memory-mapped by later runs; empty: decoded into memory every time."""


@dataclass(frozen=True)
class AugmentConfig:
    """Random variation of training pictures; every amount is the largest one, drawn uniformly in both directions."""

    rotate: float = 0.0
    """Turn, degrees."""
    scale: float = 0.0
    """Stretch of each axis, a fraction: 0.1 draws factors from 0.9 to 1.1."""
    shear: float = 0.0
    """Slant, a fraction of the height."""
    translate: float = 0.0
    """Shift along each axis, a fraction of the side."""
    flip: bool = False
    """Mirror left to right half of the time."""
    brightness: float = 0.0
    """Factor on the values, a fraction around 1."""
    contrast: float = 0.0
    """Factor on the distance from the picture's mean, a fraction around 1."""
    saturation: float = 0.0
    """Factor on the distance from the pixel's grey, a fraction around 1."""
    erase: float = 0.0
    """Side of a square set to the picture's mean, a fraction of the picture's side; 0 for none."""

    def __post_init__(self) -> None:
        for name in (
            "rotate",
            "scale",
            "shear",
            "translate",
            "brightness",
            "contrast",
            "saturation",
            "erase",
        ):
            value, limit = getattr(self, name), 180 if name == "rotate" else 1
            if not 0 <= value <= limit:
                raise ValueError(f"augment.{name} is {value}; expected a number from 0 to {limit}")
