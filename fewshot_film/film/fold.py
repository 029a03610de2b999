"""FiLM made part of the weights: of the layer it follows, and on into the convolution before a norm."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fewshot_film.film.errors import FoldError
from fewshot_film.film.inject import FiLMedNetwork, expect_filmed, has_hook_before_film, remove_film
from fewshot_film.film.norms import after_norm, channel_axis, fold_into_affine, is_norm
from fewshot_film.film.sites import Modulations

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def fold_film(filmed: FiLMedNetwork, modulations: Modulations, *, share_weights: bool = False) -> nn.Module:
    """A plain copy of a FiLM-ed network with one task's values folded into its normalisation layers.

    BatchNorm, InstanceNorm, GroupNorm and LayerNorm can take FiLM into their affine part; those without one
    get one. Linear layers and convolutions take it into weight and bias. Sites without values stay as they are. The
    copy has no gradient path to ``modulations``.

    Args:
        filmed: the network; it is not changed.
        modulations: values by site name, ``(1, C)`` each.
        share_weights: let the copy hold the very tensors of ``filmed.network`` wherever FiLM changes nothing:
            faster, and a hundred adapted networks take little more memory than one. Train neither then.

    Returns:
        A copy of ``filmed.network`` without FiLM, whose outputs are equal up to rounding.

    Raises:
        FoldError: values differ per example (more than one row) or per position, or a layer has no affine part to
            fold into.
        SiteError: a name in ``modulations`` is no site of this network, or it is a network without FiLM.
        ShapeError: values do not fit their site.

    Example:
        >>> filmed = inject_film(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).eval(), after=["1"])
        >>> plain = fold_film(filmed, {"1": Modulation(torch.full((1, 8), 2.0), torch.zeros(1, 8))})
        >>> plain[1].weight.tolist()
        [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """
    expect_filmed(filmed, "fold_film")
    filmed.sites.check(modulations)
    for name, (gamma, beta) in modulations.items():
        if gamma.ndim != 2:
            raise FoldError(
                f"site {name!r} has one value per position, expected one per channel: weights are the same everywhere"
            )
        rows = max(gamma.shape[0], beta.shape[0])
        if rows != 1:
            raise FoldError(
                f"site {name!r} has {rows} rows of values, expected 1: weights can hold one task's values, "
                "not a set per example; fold each row by itself, or call the FiLM-ed network"
            )
        if has_hook_before_film(filmed.network.get_submodule(name)):
            raise FoldError(
                f"site {name!r}: a forward hook acts between the layer and FiLM, which weights cannot act behind; "
                "expected hooks that are registered after inject_film, or none"
            )
    plain = _copy(filmed.network, [filmed.network] if share_weights else [])
    remove_film(plain)
    axis_of_site = {site.name: site.axis for site in filmed.sites}
    for name, (gamma, beta) in modulations.items():
        layer = plain.get_submodule(name)
        if is_norm(layer) or _is_affine_layer(layer):
            _check_axis(name, layer, axis_of_site[name])
        if _is_affine_layer(layer):
            _fold_into_weight(layer, gamma[0], beta[0])
        else:
            fold_into_affine(name, layer, gamma[0], beta[0])
    return plain


def _check_axis(name: str, layer: nn.Module, axis: int | None) -> None:
    """Refuse FiLM along another axis than that of a layer's own channels, unless the layer vouches for it."""
    if axis not in (None, channel_axis(layer)) and not getattr(layer, "ends_in_affine", False):
        raise FoldError(
            f"site {name!r} has its channels on axis {axis}, expected {channel_axis(layer)}, where those of a "
            f"{type(layer).__name__} are: its weights cannot act on another axis"
        )


def _is_affine_layer(layer: nn.Module) -> bool:
    """Whether a layer multiplies with its very weight and adds its bias, and nothing computes the weight anew."""
    return (is_plain_conv(layer) or type(layer) is nn.Linear) and not layer._forward_pre_hooks


@torch.no_grad()
def _fold_into_weight(layer: Any, gamma: Tensor, beta: Tensor) -> None:
    """Make a linear layer or a convolution return ``gamma * layer(x) + beta`` from now on."""
    weight, trainable = layer.weight, layer.weight.requires_grad
    bias = beta if layer.bias is None else gamma * layer.bias + beta
    scaled = gamma.reshape(-1, *[1] * (weight.ndim - 1)) * weight
    layer.weight = nn.Parameter(scaled.to(weight), requires_grad=trainable)
    layer.bias = nn.Parameter(bias.to(weight, copy=True), requires_grad=trainable)


def fuse_conv_norm(
    network: nn.Module, pairs: Iterable[tuple[str, str]] | None = None, *, in_place: bool = False
) -> nn.Module:
    """A copy of a network with BatchNorm layers folded into the convolutions before them, for inference.

    Args:
        network: a plain network in evaluation mode (fold FiLM first); it is not changed.
        pairs: names of convolutions and the BatchNorm layers that follow them; default: those that
            :func:`find_conv_norm_pairs` finds. Give them to save that search, or where ``torch.fx`` cannot
            trace the network. Each convolution's output must go to its BatchNorm and nowhere else.
        in_place: change the network itself, which saves the copy. Tensors that it shares with others stay as they are.

    Returns:
        A copy, or the network itself, with equal outputs, whose fused BatchNorm layers are ``nn.Identity``, or the
        activation inside them where they have one (timm's ``BatchNormAct2d``).

    Raises:
        FoldError: the network or a layer of ``pairs`` is in training mode, a pair is not a convolution and a
            BatchNorm with running statistics, either carries a forward hook (FiLM is one), or tracing failed.
    """
    pairs = find_conv_norm_pairs(network) if pairs is None else list(pairs)
    for conv_name, norm_name in pairs:
        reason = _why_not_fusable(network.get_submodule(conv_name), network.get_submodule(norm_name))
        if reason:
            raise FoldError(f"cannot fuse {conv_name!r} and {norm_name!r}: {reason}")
    shared = [network.get_submodule(name) for pair in pairs for name in pair]
    fused = network if in_place else _copy(network, shared)
    instead: dict[nn.Module, nn.Module] = {}
    for conv_name, norm_name in pairs:
        norm = fused.get_submodule(norm_name)
        _fuse(fused.get_submodule(conv_name), norm)
        instead[norm] = cast(nn.Module, norm.act) if after_norm(norm) else nn.Identity()
    _replace(fused, instead)
    return fused


def find_conv_norm_pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Names of convolutions and of the BatchNorm layer that alone takes the output of each.

    The data flow is read off a ``torch.fx`` trace; nothing is run. Pairs that cannot be fused for another
    reason (training mode, no running statistics, a layer used twice, forward hooks) are left out. For a
    FiLM-ed network search ``fold_film(filmed, {})`` once and use the pairs for every task.

    Raises:
        FoldError: see :func:`trace_layers`.
    """
    try:
        nodes = list(trace_layers(network).graph.nodes)
    except FoldError as error:
        raise FoldError(
            f"{error}, which is how convolutions and the BatchNorm layers after them are found; name them yourself: "
            'pairs=[("conv1", "bn1"), ...]'
        ) from error
    calls = [node for node in nodes if node.op == "call_module"]
    num_uses = Counter(node.target for node in calls)
    # a layer whose weight the network also reads by itself cannot change it
    num_uses.update(str(node.target).rpartition(".")[0] for node in nodes if node.op == "get_attr")
    pairs = []
    for node in calls:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        names = str(source.target), str(node.target)
        used_once = num_uses[source.target] == num_uses[node.target] == 1
        if used_once and not _why_not_fusable(*map(network.get_submodule, names)):
            pairs.append(names)
    return pairs


_TRACING = threading.Lock()
"""torch.fx exchanges ``nn.Module.__call__`` while it traces: of two at once, the last would leave the other's there."""


def trace_layers(network: nn.Module) -> fx.GraphModule:
    """A copy of a network, with the same tensors, whose data flow between layers can be read; nothing is run.

    Raises:
        FoldError: ``torch.fx`` cannot trace the network, for instance because its ``forward`` branches on
            values or checks shapes.
    """
    network = _copy(network, [network])  # some networks keep what they computed last: a stand-in while tracing
    try:
        with _TRACING:
            return fx.GraphModule(network, _LayerTracer().trace(network))
    except Exception as error:
        raise FoldError(f"torch.fx cannot trace this {type(network).__name__} ({error})") from error


class _LayerTracer(fx.Tracer):
    """Takes whole, besides torch's own layers, those without parts and those of a norm and an activation."""

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A call of the traced network; while it is traced, those of networks in other threads come here too."""
        if not any(isinstance(value, fx.Proxy) for value in (*args, *kwargs.values())):
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not m._modules or after_norm(m) is not None or super().is_leaf_module(m, module_qualified_name)


def _copy(network: nn.Module, sharing: Iterable[nn.Module]) -> nn.Module:
    """A deep copy that holds the very tensors of the modules in ``sharing``: those to keep, or to replace."""
    tensors = (tensor for module in sharing for tensor in (*module.parameters(), *module.buffers()))
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


def is_plain_conv(layer: nn.Module) -> bool:
    """Whether a layer convolves with its very weight: timm's ``Conv2dSame`` pads first, others rescale the weight."""
    return type(layer) in _CONVS or (isinstance(layer, nn.Conv2d) and type(layer).__name__ == "Conv2dSame")


def _is_plain_batch_norm(layer: nn.Module) -> bool:
    """Whether a layer is a BatchNorm, or timm's with an activation behind it."""
    return type(layer) in _BATCH_NORMS or (after_norm(layer) is not None and type(layer).__name__ == "BatchNormAct2d")


def _why_not_fusable(conv: nn.Module, norm: nn.Module) -> str:
    """Reason why two layers cannot become one convolution; empty if they can."""
    if not is_plain_conv(conv) or not _is_plain_batch_norm(norm):
        kinds = f"{type(conv).__name__} and {type(norm).__name__}"
        return f"they are {kinds}, expected Conv1d, Conv2d or Conv3d and BatchNorm"
    if "weight" not in conv._parameters.keys() & norm._parameters.keys():
        return "a hook computes the weight anew in every call; make it permanent first, as remove_spectral_norm does"
    if norm.training or norm.running_mean is None:
        return "BatchNorm uses the statistics of its batch, expected running ones; call network.eval() first"
    inside = after_norm(norm)
    if conv._forward_hooks or norm._forward_hooks or norm._forward_pre_hooks or (inside and inside._forward_pre_hooks):
        return "a forward hook acts between or after them; remove it, and fold FiLM with fold_film first"
    return ""


@torch.no_grad()
def _fuse(conv: Any, norm: Any) -> None:
    """Make ``conv`` do the work of both."""
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _replace(root: nn.Module, instead: Mapping[nn.Module, nn.Module]) -> None:
    """Put other modules wherever these are registered, under however many names."""
    for parent in list(root.modules()):
        for key, child in parent._modules.items():
            if child is not None and child in instead:
                parent._modules[key] = instead[child]
