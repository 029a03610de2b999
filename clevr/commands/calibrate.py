"""``clevr-film calibrate``: statistics of a model's training images, by which it warns about other images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from clevr.reasoning.familiarity import MIN_IMAGES, Familiarity, fit_familiarity
from fewshot_film.errors import counted
from fewshot_film.run.errors import UserError
from fewshot_film.run.settings import Settings, at_least

if TYPE_CHECKING:
    from PIL import Image

    from clevr.data.reader import ClevrSplit

logger = logging.getLogger(__name__)

USED = 1000
"""Images that are looked at where nobody says how many."""


@dataclass(frozen=True)
class CalibrateConfig(Settings):
    """Which model, and the images that it was trained on.

    Raises:
        ConfigError: a value out of range.
    """

    model: str
    """Folder of a saved model, or the name of a model that ships with the package; the statistics are saved in its
    config.json."""
    data: Path
    """Folder or zip file in CLEVR's format."""
    split: str = "train"
    """Split that the model was trained on."""
    images: Annotated[int, at_least(MIN_IMAGES)] = USED
    """Number of images to use, spread evenly over the split."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the random changes of brightness, colour, contrast, noise, size and compression that count as familiar
    too."""


def run(config: CalibrateConfig) -> None:
    """Look at the images and write what they look like into the model.

    Raises:
        DataNotFoundError: there is no such split, or it has no images.
        DataError: an image cannot be read, or there are too few.
        SavedModelError: there is no such model, or it is damaged.
    """
    from clevr.data.reader import ClevrSplit
    from clevr.reasoning.loading import set_familiarity

    familiarity = familiarity_of(ClevrSplit.open(config.data, config.split), config.images, config.seed)
    folder = set_familiarity(config.model, familiarity)
    logger.info("%s warns about images farther than %.2f from its training images", folder, familiarity.threshold)


def familiarity_of(split: ClevrSplit, count: int = USED, seed: int = 0) -> Familiarity:
    """What the images of a split look like.

    Args:
        split: with images.
        count: how many to look at, spread evenly over the split.
        seed: of the changes.

    Raises:
        DataError: there are fewer than :data:`~clevr.reasoning.familiarity.MIN_IMAGES` images, or one cannot be read.
    """
    from clevr.data.errors import DataError

    names = sorted(split.images)
    if len(names) < MIN_IMAGES:
        raise DataError(
            str(split.files.images),
            "",
            f"holds {counted(len(names), 'image')}; expected at least {MIN_IMAGES} to calibrate on",
        )
    chosen = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).astype(int))
    return fit_familiarity(_images(split, [names[number] for number in chosen]), seed)


def training_familiarity(root: Path, split: str) -> Familiarity | None:
    """What the training images of a model look like; None, with a line that says so, where they cannot be read."""
    from clevr.data.reader import ClevrSplit

    try:
        return familiarity_of(ClevrSplit.open(root, split))
    except (UserError, OSError) as error:
        logger.info("the model will not warn about images unlike its training images: %s", error)
        return None


def _images(split: ClevrSplit, names: list[str]) -> Iterator[Image.Image]:
    return (split.load_image(name) for name in names)
