"""Settings of the benchmark's commands; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fewshot_film.run.command import Command
from fewshot_film.run.settings import Settings, at_least

HEADS = ("nearest mean", "cosine to the mean", "logistic regression", "linear SVM", "Mahalanobis", "ridge")
"""Heads that are measured unless others are asked for."""


@dataclass(frozen=True)
class PhotosConfig(Settings, group="photos"):
    """Where the photos are, and which episodes are measured."""

    root: str
    """Folder with a zip or a folder for each domain, each with a folder of images per class."""
    domains: tuple[str, ...] = ()
    """Which of them; empty: all."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""
    episodes: Annotated[int, at_least(2)] = 200
    """Episodes of each cell."""
    cache: str = "runs/photos"
    """Folder that keeps features and finished parts, so that what was stopped is continued."""
    out: str = ""
    """The result file; empty: benchmarks/results/photos.json, photos_sizes.json or photos_film.json."""


@dataclass(frozen=True)
class HeadsConfig(PhotosConfig):
    """Which backbones and heads are compared."""

    backbones: tuple[str, ...] = ("efficientnet-lite0",)
    """Names or folders of models; see ``--model`` of ``fewshot-film classify``. What cannot be loaded is left out."""
    heads: tuple[str, ...] = HEADS
    """The heads; beside the names above, any method that needs no training."""
    ours: str = "ridge"
    """The head that is held against the others: best or within half a point, calibrated, turns strangers away."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 2, 5, 10, 20)
    """Support images per class."""
    judged: Annotated[int, at_least(2)] = 100
    """Episodes of each cell on which calibration and rejection are measured, too."""
    quick: bool = False
    """Only the first two domains, 1 and 5 images per class and 20 episodes: a look whether all works."""


@dataclass(frozen=True)
class SizesConfig(PhotosConfig):
    """Which sizes, and which ways to make an image square, are compared."""

    backbone: str = "efficientnet-lite0"
    """The backbone."""
    head: str = "cosine to the mean"
    """The head."""
    sizes: Annotated[tuple[int, ...], at_least(32)] = (128, 160, 192, 224)
    """Sides of the square, pixels; at each, the middle 0.875 of the image is cut out."""
    ways_at: Annotated[int, at_least(0)] = 0
    """Side at which other ways to make an image square are compared; 0: the largest."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5, 20)
    """Support images per class."""


FilmPrecision = Literal["float32", "bfloat16"]
"""What a network computes in, with FiLM and without."""


@dataclass(frozen=True)
class FilmGainConfig(PhotosConfig):
    """Which models are measured with their FiLM and without."""

    models: tuple[str, ...] = ("general-small",)
    """Names or folders of models, or NAME=FOLDER for what tables call it; DOMAIN in a folder is each domain's name:
    ``runs/without-DOMAIN/model`` are models that were each trained without the domain that they are measured on."""
    precision: FilmPrecision = "float32"
    """What the network computes in after its first FiLM site, with FiLM and without, where FiLM depends on the maps at
    its sites alone: bfloat16 takes a third of the time on processors with AMX."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5, 10)
    """Support images per class."""
    judged: Annotated[int, at_least(2)] = 100
    """Episodes of each cell on which calibration and rejection are measured, too."""


@dataclass(frozen=True)
class Int8Config(PhotosConfig):
    """Which head is measured on features in both precisions."""

    backbone: str = "efficientnet-lite0"
    """The backbone."""
    head: str = "ridge"
    """The head."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5, 20)
    """Support images per class."""


@dataclass(frozen=True)
class TogetherConfig(PhotosConfig):
    """Which tasks are answered image by image and all together."""

    backbone: str = "efficientnet-lite0"
    """The backbone, with the head that it comes with."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Support images per class."""
    query: Annotated[int, at_least(1)] = 6
    """Query images per class, on average where they are unbalanced: a class may have all of them."""


@dataclass(frozen=True)
class FiguresConfig(Settings, group="figures"):
    """Where the figures go."""

    out: str = "docs/images"
    """Folder of the figures."""


COMMANDS = [
    Command(
        name="run",
        config=HeadsConfig,
        run="benchmarks.photos.experiment:run",
        help="Heads on the features of frozen backbones, 1 to 20 photos per class.",
        examples=(
            "python -m benchmarks.photos run --root photos",
            "python -m benchmarks.photos run --root photos --quick true --out quick.json",
        ),
    ),
    Command(
        name="sizes",
        config=SizesConfig,
        run="benchmarks.photos.sizes:run",
        help="How large images should be, and how they become square.",
        examples=("python -m benchmarks.photos sizes --root photos",),
    ),
    Command(
        name="film",
        config=FilmGainConfig,
        run="benchmarks.photos.film:run",
        help="Models with FiLM beside the very same without, on the same episodes.",
        examples=(
            "python -m benchmarks.photos film --root photos --models '[general-small]'",
            "python -m benchmarks.photos film --root photos --models '[mine=runs/without-DOMAIN/model]'",
        ),
    ),
    Command(
        name="int8",
        config=Int8Config,
        run="benchmarks.photos.int8:run",
        help="A head on features in 8-bit integers beside the same in float32, on the same episodes.",
        examples=("python -m benchmarks.photos int8 --root photos",),
    ),
    Command(
        name="together",
        config=TogetherConfig,
        run="benchmarks.photos.together:run",
        help="Images classified together beside the same head on each alone, with balanced and unbalanced queries.",
        examples=("python -m benchmarks.photos together --root photos",),
    ),
    Command(
        name="figures",
        config=FiguresConfig,
        run="benchmarks.photos.charts:write",
        help="The figures of docs/photos.md, from the result files; its tables: python -m benchmarks.tables.",
        examples=("python -m benchmarks.photos figures",),
    ),
]
