"""Feature-wise linear modulation: the function, the layer, and the coordinate maps that go with it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.fx
from torch import Tensor, nn
from torch.utils import _pytree

from fewshot_film.film.errors import ShapeError


class Modulation(NamedTuple):
    """Values for one FiLM site, ``(B, C)`` each; one row (``B = 1``) serves a whole batch.

    Or one value per position: both have all axes of the features then, each as long as theirs or 1.
    """

    gamma: Tensor
    """The full scale: 1 is the identity."""
    beta: Tensor
    """The shift: 0 is the identity."""


# Lets an exported program that takes modulations be written to a file, and read again with weights_only.
_pytree._register_namedtuple(Modulation, serialized_type_name=f"{__name__}.Modulation")
torch.serialization.add_safe_globals([Modulation])


def film(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, axis: int = 1) -> Tensor:
    """Scale and shift every feature map: ``gamma * x + beta``.

    The sum is taken in the widest dtype of the three, so a float32 ``gamma`` of 1.001 still acts on
    bfloat16 features; only the result is rounded to the dtype of ``x``.

    Args:
        x: features, ``(B, C, *)``; any number of trailing axes, floating point. With ``axis=-1`` tokens,
            ``(B, *, C)``.
        gamma: the full scale (1 is the identity, not 0). One value per channel: ``(B, C)``, ``(1, C)`` or ``(C,)``;
            or one per position: as many axes as ``x``, each as long as that of ``x`` or 1. None: no scale.
        beta: shift, same shape as ``gamma``. None: no shift.
        axis: of the channels in ``x``.

    Returns:
        A new tensor (an in-place ReLU may follow) with the shape, dtype, device and memory format of ``x``.

    Raises:
        ShapeError: ``gamma`` and ``beta`` differ in shape, or do not fit ``x``, or neither is given, or ``x`` is not
            floating point.

    Example:
        >>> film(torch.ones(1, 2, 3), torch.tensor([2.0, 1.0]), torch.tensor([0.0, 5.0]))
        tensor([[[2., 2., 2.],
                 [6., 6., 6.]]])
        >>> film(torch.ones(1, 3, 2), torch.tensor([2.0, 1.0]), axis=-1)
        tensor([[[2., 1.],
                 [2., 1.],
                 [2., 1.]]])

    Source:
        Perez et al., "FiLM", AAAI 2018, eq. 2, https://arxiv.org/abs/1709.07871
    """
    axis = check_film_inputs(x, gamma, beta, axis)
    if gamma is not None and beta is not None and fits_one_pass(x, gamma, beta, axis):
        return one_pass(x, gamma, beta).view(x.shape)
    out = x
    if gamma is not None:
        out = _aligned(gamma, x, axis) * out
    if beta is not None:
        out = out + _aligned(beta, x, axis)
    return out.to(x.dtype)


def fits_one_pass(x: Tensor, gamma: Tensor, beta: Tensor, axis: int) -> bool:
    """Whether :func:`one_pass` computes this FiLM, and faster than a product and a sum."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False  # before sizes are looked at, which would hold for a whole exported program
    if axis != 1 or x.ndim < 3 or gamma.ndim > 2 or x.numel() < LEAST_FOR_ONE_PASS or x.device.type != "cpu":
        return False
    kinds = x.dtype, gamma.dtype, beta.dtype
    if kinds not in (3 * (torch.float32,), 3 * (torch.float64,)) or {type(x), type(gamma), type(beta)} - _PLAIN:
        return False
    return x.is_contiguous() or (x.ndim == 4 and _one_row(gamma) and x.is_contiguous(memory_format=torch.channels_last))


def _one_row(values: Tensor) -> bool:
    return values.ndim == 1 or len(values) == 1


LEAST_FOR_ONE_PASS = 2**17
"""Fewer features lie in the processor's cache, where a second pass costs less than the call."""
_PLAIN = {Tensor, nn.Parameter}
"""Subclasses, such as those of tensors that are spread over processes, may not know every operation."""


