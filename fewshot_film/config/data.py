"""Settings of image sources and of augmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from fewshot_film.config.preprocessing import Resize
from fewshot_film.errors import ConfigError
from fewshot_film.run.settings import Settings, above, at_least, between


@dataclass(frozen=True)
class OneSource(Settings):
    """Settings of an image source."""

    source: str
    """Kind of source: folder, omniglot, cifar-fs, fc100, mini-imagenet, tiered-imagenet, cub, meta-dataset,
    torchvision:NAME; or generated: glyphs, creatures, textures."""
    root: str = ""
    """Folder or zip file with the images; not needed for generated data sets."""
    split_file: str = ""
    """For ``folder``: JSON file with the class names of train, val and test."""
    split_seed: Annotated[int | None, at_least(0)] = None
    """For ``folder``: split the classes into train, val and test at random with this seed, 64 : 16 : 20."""
    ordered: bool = False
    """For ``folder``: state that images with neighbouring names show the same object; reports then mention it."""
    rotations: bool = False
    """Add the rotations of every class by 90, 180 and 270 degrees as three further classes, as usual for Omniglot."""


@dataclass(frozen=True)
class SourceConfig(OneSource):
    """One of several image sources."""

    name: str = ""
    """Its name in tables and episodes; empty: its kind."""
    weight: Annotated[float, above(0)] = 1.0
    """Relative frequency with which episodes are sampled from this source."""

    def _title(self, name: str) -> str:
        return f"{name} of the source {self.source}"


@dataclass(frozen=True)
class DataConfig(OneSource, group="data"):
    """Where images come from."""

    source: str = "glyphs"
    resize: Resize | None = None
    """How images are made square: stretch, crop the centre, or pad with white; null: as the backbone was trained."""
    cache: str = ""
    """Folder for decoded images, which later runs memory-map; empty: images are decoded into memory every time."""
    sources: tuple[str | SourceConfig, ...] = ()
    """Several sources instead of ``source``; each episode comes from one of them. Names (``generated`` for all that
    need no download), or ``{source: NAME, root: ...}`` with settings for this source."""
    held_out: str = ""
    """One of ``sources`` to exclude from training and validation, for evaluation as an unseen domain."""

    on_leak: Literal["raise", "report", "ignore"] = "raise"
    """If a class or an image (by content) is both in training and in validation or test: raise an error, log and
    continue, or skip the check. For the check, ``evaluate`` also opens the training classes of the same settings."""
    allow_leaks: tuple[str, ...] = ()
    """Ids of images that may be in both; known duplicates in published data sets are always allowed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for item in self.sources:
            if isinstance(item, str) and not set(item).isdisjoint("{}[],"):
                keys = ", ".join(field.name for field in fields(SourceConfig))
                raise ConfigError(f"sources has {item!r}; expected a name, or {{source: NAME}} with keys of: {keys}")


@dataclass(frozen=True)
class AugmentConfig(Settings, group="augment"):
    """Random augmentation of training images; amounts are maxima, sampled uniformly in both directions."""

    rotate: Annotated[float, between(0, 180)] = 0.0
    """Rotation in degrees."""
    scale: Annotated[float, between(0, 1)] = 0.0
    """Scaling of each axis, as a fraction: 0.1 samples factors from 0.9 to 1.1."""
    shear: Annotated[float, between(0, 1)] = 0.0
    """Shear, as a fraction of the height."""
    translate: Annotated[float, between(0, 1)] = 0.0
    """Shift along each axis, as a fraction of the side."""
    flip: bool = False
    """Flip horizontally with probability 0.5."""
    brightness: Annotated[float, between(0, 1)] = 0.0
    """Brightness factor, as a fraction around 1."""
    contrast: Annotated[float, between(0, 1)] = 0.0
    """Contrast factor: of the difference from the image mean, as a fraction around 1."""
    saturation: Annotated[float, between(0, 1)] = 0.0
    """Saturation factor: of the difference from the pixel's grey value, as a fraction around 1."""
    erase: Annotated[float, between(0, 1)] = 0.0
    """Side of a square that is filled with the image mean, as a fraction of the image side; 0 for none."""
