"""What a fitted classifier knows, and what it answers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_film.classifier.adapting import Adapter, TaskHead
from fewshot_film.classifier.pretrained import Pretrained
from fewshot_film.data.pictures import Resize
from fewshot_film.errors import InvalidValueError
from fewshot_film.film import Modulations


@dataclass(frozen=True)
class Loaded:
    """A model, ready to adapt, and the parameters that it was loaded by."""

    model: Any
    """As it was given."""
    device: str
    """As it was given."""
    pretrained: Pretrained
    adapter: Adapter


@dataclass(frozen=True)
class Support:
    """What a classifier is fitted to."""

    images: Tensor
    """``(N, C, H, W)``, uint8."""
    names: list[Hashable]
    """Label of each."""
    weights: Tensor | None
    """``(N,)`` double; None: 1 each."""

    def counted(self) -> Support:
        """Without the images of weight 0."""
        if self.weights is None:
            return self
        kept = self.weights.nonzero()[:, 0]
        return Support(self.images[kept], [self.names[index] for index in kept.tolist()], self.weights[kept])

    def joined(self, other: Support) -> Support:
        """These images, then the other ones.

        Raises:
            InvalidValueError: the images differ in size.
        """
        if self.images.shape[1:] != other.images.shape[1:]:
            raise InvalidValueError(
                f"images so far are {tuple(self.images.shape[1:])} and this model's are "
                f"{tuple(other.images.shape[1:])} (channels, height, width); start over with fit"
            )
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = torch.cat([self._weights(), other._weights()])
        return Support(torch.cat([self.images, other.images]), self.names + other.names, weights)

    def _weights(self) -> Tensor:
        return torch.ones(len(self.names), dtype=torch.float64) if self.weights is None else self.weights


@dataclass(frozen=True)
class Fitted:
    """What a fitted classifier knows; a new one is made at every fit."""

    loaded: Loaded
    """The model that was adapted."""
    resize: Resize
    """How the support images became square, and queries do."""
    classes: list[Hashable]
    """What the columns stand for; one may have no image yet."""
    announced: bool
    """Whether the classes are all that there will be, given by the user."""
    images: Tensor
    """Support pictures ``(N, C, H, W)``, uint8, in the order they were given."""
    labels: Tensor
    """``(N,)`` int64 in ``[0, way)``."""
    weights: Tensor | None
    """``(N,)`` double: what each image counts; None: 1 each."""
    modulations: Modulations
    """Gamma and beta of the task; empty without FiLM."""
    network: nn.Module
    """Pictures to features, FiLM folded in."""
    features: Tensor
    """``(N, D)`` of the support pictures."""
    head: TaskHead
    """Features to logits and distances."""
    temperature: float
    """Divides the logits."""
    member_distances: Tensor
    """``(M,)``: distance to the nearest class of support pictures that were left out."""

    @property
    def support(self) -> Support:
        """The support set, with the labels' names."""
        return Support(self.images, [self.classes[label] for label in self.labels.tolist()], self.weights)

    @property
    def present(self) -> Tensor:
        """Numbers of the classes that have images, ascending."""
        numbers: Tensor = self.labels.unique()
        return numbers

    def in_columns(self, values: Tensor, absent: float) -> Tensor:
        """Values ``(M, present)`` of the classes that have images as ``(M, way)``, with ``absent`` for the others."""
        present = self.present.to(values.device)
        if len(present) == len(self.classes):
            return values
        return values.new_full((len(values), len(self.classes)), absent).index_copy(1, present, values)


@dataclass(frozen=True)
class Answers:
    """What a classifier says of M pictures."""

    labels: np.ndarray
    """``(M,)``: the most likely class of each; None, "none of these", where it was rejected."""
    probabilities: np.ndarray
    """``(M, way)``, rows that sum to 1."""
    distances: np.ndarray
    """``(M, way)``: squared Mahalanobis distances to the classes."""
