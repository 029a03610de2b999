"""A network whose convolutions compute in 8-bit integers, for inference on processors that multiply those fast.

Static post-training quantisation of a plain network, FiLM and BatchNorm folded in: weights are signed with one scale
per output channel, maps unsigned with one scale and zero point each, from their ranges on calibration images. A
convolution, the residual addition and the ReLU or ReLU6 after it are one call of oneDNN, in whose output the
saturation of the integers is the ReLU; whatever else a network holds is computed in float32 between them.

Rounded weights shift the means of the maps, which is most of the error: biases are corrected layer by layer so that
every channel keeps the mean that it has in float32.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, https://arxiv.org/abs/1712.05877, sections 2 and 3; Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", ICCV 2019, https://arxiv.org/abs/1906.04721, section 4.2 (the empirical correction).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from fewshot_film.classifier.int8_layers import Dequantize, Quantize, QuantizedConv, Scale, is_exact
from fewshot_film.errors import UserError
from fewshot_film.film import FoldError
from fewshot_film.film.fold import is_plain_conv, trace_layers
from fewshot_film.learners.backbone import Backbone, FeatureMaps, joined_features
from fewshot_film.learners.support import NonFiniteFeaturesError

LEAST_SHARE = 0.5
"""Least share of a network's weights that must be in convolutions: with less, the rest would decide the time."""
MOST_ERROR = 0.4
"""Most that features in integers may differ from those in float32: length of the difference, as a share."""
BLOCK = 8
"""Images computed at once. Weights are laid out for one number of images, which takes longer than to compute one: so
there are two numbers only."""
_ADVICE = "use precision='float32'"
_ADDITIONS = (operator.add, operator.iadd, torch.add)
_ACTIVATIONS = {F.relu: math.inf, torch.relu: math.inf, "relu": math.inf, "relu_": math.inf, F.relu6: 6.0}


class QuantizationError(UserError):
    """A network, device or processor that int8 is not for."""


class Int8Calibration(NamedTuple):
    """What calibration images say of a network: with it, the network in integers is made again, bit by bit."""

    ranges: Tensor
    """Least and largest value of every map that becomes integers, ``(T, 2)``."""
    biases: Tensor
    """Corrected biases of all convolutions, one after the other, ``(C,)``."""


@dataclass(frozen=True)
class _Unit:
    """A convolution, with what is computed in the same call."""

    conv: fx.Node
    out: fx.Node
    """What it computes: the node of the convolution, of the addition or of the activation."""
    other: fx.Node | None
    """What is added, before the activation."""
    ceiling: float | None
    """Upper end of a ReLU; None without one."""

    @property
    def source(self) -> fx.Node:
        """What is convolved."""
        return cast(fx.Node, self.conv.args[0])


