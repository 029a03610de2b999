"""Labelled batches for supervised training, each a function of its number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from fewshot_film.config.data import AugmentConfig
from fewshot_film.data.augment import augment
from fewshot_film.data.image_set import ImageSet
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.seeding import generator, numpy_generator


@dataclass(frozen=True)
class LabelledBatch:
    """Images and their classes."""

    images: Tensor
    """``(B, C, H, W)`` float32 in [0, 1]."""
    labels: Tensor
    """``(B,)`` int64."""

    def to(self, device: torch.device | str) -> LabelledBatch:
        """The same batch on a device."""
        return LabelledBatch(self.images.to(device), self.labels.to(device))


class LabelledBatches:
    """Endless shuffled batches: every image once in an epoch, an incomplete last batch left out.

    Args:
        images: the images.
        batch_size: images in a batch.
        augmentation: random variation of the images.
        seed: with the batch's number decides its images and their variation.

    Raises:
        ValueError: there are fewer images than ``batch_size``.
    """

    def __init__(self, images: ImageSet, batch_size: int, augmentation: AugmentConfig, seed: int = 0) -> None:
        if not 1 <= batch_size <= len(images):
            raise InvalidValueError(
                f"batch_size is {batch_size}; expected 1 to {len(images)}, the number of images of {images.name}"
            )
        self.images = images
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, index: SupportsIndex) -> LabelledBatch:
        """Batch ``index``, from 0 on without end."""
        number = index.__index__()
        _, chosen = self.chosen(number)
        images = self.images.get(chosen).float().div_(255)
        images = augment(images, self.augmentation, generator(self.seed, "augment", number))
        return LabelledBatch(images, torch.from_numpy(self.images.labels[chosen]))

    def chosen(self, number: int) -> tuple[int, np.ndarray]:
        """The epoch that a batch is of, from 0 on, and the indices of its images."""
        epoch, place = divmod(number, len(self.images) // self.batch_size)
        return epoch, self._order(epoch)[place * self.batch_size : (place + 1) * self.batch_size]

    def _shuffled(self, epoch: int) -> np.ndarray:
        return numpy_generator(self.seed, "order", epoch).permutation(len(self.images))
