"""What a head is to the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """What a fitted head says of queries."""

    labels: Tensor
    """``(Q,)``: the likeliest class."""
    probabilities: Tensor | None
    """``(Q, way)``; None for a head that has none."""
    turned_away: Tensor | None
    """``(Q,)`` bool: "none of these"; None where the head cannot tell."""


Answer = Callable[[Tensor], Answers]
"""Features of queries ``(Q, D)`` to answers."""


class Head(Protocol):
    """Features ``(N, D)`` and labels ``(N,)`` in ``[0, way)`` of a support set to what answers."""

    def __call__(self, features: Tensor, labels: Tensor, *, judge: bool = True) -> Answer:
        """Fit; without ``judge`` only the likeliest class is asked for, which takes less time."""
        ...