class Quantizer:
    """Finds what can be integers in a network, and makes it so.

    Args:
        network: in evaluation mode, FiLM and BatchNorm folded in; it is not changed.

    Raises:
        QuantizationError: its data flow cannot be read, less than half of its weights are in convolutions, or this
            machine computes no exact products of 8-bit integers.
    """

    def __init__(self, network: Backbone) -> None:
        if not is_exact():
            raise QuantizationError(
                "precision is int8, and this processor or build of PyTorch has no exact convolutions of 8-bit integers "
                f"(oneDNN, and the instructions VNNI or AMX); {_ADVICE}"
            )
        self.network = network
        try:
            self.graph = trace_layers(FeatureMaps(network))
        except FoldError as error:
            raise QuantizationError(f"precision is int8, but {error}; {_ADVICE}") from error
        self.units = _units(self.graph)
        convs = {unit.conv.target: _module(self.graph, unit.conv).weight.numel() for unit in self.units}
        share = sum(convs.values()) / max(sum(weight.numel() for weight in self.graph.parameters()), 1)
        if share < LEAST_SHARE:
            raise QuantizationError(
                f"precision is int8, which speeds up convolutions, but only {share:.0%} of this network's weights are "
                f"in convolutions (expected at least {LEAST_SHARE:.0%}); {_ADVICE}"
            )
        read = {node for unit in self.units for node in (unit.source, unit.other)}
        self.observed = [node for node in self.graph.graph.nodes if node in read]

    @torch.no_grad()
    def calibrated(self, batches: Sequence[Tensor]) -> tuple[nn.Module, Int8Calibration]:
        """The network in integers, and that by which :meth:`quantized` makes it again.

        Args:
            batches: at least one, of calibration images ``(B, C, H, W)`` in [0, 1].

        Raises:
            QuantizationError: its features would differ too much; see :meth:`quantized` for others.
            NonFiniteFeaturesError: a map is NaN or infinite.
        """
        observer = _Observer(self.graph, self.observed, [unit.conv for unit in self.units])
        maps = [observer.run(batch) for batch in batches]
        ranges = torch.stack([torch.stack(observer.found[node]) for node in self.observed])
        if not bool(ranges.isfinite().all()):
            raise NonFiniteFeaturesError(
                "the network computed NaN or infinity from the support images, so the model's weights are faulty or "
                "overflow: use another model"
            )
        found, layers = self._lowered(ranges)
        images = torch.cat(list(batches))
        means = [observer.sums[unit.conv] / len(images) for unit in self.units]
        _Corrector(found.maps, {id(layer): mean for layer, mean in zip(layers, means, strict=True)}).run(images)
        self._check_alike(found.maps, batches[0], maps[0])
        return found, Int8Calibration(ranges, torch.cat([layer.bias for layer in layers]))

    def _check_alike(self, maps: fx.GraphModule, images: Tensor, expected_maps: Sequence[Tensor]) -> None:
        """Refuse a network whose features in integers are others."""
        norms = self.network.feature_norms
        expected = joined_features(lambda _: expected_maps, norms, images, flip_tta=False)
        got = joined_features(maps, norms, images, flip_tta=False)
        error = float((got - expected).norm() / expected.norm().clamp_min(1e-12))
        if error > MOST_ERROR:
            raise QuantizationError(
                f"precision is int8, but this network's features differ by {error:.0%} in it from those in float32 "
                f"(expected at most {MOST_ERROR:.0%}); {_ADVICE}"
            )

    @torch.no_grad()
    def quantized(self, calibration: Int8Calibration) -> nn.Module:
        """The network in integers: images ``(B, C, H, W)`` in [0, 1] to features ``(B, D)``, float32.

        Args:
            calibration: see :meth:`calibrated`, of the same network.

        Raises:
            QuantizationError: it is of another network, or oneDNN refuses a layer.
        """
        widths = [_module(self.graph, unit.conv).out_channels for unit in self.units]
        if (*calibration.ranges.shape, len(calibration.biases)) != (len(self.observed), 2, sum(widths)):
            raise QuantizationError(
                f"ranges of {len(calibration.ranges)} maps and {len(calibration.biases)} biases are given, and this "
                f"network has {len(self.observed)} and {sum(widths)}; fit again"
            )
        found, layers = self._lowered(calibration.ranges)
        for layer, bias in zip(layers, calibration.biases.split(widths), strict=True):
            layer.bias = bias
        return found

    def _lowered(self, ranges: Tensor) -> tuple[QuantizedNetwork, list[QuantizedConv]]:
        """The network in integers with the biases that it has, and its convolutions in the order of the units."""
        scales = {node: Scale.of(*row) for node, row in zip(self.observed, ranges.tolist(), strict=True)}
        maps, layers = _lowered(self.graph, self.units, scales)
        found = QuantizedNetwork(maps, self.network)
        reads = self.network.preprocessing
        try:
            found(torch.zeros(1, reads.channels, reads.size, reads.size))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise QuantizationError(f"precision is int8, but oneDNN refuses a layer ({reason}); {_ADVICE}") from error
        return found, layers


