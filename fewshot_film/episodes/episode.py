"""One few-shot task."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fewshot_film.data.image_set import ImageSet


@dataclass(frozen=True)
class Plan:
    """The images of an episode, as indices into an `ImageSet`; nothing is decoded yet."""

    classes: np.ndarray
    """``(way,)`` int64: the set's class that each label of the episode stands for."""
    support: np.ndarray
    """``(N,)`` int64: images of the support set."""
    support_labels: np.ndarray
    """``(N,)`` int64 in ``[0, way)``."""
    query: np.ndarray
    """``(M,)`` int64: images of the query set, none of them in the support set."""
    query_labels: np.ndarray
    """``(M,)`` int64 in ``[0, way)``."""


@dataclass(frozen=True)
class Episode:
    """A support set to learn from, and query images to classify."""

    support_images: Tensor
    """``(N, C, H, W)`` float32 in [0, 1]."""
    support_labels: Tensor
    """``(N,)`` int64 in ``[0, way)``."""
    query_images: Tensor
    """``(M, C, H, W)`` float32 in [0, 1]."""
    query_labels: Tensor
    """``(M,)`` int64 in ``[0, way)``."""
    class_names: tuple[str, ...]
    """``way`` names: what each label stands for."""
    support_files: tuple[str, ...]
    """``N`` ids of the support images in their source."""
    query_files: tuple[str, ...]
    """``M`` ids of the query images in their source."""
    source: str
    """Name of the source."""
    index: int
    """Which episode of its sampler this is."""

    @property
    def way(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def to(self, device: torch.device | str) -> Episode:
        """The episode with its tensors on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


class Episodes(Protocol):
    """Episodes by number; each is a pure function of its number."""

    def __getitem__(self, index: int, /) -> Episode:
        """Episode ``index``, from 0 on."""
        ...


def build_episode(images: ImageSet, plan: Plan, index: int) -> Episode:
    """Fetch the images of a plan."""
    return Episode(
        support_images=images.get(plan.support).float().div_(255),
        support_labels=torch.from_numpy(plan.support_labels),
        query_images=images.get(plan.query).float().div_(255),
        query_labels=torch.from_numpy(plan.query_labels),
        class_names=tuple(images.class_names[label] for label in plan.classes),
        support_files=tuple(images.files[picture] for picture in plan.support),
        query_files=tuple(images.files[picture] for picture in plan.query),
        source=images.name,
        index=index,
    )