def one_pass(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """FiLM by one read and one write of the features, half the time of a product and a sum.

    BatchNorm in evaluation mode is this map where the mean is 0 and the variance 1; every row has channels of its own.

    Returns:
        Values of the features, ``(B, C, *)`` or, where rows differ, ``(1, B * C, *)``.
    """
    rows = x if _one_row(gamma) else x.view(1, -1, *x.shape[2:])
    scale, shift = gamma.reshape(-1), beta.reshape(-1)
    return torch.batch_norm(rows, scale, shift, torch.zeros_like(scale), torch.ones_like(scale), False, 0.0, 0.0, False)


def _aligned(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """Values in a shape that broadcasts against the features."""
    if values.ndim == x.ndim:
        return values
    return values.reshape(-1, *(x.shape[axis] if i == axis else 1 for i in range(1, x.ndim)))


def check_film_inputs(x: Tensor, gamma: Tensor | None, beta: Tensor | None, axis: int = 1) -> int:
    """Refuse features and values that do not fit each other.

    Returns:
        ``axis``, counted from the front.

    Raises:
        ShapeError: as of :func:`film`.
    """
    if not x.is_floating_point():
        raise ShapeError(f"film: features are {x.dtype}, expected floating point; convert them with x.float()")
    if x.is_nested:
        raise ShapeError(
            "film: features are a nested tensor, expected a padded one; nn.TransformerEncoder makes them in evaluation "
            "unless it is built with enable_nested_tensor=False"
        )
    if x.ndim < 2:
        raise ShapeError(
            f"film: features have shape {tuple(x.shape)}, expected (B, C, *); add the batch axis with x.unsqueeze(0)"
        )
    front = axis + x.ndim if axis < 0 else axis
    if not 0 < front < x.ndim:
        raise ShapeError(
            f"film: channels on axis {axis} of features {tuple(x.shape)}, expected 1 to {x.ndim - 1} or -1: axis 0 is "
            "the batch"
        )
    values = beta if gamma is None else gamma
    if values is None:
        raise ShapeError("film: got neither gamma nor beta, expected one of them or both")
    if gamma is not None and beta is not None and gamma.shape != beta.shape:
        raise ShapeError(
            f"film: gamma has shape {tuple(gamma.shape)} and beta {tuple(beta.shape)}, expected the same "
            "shape; expand the smaller one"
        )
    _check_values(x, values, front)
    return front


def _check_values(x: Tensor, values: Tensor, axis: int) -> None:
    batch, channels = x.shape[0], x.shape[axis]
    if values.ndim == x.ndim > 2 and all(size in (1, full) for size, full in zip(values.shape, x.shape, strict=True)):
        return
    if values.ndim not in (1, 2) or values.shape[-1] != channels:
        raise ShapeError(
            f"film: gamma and beta have shape {tuple(values.shape)} for features {tuple(x.shape)}, expected "
            f"({channels},), (1, {channels}) or ({batch}, {channels}); generate one value per feature map, or one per "
            "position in a tensor with all axes of the features"
        )
    if values.ndim == 2 and values.shape[0] != 1 and values.shape[0] != batch:
        raise ShapeError(
            f"film: gamma and beta have {values.shape[0]} rows for a batch of {batch}, expected 1 or {batch}; "
            "pass one row to share it, or one row per example (of learned rows, those of the examples: learned(index))"
        )


def check_width(x: Tensor, num_channels: int, axis: int = 1) -> Tensor:
    """The features themselves, if they have ``num_channels`` on ``axis``.

    Raises:
        ShapeError: they have not.
    """
    if x.ndim < 2 or x.shape[axis] != num_channels:
        expected = f"(B, {num_channels}, *)" if axis == 1 else f"{num_channels} channels on axis {axis}"
        raise ShapeError(
            f"FiLM({num_channels}): features have shape {tuple(x.shape)}, expected {expected}; "
            "build the layer with the width of its input"
        )
    return x


# Functions that torch.fx records as they are: a tracer's stand-in for a tensor has no shape to check.
torch.fx.wrap("film")
torch.fx.wrap("check_width")


class FiLM(nn.Module):
    """FiLM as a layer: the identity until it is given values.

    Values come with the call (``layer(x, modulation)``), or are kept (``layer.modulation = modulation``) and
    then serve every call that brings none. Kept values follow ``.to()`` and stay out of the state dict: they
    are generated, not learned.

    Args:
        num_channels: width ``C`` of the features.
        axis: of the channels; -1 for tokens ``(B, T, C)``.

    Example:
        >>> layer = FiLM(2)
        >>> layer(torch.ones(1, 2))
        tensor([[1., 1.]])
        >>> layer(torch.ones(1, 2), Modulation(torch.full((1, 2), 3.0), torch.zeros(1, 2)))
        tensor([[3., 3.]])
    """

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, num_channels: int, *, axis: int = 1) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.axis = axis
        self.register_buffer("gamma", None, persistent=False)
        self.register_buffer("beta", None, persistent=False)

    @property
    def modulation(self) -> Modulation | None:
        """The values kept for every call, or ``None``: the identity."""
        if self.gamma is None or self.beta is None:
            return None
        return Modulation(self.gamma, self.beta)

    @modulation.setter
    def modulation(self, values: Modulation | None) -> None:
        gamma, beta = (None, None) if values is None else values
        # not by assignment, which would make an nn.Parameter one of this layer, and part of its state dict
        self.register_buffer("gamma", gamma, persistent=False)
        self.register_buffer("beta", beta, persistent=False)

    def forward(self, x: Tensor, modulation: Modulation | None = None) -> Tensor:
        """Modulate ``x`` by the values given here, else by those kept, else not at all.

        Args:
            x: features, ``(B, C, *)``, or with the channels on the layer's ``axis``.
            modulation: gamma and beta, ``(B, C)`` or ``(1, C)`` each, or one value per position.

        Returns:
            Tensor with the shape, dtype and device of ``x``.

        Raises:
            ShapeError: ``x`` is not ``num_channels`` wide, or the values do not fit it.
        """
        values = self.modulation if modulation is None else modulation
        x = check_width(x, self.num_channels, self.axis)
        return x if values is None else film(x, *values, axis=self.axis)

    def extra_repr(self) -> str:
        """The width, as ``print(layer)`` shows it."""
        return str(self.num_channels) + (f", axis={self.axis}" if self.axis != 1 else "")


def coordinate_maps(
    height: int,
    width: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Two maps that tell a convolution where it is: x (left to right), then y (top to bottom).

    Both run from -1 in the first column or row to 1 in the last; an axis of length 1 holds -1.

    Args:
        height: rows.
        width: columns.
        device: where to make them.
        dtype: default: torch's default dtype.

    Returns:
        Tensor ``(2, height, width)``, x before y.

    Raises:
        ShapeError: ``height`` or ``width`` is below 1.

    Example:
        >>> coordinate_maps(2, 3)[0]
        tensor([[-1.,  0.,  1.],
                [-1.,  0.,  1.]])

    Source:
        Perez et al., "FiLM", AAAI 2018, section 3; the order of the maps is that of the authors' code.
    """
    if height < 1 or width < 1:
        raise ShapeError(f"coordinate_maps: got {height} x {width} positions, expected at least 1 x 1")
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype)
    y = torch.linspace(-1, 1, height, device=device, dtype=dtype)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def append_coordinates(x: Tensor) -> Tensor:
    """Append the two :func:`coordinate_maps` to features.

    Args:
        x: features, ``(B, C, H, W)``.

    Returns:
        Tensor ``(B, C + 2, H, W)`` with the dtype, device and layout of ``x``.

    Raises:
        ShapeError: ``x`` is not four-dimensional.
    """
    if x.ndim != 4:
        raise ShapeError(f"append_coordinates: features have shape {tuple(x.shape)}, expected (B, C, H, W)")
    batch, _, height, width = x.shape
    maps = coordinate_maps(height, width, device=x.device, dtype=x.dtype).expand(batch, -1, -1, -1)
    # torch.cat gives channels-last only where all parts have it
    by_pixel = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    layout = torch.channels_last if by_pixel else torch.contiguous_format
    return torch.cat([x, maps.contiguous(memory_format=layout)], dim=1)