class QuantizedNetwork(nn.Module):
    """A backbone whose maps are computed in integers.

    Args:
        maps: images to the maps that make the features.
        backbone: what makes features of them; its convolutions are not kept.
    """

    maps: fx.GraphModule

    def __init__(self, maps: fx.GraphModule, backbone: Backbone) -> None:
        super().__init__()
        self.maps = maps
        self.feature_norms = backbone.feature_norms
        self.flip_tta = backbone.flip_tta

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, D)`` of images ``(B, C, H, W)`` in [0, 1], in blocks of :data:`BLOCK`, what is left singly."""
        whole = len(images) - len(images) % BLOCK
        parts = [*images[:whole].split(BLOCK), *images[whole:].split(1)] if whole else images.split(1)
        return torch.cat([self._features(part) for part in parts])

    def _features(self, images: Tensor) -> Tensor:
        return joined_features(self.maps, self.feature_norms, images, self.flip_tta)


class _Observer(fx.Interpreter):
    """Runs a network and keeps the extremes of some of its values, and the means of others.

    Args:
        graph: the network.
        observed: nodes whose extremes are wanted.
        averaged: nodes of maps ``(B, C, H, W)`` whose means per channel are wanted, summed over images.
    """

    def __init__(self, graph: fx.GraphModule, observed: Sequence[fx.Node], averaged: Sequence[fx.Node]) -> None:
        super().__init__(graph)
        self.sums = dict.fromkeys(averaged, torch.zeros(()))
        zero = torch.zeros(())
        self.found = dict.fromkeys(observed, (zero, zero))

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self.found:
            (low, high), (lowest, highest) = result.aminmax(), self.found[n]
            self.found[n] = (torch.minimum(low, lowest), torch.maximum(high, highest))  # NaN stays NaN
        if n in self.sums:
            self.sums[n] = self.sums[n] + result.mean((2, 3)).sum(0)
        return result


class _Corrector(fx.Interpreter):
    """Runs a network in integers and gives every convolution the bias by which its channels have their means.

    Args:
        graph: the network, which is changed.
        means: wanted, by the identity of the layer.
    """

    def __init__(self, graph: fx.GraphModule, means: Mapping[int, Tensor]) -> None:
        super().__init__(graph)
        self._means = means

    def run_node(self, n: fx.Node) -> Any:
        layer = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(layer, QuantizedConv):
            (x, *_), _ = self.fetch_args_kwargs_from_env(n)
            layer.bias = layer.bias + self._means[id(layer)] - layer.sums(x).mean((0, 2, 3))
        return super().run_node(n)


def _module(graph: fx.GraphModule, node: fx.Node) -> Any:
    return graph.get_submodule(str(node.target))


def _units(graph: fx.GraphModule) -> list[_Unit]:
    """All convolutions, each with the addition and activation that take its output alone."""
    units: list[_Unit] = []
    taken: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if node.op != "call_module" or not _is_quantizable(_module(graph, node)):
            continue
        out, other, ceiling = _passed(graph, node), None, None
        user = _only_user(out)
        if user is not None and user not in taken and (operand := _added(user, out)) is not None:
            taken.add(user)
            out, other = _passed(graph, user), operand
            user = _only_user(out)
        if user is not None and (ceiling := _ceiling(graph, user)) is not None:
            out = _passed(graph, user)
        units.append(_Unit(node, out, other, ceiling))
    return _without_float_sums(units)


def _without_float_sums(units: Sequence[_Unit]) -> list[_Unit]:
    """The units; where a sum is not read by a convolution, it stays in float32, which features are made of."""
    read = {node for unit in units for node in (unit.source, unit.other)}
    return [
        unit if unit.other is None or unit.out in read else _Unit(unit.conv, unit.conv, None, None) for unit in units
    ]


def _is_quantizable(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and is_plain_conv(layer)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _passed(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The node, or the last of those behind it that change nothing in evaluation, such as a BatchNorm folded away."""
    user = _only_user(node)
    while user is not None and user.op == "call_module" and isinstance(_module(graph, user), nn.Identity | nn.Dropout):
        node, user = user, _only_user(user)
    return node


