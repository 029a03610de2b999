"""Layers that compute in 8-bit integers with oneDNN, and those between integers and floating point."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 255
_LARGEST_WEIGHT = 127
_TINY = 1e-12
MAX_LAYOUTS = 4
"""Kinds of inputs, by threads and shape, for which a convolution keeps its weights laid out."""


class Scale(NamedTuple):
    """What the unsigned integers of a map stand for: ``scale * (integer - zero)``."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> Scale:
        """The finest that represents all values from ``low`` to ``high``, and 0 exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max(high - low, _TINY) / _LEVELS
        return cls(scale, round(-low / scale))


class Quantize(nn.Module):
    """Floating point to integers, saturating.

    Args:
        scale: of the integers.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` float32 to uint8, laid out by pixel."""
        shifted = (x / self.scale.scale).add_(self.scale.zero + 0.5)  # and the fraction is cut off
        return shifted.clamp_(0, _LEVELS).to(torch.uint8).contiguous(memory_format=torch.channels_last)


class Dequantize(nn.Module):
    """Integers to floating point.

    Args:
        scale: of the integers.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, uint8 to float32."""
        return x.float().sub_(self.scale.zero).mul_(self.scale.scale)


class QuantizedConv(nn.Module):
    """A convolution of integers, an addition and a ReLU after it, if any.

    Args:
        conv: in floating point.
        source: scale of the input.
        result: scale of the output, whose saturation is the ReLU; None: the output is float32.
        ceiling: upper end of a ReLU, where the output is float32; None without one.
        other: scale of the map that is added; None without one.
    """

    weight: Tensor
    weight_scale: Tensor
    bias: Tensor

    def __init__(
        self,
        conv: nn.Conv2d,
        source: Scale,
        result: Scale | None,
        ceiling: float | None = None,
        other: Scale | None = None,
    ) -> None:
        super().__init__()
        scale = conv.weight.detach().abs().amax((1, 2, 3)).clamp_min(_TINY) / _LARGEST_WEIGHT
        self.register_buffer("weight", (conv.weight.detach() / scale[:, None, None, None]).round().to(torch.int8))
        self.register_buffer("weight_scale", scale)
        bias = scale.new_zeros(len(scale)) if conv.bias is None else conv.bias.detach().float()
        self.register_buffer("bias", bias)
        self.source, self.result, self.other = source, result, other
        self.stride, self.dilation, self.groups = list(conv.stride), list(conv.dilation), conv.groups
        self.is_padded_same = type(conv).__name__ == "Conv2dSame"
        self.padding = [0, 0] if isinstance(conv.padding, str) else list(conv.padding)
        self._activation: tuple[str, list[float]] = ("none", [])
        if result is None and ceiling is not None:
            self._activation = ("relu", []) if ceiling == float("inf") else ("hardtanh", [0.0, ceiling])
        self._packed: dict[tuple[int, ...], Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": {}}  # oneDNN's own layout of the weights can be neither copied nor saved

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Maps ``(B, C, H, W)`` uint8, and what is added, ``(B, C', H', W')`` uint8, to uint8 or float32."""
        given, shape = self._arguments(x)
        out = (*(self.result or Scale(1.0, 0)), torch.float32 if self.result is None else torch.uint8)
        conv = torch.ops.onednn.qconv2d_pointwise
        found: Tensor
        if other is None:
            found = conv.default(*given, *shape, *out, *self._activation, "")
            return found
        assert self.other is not None
        summed = other.clone(memory_format=torch.channels_last)  # which the result overwrites
        found = conv.binary(*given, summed, *shape, *out, *self.other, "sum", 1.0, "none", [], "")
        return found

    def sums(self, x: Tensor) -> Tensor:
        """What the convolution alone computes, float32, before the addition and the activation."""
        given, shape = self._arguments(x)
        conv = torch.ops.onednn.qconv2d_pointwise.default
        found: Tensor = conv(*given, *shape, *Scale(1.0, 0), torch.float32, "none", [], "")
        return found

    def _arguments(self, x: Tensor) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Input and weights, and bias and geometry, as oneDNN's operators take them."""
        x, padding = self._pad(x)
        zeros = torch.zeros_like(self.weight_scale, dtype=torch.int8)
        given = (x, *self.source, self._packed_for(x, padding), self.weight_scale, zeros)
        return given, (self.bias, self.stride, padding, self.dilation, self.groups)

    def _pad(self, x: Tensor) -> tuple[Tensor, list[int]]:
        """The input with the padding that the convolution cannot do, and that which it can."""
        if not self.is_padded_same:
            return x, self.padding
        height, width = (
            max((-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 - side, 0)
            for side, kernel, stride, dilation in zip(
                x.shape[2:], self.weight.shape[2:], self.stride, self.dilation, strict=True
            )
        )
        even = [height // 2, width // 2]
        if height % 2 == 0 and width % 2 == 0:
            return x, even
        uneven = (even[1], width - even[1], even[0], height - even[0])
        padded = F.pad(x, uneven, value=self.source.zero)
        return padded.contiguous(memory_format=torch.channels_last), [0, 0]

    def _packed_for(self, x: Tensor, padding: list[int]) -> Tensor:
        """The weights as oneDNN wants them for inputs like this one; laid out otherwise, every call lays them out anew.

        The layouts of the last few kinds of inputs are kept.
        """
        key = (torch.get_num_threads(), *x.shape)
        if key not in self._packed:
            shape = (self.stride, padding, self.dilation, self.groups, list(x.shape))
            packed = torch.ops.onednn.qconv_prepack(self.weight, self.weight_scale, *self.source, *shape)
            self._packed = {**dict(list(self._packed.items())[1 - MAX_LAYOUTS :]), key: packed}
        return self._packed[key]


@lru_cache(maxsize=1)
def is_exact() -> bool:
    """Whether this machine has oneDNN's convolutions of integers, and their sums do not overflow.

    Without VNNI, products of 8-bit integers are summed in 16 bits, which saturate.
    """
    conv = nn.Conv2d(64, 16, 1, bias=False, dtype=torch.float32)
    nn.init.ones_(conv.weight)
    ones = torch.full((1, 64, 4, 4), _LEVELS, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    try:
        with torch.no_grad():
            found = QuantizedConv(conv, Scale(1.0, 0), None)(ones)
    except (RuntimeError, AttributeError):  # no such operator in this build
        return False
    return bool(torch.allclose(found, torch.full_like(found, 64.0 * _LEVELS)))
