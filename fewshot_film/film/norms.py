"""What FiLM needs to know of layers: width, axis of the channels, affine part, activation inside."""

from __future__ import annotations

import re
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from fewshot_film.film.errors import FoldError, SiteError

_CHANNELS_LAST = (nn.LayerNorm, nn.RMSNorm)
_NORMS = (_NormBase, nn.GroupNorm, *_CHANNELS_LAST)
_NAMED_NORM = r"\w*(RMSNorm|LayerNorm)(2d)?"
_WIDTHS: tuple[tuple[Any, str], ...] = (
    (_NormBase, "num_features"),
    (nn.GroupNorm, "num_channels"),
    (nn.Linear, "out_features"),
    (_ConvNd, "out_channels"),
    (nn.MultiheadAttention, "embed_dim"),
)
"""Kinds of layers, and the attribute that holds the width of what they return."""
_INSTANCE_NORMS: dict[Any, int] = {nn.InstanceNorm1d: 3, nn.InstanceNorm2d: 4, nn.InstanceNorm3d: 5}
_TOKEN_LAYERS = (*_CHANNELS_LAST, nn.Linear, nn.MultiheadAttention)


def is_norm(module: nn.Module) -> bool:
    """Whether a layer is or derives from a BatchNorm, InstanceNorm, GroupNorm, LayerNorm or RMSNorm, or is named so."""
    return isinstance(module, _NORMS) or _is_named_norm(module)


def _is_named_norm(module: nn.Module) -> bool:
    """Whether a layer is a LayerNorm or RMSNorm that a library wrote itself, as transformers does for its RMSNorms."""
    if isinstance(module, _NORMS) or module._modules or not re.fullmatch(_NAMED_NORM, type(module).__name__):
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 1


def norm_width(name: str, module: nn.Module) -> int:
    """Number of channels a normalisation layer works on.

    Raises:
        SiteError: it is no normalisation layer, is lazy and not yet sized, or normalises several axes.
    """
    width = stated_width(module) if is_norm(module) else None
    if width is None:
        raise SiteError(
            f"cannot read a number of channels off {name!r}, a {type(module).__name__}; expected a "
            f"normalisation layer over one channel axis; name another, or pass Site({name!r}, num_channels)"
        )
    return width


def stated_width(module: nn.Module) -> int | None:
    """Number of channels that a layer's own settings say it returns; None where they do not say."""
    width: object = None
    if isinstance(module, _CHANNELS_LAST):
        width = module.normalized_shape[0] if len(module.normalized_shape) == 1 else None
    elif _is_named_norm(module):
        width = len(cast(Tensor, module.weight))
    else:
        width = next((getattr(module, name) for kinds, name in _WIDTHS if isinstance(module, kinds)), None)
    return width if isinstance(width, int) and width > 0 else None  # of a lazy layer it is 0


def states_axis(module: nn.Module) -> bool:
    """Whether the kind of a layer says on which axis its channels are."""
    return is_norm(module) or isinstance(module, (*_TOKEN_LAYERS, _ConvNd))


def batched_ndim(module: nn.Module) -> int | None:
    """Axes of what a layer returns for a batch, where it would also take a single example; None: it does not say."""
    if isinstance(module, _ConvNd):
        return len(module.kernel_size) + 2
    return next((ndim for kind, ndim in _INSTANCE_NORMS.items() if isinstance(module, kind)), None)


def channel_axis(module: nn.Module) -> int:
    """Axis of the channels in what a layer returns.

    ``LayerNorm2d`` of torchvision and timm derives from ``nn.LayerNorm`` yet takes and returns channels-first
    features, and so does ConvNeXt's ``LayerNorm`` with ``data_format="channels_first"``; the name and that attribute
    are all that tells them apart without importing those libraries.
    """
    if _has_channels_first(module) or type(module).__name__.endswith("2d"):
        return 1
    return -1 if isinstance(module, _TOKEN_LAYERS) or _is_named_norm(module) else 1


def _has_channels_first(module: nn.Module) -> bool:
    return is_layer_norm_2d(module) or getattr(module, "data_format", None) == "channels_first"


def is_layer_norm_2d(module: nn.Module) -> bool:
    """Whether a layer is a ``LayerNorm2d`` as ConvNeXt has it, or one of timm's variants (``LayerNormAct2d``)."""
    names = (kind.__name__ for kind in type(module).__mro__)
    return isinstance(module, nn.LayerNorm) and any(re.fullmatch(r"LayerNorm\w*2d\w*", name) for name in names)


def after_norm(module: nn.Module) -> nn.Module | None:
    """What a layer that joins a normalisation and an activation runs right behind the normalisation; None: nothing.

    timm's ``BatchNormAct2d``, ``GroupNormAct`` and their like derive from torch's normalisation layers and hold two
    layers, ``drop`` and ``act``, that run after it: FiLM belongs before them.
    """
    children = [getattr(module, name, None) for name in ("drop", "act")]
    inside = [child for child in children if isinstance(child, nn.Module)]
    return inside[0] if is_norm(module) and inside else None


# Layers whose forward ends in "weight * normalised + bias", but for what `after_norm` finds; a subclass with a forward
# of its own may do more, unless it says `ends_in_affine = True` or comes from one of these modules.
_AFFINE_LAST = {
    cls.forward for cls in (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm)
}
_AFFINE_MODULES = ("timm.layers.norm", "timm.layers.norm_act")


def _ends_in_affine(norm: nn.Module) -> bool:
    """Whether a layer's output, or what it hands to its activation, is an affine map of what it normalised."""
    forward = type(norm).forward
    known = forward in _AFFINE_LAST or (is_norm(norm) and forward.__module__ in _AFFINE_MODULES)
    layer_norm_2d = isinstance(norm, nn.LayerNorm) and (is_layer_norm_2d(norm) or hasattr(norm, "data_format"))
    return known or layer_norm_2d or getattr(norm, "ends_in_affine", False)


@torch.no_grad()
def fold_into_affine(name: str, norm: Any, gamma: Tensor, beta: Tensor) -> None:
    """Make a normalisation layer give ``gamma * norm(x) + beta`` from now on, to the activation inside it if any.

    Args:
        name: what to call it in errors.
        norm: the layer, changed in place; it gets an affine part if it has none.
        gamma: ``(C,)``.
        beta: ``(C,)``.

    Raises:
        FoldError: the layer does not end in an affine map per channel.
    """
    computed = is_norm(norm) and "weight" not in norm._parameters  # by a parametrization or hook: it would be again
    if computed or not _ends_in_affine(norm):
        kind = type(norm).__name__
        if computed or re.fullmatch(r"Linear|Conv[123]d", kind):
            kind += " with a weight that is quantised or computed anew"
        raise FoldError(
            f"{name!r} is a {kind}, expected a BatchNorm, InstanceNorm, GroupNorm, LayerNorm, Linear or "
            "Conv: there is no scale and shift at its end to fold into; leave out this site's values"
        )
    like = next((t for t in (norm.weight, getattr(norm, "running_mean", None)) if t is not None), gamma)
    trainable = norm.weight is None or norm.weight.requires_grad
    weight = gamma if norm.weight is None else gamma * norm.weight
    bias = beta if norm.bias is None else gamma * norm.bias + beta
    norm.weight = nn.Parameter(weight.to(like, copy=True), requires_grad=trainable)
    norm.bias = nn.Parameter(bias.to(like, copy=True), requires_grad=trainable)
    for flag in ("affine", "elementwise_affine"):
        if hasattr(norm, flag):
            setattr(norm, flag, True)