def _added(node: fx.Node, one: fx.Node) -> fx.Node | None:
    """The other operand, if this is the plain sum of two nodes."""
    is_sum = node.op == "call_function" and node.target in _ADDITIONS
    is_sum = is_sum or (node.op == "call_method" and node.target in ("add", "add_"))
    if not is_sum or node.kwargs or len(node.args) != 2:
        return None
    others = [operand for operand in node.args if operand is not one]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None


def _ceiling(graph: fx.GraphModule, node: fx.Node) -> float | None:
    """Upper end of a ReLU; None for anything else."""
    if node.op != "call_module":
        return _ACTIVATIONS.get(cast(Any, node.target))
    layer = _module(graph, node)
    if isinstance(layer, nn.Hardtanh):  # ReLU6 is one
        return float(layer.max_val) if layer.min_val == 0 else None
    return math.inf if isinstance(layer, nn.ReLU) else None


def _lowered(
    graph: fx.GraphModule, units: Sequence[_Unit], scales: Mapping[fx.Node, Scale]
) -> tuple[fx.GraphModule, list[QuantizedConv]]:
    """The network with its units in integers, and what became of them."""
    by_out = {unit.out: unit for unit in units}
    inside = {node for unit in units for node in _between(unit)}
    lowering = _Lowering(graph, scales)
    layers: dict[fx.Node, QuantizedConv] = {}
    for node in graph.graph.nodes:
        if node in by_out:
            layers[node] = lowering.add_unit(by_out[node])
        elif node not in inside:
            lowering.add_float(node)
    return lowering.result(), [layers[unit.out] for unit in units]


def _between(unit: _Unit) -> set[fx.Node]:
    """Nodes from the convolution to what is computed with it."""
    found, node = {unit.conv}, unit.conv
    while node is not unit.out:
        node = next(iter(node.users))
        found.add(node)
    return found


class _Lowering:
    """A graph in the making, in which a value may be there as integers, in float32, or as both."""

    def __init__(self, graph: fx.GraphModule, scales: Mapping[fx.Node, Scale]) -> None:
        self._graph = graph
        self._scales = scales
        self._new = fx.Graph()
        self._layers: dict[str, Any] = {}
        self._floats: dict[fx.Node, fx.Node] = {}
        self._integers: dict[fx.Node, fx.Node] = {}

    def add_unit(self, unit: _Unit) -> QuantizedConv:
        """A convolution of integers, whose output is integers where another such convolution reads it."""
        others = [] if unit.other is None else [unit.other]
        result = self._scales.get(unit.out)
        scale_of_other = self._scales[unit.other] if unit.other is not None else None
        conv = _module(self._graph, unit.conv)
        layer = QuantizedConv(conv, self._scales[unit.source], result, unit.ceiling, scale_of_other)
        found = self._call(layer, *(self._as_integers(node) for node in (unit.source, *others)))
        (self._floats if result is None else self._integers)[unit.out] = found
        return layer

    def add_float(self, node: fx.Node) -> None:
        """Anything else, as it is."""
        self._floats[node] = self._new.node_copy(node, self._as_float)
        if node.op == "call_module":
            self._layers[str(node.target)] = _module(self._graph, node)
        elif node.op == "get_attr":
            self._layers[str(node.target)] = operator.attrgetter(str(node.target))(self._graph)

    def result(self) -> fx.GraphModule:
        """The network."""
        return fx.GraphModule(self._layers, self._new)

    def _call(self, layer: nn.Module, *args: fx.Node) -> fx.Node:
        name = f"int8_{len(self._layers)}"
        self._layers[name] = layer
        return self._new.call_module(name, args)

    def _as_integers(self, node: fx.Node) -> fx.Node:
        if node not in self._integers:
            self._integers[node] = self._call(Quantize(self._scales[node]), self._floats[node])
        return self._integers[node]

    def _as_float(self, node: fx.Node) -> fx.Node:
        if node not in self._floats:
            self._floats[node] = self._call(Dequantize(self._scales[node]), self._integers[node])
        return self._floats[node]
