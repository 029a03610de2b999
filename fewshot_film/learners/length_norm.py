"""Features of a length that is set."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_SMALL = 1e-6


class LengthNorm(nn.LayerNorm):
    """Vectors scaled to one length: a normalisation layer that FiLM can follow, as it can any other.

    What FiLM does there is a metric of the task: gamma says how much each feature counts. A power below 1 comes before
    it: averages of a ReLU's maps have long tails, and classes of few pictures are nearer to normal without (Tukey's
    ladder of powers; Yang et al., ICLR 2021, https://arxiv.org/abs/2101.06395, eq. 3).

    Args:
        width: of the vectors.
        length: what each is scaled to; 0 leaves them as they are.
        power: what the size of every element is raised to first; its sign stays.

    Example:
        >>> LengthNorm(2, 10.0)(torch.tensor([[3.0, 4.0]]))
        tensor([[6., 8.]])
    """

    ends_in_affine = True

    def __init__(self, width: int, length: float, power: float = 1.0) -> None:
        super().__init__(width, elementwise_affine=False)
        self.length = length
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """Vectors ``(*, width)`` of that length; where an affine part was folded in, changed by it."""
        if self.power != 1:  # with a bound, or the gradient at 0 were infinite
            x = x.sign() * x.abs().clamp_min(_SMALL).pow(self.power)
        x = self.length * F.normalize(x, dim=-1) if self.length else x
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias

    def extra_repr(self) -> str:
        """Width, length and power, as ``print(network)`` shows them."""
        return f"{self.normalized_shape[0]}, length={self.length:g}, power={self.power:g}"
