"""Settings of pictures and of how they are varied."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from fewshot_film.run.errors import ConfigError
from fewshot_film.run.settings import Settings, above, at_least, between


@dataclass(frozen=True)
class OneSource(Settings):
    """What every source of images has, alone or beside others."""

    source: str
    """Kind of source: folder, omniglot, cifar-fs, fc100, mini-imagenet, tiered-imagenet, cub, meta-dataset,
    torchvision:NAME; or generated: glyphs, creatures, textures."""
    root: str = ""
    """Folder or zip file that holds the images; generated sets need none."""
    split_file: str = ""
    """For ``folder``: JSON file with the class names of train, val and test."""
    split_seed: Annotated[int | None, at_least(0)] = None
    """For ``folder``: deal the classes to train, val and test by a draw with this seed, 64 : 16 : 20."""
    ordered: bool = False
    """For ``folder``: say that neighbouring images, by name, show the same object; reports then say it too."""
    rotations: bool = False
    """Count every class turned by 90, 180 and 270 degrees as three further classes, as usual for Omniglot."""


@dataclass(frozen=True)
class SourceConfig(OneSource):
    """One of several sources."""

    name: str = ""
    """What tables and episodes call it; empty: its kind."""
    weight: Annotated[float, above(0, "a number above 0")] = 1.0
    """How often an episode is drawn from it, relative to the others."""

    def _title(self, name: str) -> str:
        return f"{name} of the source {self.source}"


@dataclass(frozen=True)
class DataConfig(OneSource, group="data"):
    """Where images come from."""

    source: str = "glyphs"
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How a picture becomes square: stretched, its middle cut out, or white added."""
    cache: str = ""
    """Folder for decoded pictures, memory-mapped by later runs; empty: decoded into memory every time."""
    sources: tuple[str | SourceConfig, ...] = ()
    """Several sources in place of ``source``, each episode from one of them: names (``generated`` for all that need
    no download) or ``{source: NAME, root: ...}`` with the settings of a source of its own."""
    held_out: str = ""
    """One of ``sources`` that training and validation do without, to be evaluated on as an unseen domain."""

    on_leak: Literal["raise", "report", "ignore"] = "raise"
    """A class or a picture (by content) that is both in training and in validation or test: an error, or told and
    gone on, or not looked for. To look, ``evaluate`` opens the training classes of the same settings too."""
    allow_leaks: tuple[str, ...] = ()
    """Ids of pictures that may be in both; equal pictures that published sets are known to have always may."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for item in self.sources:
            if isinstance(item, str) and not set(item).isdisjoint("{}[],"):
                keys = ", ".join(field.name for field in fields(SourceConfig))
                raise ConfigError(f"sources has {item!r}; expected a name, or {{source: NAME}} with keys of: {keys}")


@dataclass(frozen=True)
class AugmentConfig(Settings, group="augment"):
    """Random variation of training pictures; every amount is the largest one, drawn uniformly in both directions."""

    rotate: Annotated[float, between(0, 180)] = 0.0
    """Turn, degrees."""
    scale: Annotated[float, between(0, 1)] = 0.0
    """Stretch of each axis, a fraction: 0.1 draws factors from 0.9 to 1.1."""
    shear: Annotated[float, between(0, 1)] = 0.0
    """Slant, a fraction of the height."""
    translate: Annotated[float, between(0, 1)] = 0.0
    """Shift along each axis, a fraction of the side."""
    flip: bool = False
    """Mirror left to right half of the time."""
    brightness: Annotated[float, between(0, 1)] = 0.0
    """Factor on the values, a fraction around 1."""
    contrast: Annotated[float, between(0, 1)] = 0.0
    """Factor on the distance from the picture's mean, a fraction around 1."""
    saturation: Annotated[float, between(0, 1)] = 0.0
    """Factor on the distance from the pixel's grey, a fraction around 1."""
    erase: Annotated[float, between(0, 1)] = 0.0
    """Side of a square set to the picture's mean, a fraction of the picture's side; 0 for none."""
