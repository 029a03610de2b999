"""``clevr-film calibrate``: statistics of a model's training images, by which it warns about other images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clevr.config.commands import MIN_IMAGES, USED, CalibrateConfig
from clevr.config.model import TrainConfig
from clevr.data.errors import DataError
from clevr.data.feature_store import open_features
from clevr.data.reader import ClevrSplit
from clevr.reasoning.familiarity import Familiarity, fit_familiarity
from clevr.reasoning.loading import set_familiarity
from fewshot_film.errors import UserError, counted

logger = logging.getLogger(__name__)


def run(config: CalibrateConfig) -> None:
    """Look at the images and write what they look like into the model.

    Raises:
        DataNotFoundError: there is no such split, or it has no images.
        DataError: an image cannot be read, or there are too few.
        SavedModelError: there is no such model, or it is damaged.
    """
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
        DataError: there are fewer than :data:`~clevr.config.commands.MIN_IMAGES` images, or one cannot be read.
    """
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
    try:
        return familiarity_of(ClevrSplit.open(root, split))
    except (UserError, OSError) as error:
        logger.info("the model will not warn about images unlike its training images: %s", error)
        return None


def training_extractor(config: TrainConfig) -> dict[str, Any]:
    """How the features were made that a model was trained on, as its record has it, so that `ask` makes the same.

    Nothing for a model that reads pixels; nothing, with a line that says so, where the features cannot be read.
    """
    if config.model.inputs == "pixels":
        return {}
    try:
        settings = open_features(config.data.features, config.data.train_split, ()).settings
    except (UserError, OSError) as error:
        logger.info("the model will not know how the features that it reads are made: %s", error)
        return {}
    return {"extractor": settings} if settings else {}


def _images(split: ClevrSplit, names: list[str]) -> Iterator[Image.Image]:
    return (split.load_image(name) for name in names)
