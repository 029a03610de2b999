"""What a fitted classifier knows, and what it answers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from fewshot_film.classifier.adapting import TaskHead
from fewshot_film.film import Modulations


@dataclass(frozen=True)
class Fitted:
    """What a fitted classifier knows; a new one is made at every fit."""

    classes: list[Hashable]
    """What the columns stand for."""
    images: Tensor
    """Support pictures ``(N, C, H, W)``, uint8, in the order they were given."""
    labels: Tensor
    """``(N,)`` int64 in ``[0, way)``."""
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


@dataclass(frozen=True)
class Answers:
    """What a classifier says of M pictures."""

    labels: np.ndarray
    """``(M,)``: the most likely class of each; None, "none of these", where it was rejected."""
    probabilities: np.ndarray
    """``(M, way)``, rows that sum to 1."""
    distances: np.ndarray
    """``(M, way)``: squared Mahalanobis distances to the classes."""
