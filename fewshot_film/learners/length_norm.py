"""Features of a length that is set."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LengthNorm(nn.LayerNorm):
    """Vectors scaled to one length: a normalisation layer that FiLM can follow, as it can any other.

    What FiLM does there is a metric of the task: gamma says how much each feature counts.

    Args:
        width: of the vectors.
        length: what each is scaled to; 0 leaves them as they are.

    Example:
        >>> LengthNorm(2, 10.0)(torch.tensor([[3.0, 4.0]]))
        tensor([[6., 8.]])
    """

    ends_in_affine = True

    def __init__(self, width: int, length: float) -> None:
        super().__init__(width, elementwise_affine=False)
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        """Vectors ``(*, width)`` of that length; where an affine part was folded in, changed by it."""
        x = self.length * F.normalize(x, dim=-1) if self.length else x
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias

    def extra_repr(self) -> str:
        """Width and length, as ``print(network)`` shows them."""
        return f"{self.normalized_shape[0]}, length={self.length:g}"
