"""An exported program as an ONNX graph, operator by operator.

``torch.onnx`` decomposes, registers and optimises for every operator that there is, which takes most of its time. The
networks here need about fifty, each of which is one or two nodes; what needs another is left to ``torch.onnx``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx

Operator: TypeAlias = Callable[..., str]
"""Adds the nodes of one call to the graph, and returns the name of its result."""

IR_VERSION = 10
"""Of the file's format: old enough for the runtimes in use."""
_VIEWS = ("select", "slice", "unflatten", "flatten", "unsqueeze", "expand_as", "mT", "numpy_T", "transpose", "view")
"""What an operator in place must not follow: it would change another tensor as well."""


_TYPED: set[Operator] = set()
"""Operators that need the types of their operands, not their names alone."""


class UnsupportedOperatorError(Exception):
    """The program calls an operator that is not written here."""


class OnnxGraph:
    """The nodes and constants of a graph under construction.

    Args:
        program: exported in evaluation mode, without decompositions; only the first axis of its inputs is dynamic.
        inputs: names for its inputs, in order.
        onnx: the package.

    Raises:
        UnsupportedOperatorError: an operator or a form of it is not known here.
    """

    def __init__(self, program: torch.export.ExportedProgram, inputs: Sequence[str], onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: dict[str, fx.Node] = {}
        self.outputs: list[str] = []
        self._values: dict[fx.Node, str] = {}
        self._node = next(iter(program.graph.nodes))
        signature, names = program.graph_signature, iter(inputs)
        held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        held |= signature.inputs_to_lifted_tensor_constants
        for node in program.graph.nodes:
            self._node = node
            if node.op == "placeholder" and node.name in held:
                self._values[node] = name = held[node.name]
                tensor = program.state_dict[name] if name in program.state_dict else program.constants[name]
                self.constants[name] = self._tensor(tensor.detach().cpu().numpy(), name)
            elif node.op == "placeholder":
                self._values[node] = name = next(names)
                self.inputs[name] = node
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self.outputs = [self._values[one] for one in node.args[0]]

    def model(self, outputs: Sequence[str], opset: int) -> Any:
        """The finished ``onnx.ModelProto``; the first axis of its inputs and outputs is ``batch``.

        Args:
            outputs: names for the program's outputs, float32 ``(batch, K)`` each.
            opset: version of the operators.
        """
        helper = self.onnx.helper
        named = [
            helper.make_node("Identity", [value], [name]) for value, name in zip(self.outputs, outputs, strict=True)
        ]
        graph = helper.make_graph(
            self.nodes + named,
            "classifier",
            [self._info(name, node.meta["val"]) for name, node in self.inputs.items()],
            [helper.make_tensor_value_info(name, self._type(torch.float32), ["batch", None]) for name in outputs],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fewshot-film")

    # for the operators

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One more node; returns the name of its result."""
        name = f"{self._node.name}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def integers(self, *values: int) -> str:
        """A constant vector of integers."""
        return self._constant(np.array(values, dtype=np.int64))

    def number(self, value: float, dtype: torch.dtype) -> str:
        """A constant scalar."""
        return self._constant(torch.tensor(value, dtype=dtype).numpy())

    def operand(self, value: Any, dtype: torch.dtype) -> str:
        """A tensor or number in the type of an operator's result."""
        if not isinstance(value, fx.Node):
            return self.number(value, dtype)
        name = self._values[value]
        return name if value.meta["val"].dtype == dtype else self.cast(name, dtype)

    def cast(self, name: str, dtype: torch.dtype) -> str:
        """A tensor in another type."""
        return self.add("Cast", name, to=self._type(dtype))

    @property
    def result(self) -> Tensor:
        """What stands for the present call's result: its shape and type."""
        value: Tensor = self._node.meta["val"]
        return value

    def shape(self, value: Any) -> tuple[int, ...]:
        """A tensor's shape, -1 where an axis is dynamic.

        Raises:
            UnsupportedOperatorError: more than one axis is.
        """
        found = tuple(size if isinstance(size, int) else -1 for size in value.shape)
        if found.count(-1) > 1:
            raise UnsupportedOperatorError(f"{self._node.target} with two dynamic axes")
        return found

    # inner matters

    def _call(self, node: fx.Node) -> None:
        packet = getattr(node.target, "overloadpacket", None)
        name = "" if packet is None else packet.__name__
        in_place = name.endswith("_") and not name.endswith("__")
        operator = OPERATORS.get(name.removesuffix("_"))
        if operator is None:
            raise UnsupportedOperatorError(f"{node.target} is not written here")
        args = [self._values[arg] if isinstance(arg, fx.Node) and operator not in _TYPED else arg for arg in node.args]
        try:
            self._values[node] = operator(self, *args, **node.kwargs)
        except (TypeError, KeyError, IndexError) as error:  # other arguments than the operator is written for
            raise UnsupportedOperatorError(f"{node.target}: {error}") from error
        if in_place:
            changed = node.args[0]
            assert isinstance(changed, fx.Node)
            if any(view in str(changed.target) for view in _VIEWS):
                raise UnsupportedOperatorError(f"{node.target} changes a view")
            self._values[changed] = self._values[node]

    def _constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = self._tensor(values, name)
        return name

    def _tensor(self, values: np.ndarray, name: str) -> Any:
        return self.onnx.numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)

    def _type(self, dtype: torch.dtype) -> int:
        found: int = self.onnx.helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=dtype).numpy().dtype)
        return found

    def _info(self, name: str, value: Tensor) -> Any:
        shape = [size if isinstance(size, int) else "batch" for size in value.shape]
        return self.onnx.helper.make_tensor_value_info(name, self._type(value.dtype), shape)


def _plain(kind: str) -> Operator:
    """An operator that is the same in both, with one tensor."""
    return lambda graph, x: graph.add(kind, x)


def _pair(kind: str, swapped: bool = False) -> Operator:
    """An operator of two tensors, or a tensor and a number, that broadcast."""

    def write(graph: OnnxGraph, one: Any, other: Any, *, alpha: int = 1) -> str:
        if alpha != 1:
            raise UnsupportedOperatorError(f"{kind} with alpha {alpha}")
        names = [graph.operand(value, graph.result.dtype) for value in (one, other)]
        return graph.add(kind, *(reversed(names) if swapped else names))

    _TYPED.add(write)
    return write


def _reduced(kind: str) -> Operator:
    """An operator that reduces some axes."""

    def write(graph: OnnxGraph, x: str, axes: Sequence[int], keepdim: bool = False) -> str:
        return graph.add(kind, x, graph.integers(*axes), keepdims=int(keepdim))

    return write


def _conv(
    graph: OnnxGraph,
    x: str,
    weight: str,
    bias: str | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] | str = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> str:
    if isinstance(padding, str):
        raise UnsupportedOperatorError(f"a convolution with padding {padding}")
    return graph.add(
        "Conv",
        *[x, weight, *([] if bias is None else [bias])],
        strides=list(stride),
        pads=[*padding, *padding],
        dilations=list(dilation),
        group=groups,
    )


def _linear(graph: OnnxGraph, x: str, weight: str, bias: str | None = None) -> str:
    product = graph.add("MatMul", x, graph.add("Transpose", weight, perm=[1, 0]))
    return product if bias is None else graph.add("Add", product, bias)


def _batch_norm(
    graph: OnnxGraph,
    x: str,
    weight: str,
    bias: str,
    mean: str,
    variance: str,
    training: bool,
    _: float,
    eps: float,
    *__: Any,
) -> str:
    if training or weight is None or bias is None:
        raise UnsupportedOperatorError("batch norm that trains, or has no weights")
    return graph.add("BatchNormalization", x, weight, bias, mean, variance, epsilon=eps)


def _clipped(graph: OnnxGraph, x: str, min: float | None = None, max: float | None = None) -> str:  # noqa: A002 - torch's
    bounds = ["" if bound is None else graph.number(bound, graph.result.dtype) for bound in (min, max)]
    return graph.add("Clip", x, *bounds)


def _max_pool(
    graph: OnnxGraph,
    x: str,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> str:
    pads = [padding[0], padding[-1]] * 2
    dilations = [dilation[0], dilation[-1]]
    shape = [size[0], size[-1]]
    strides = [stride[0], stride[-1]] if stride else shape
    return graph.add(
        "MaxPool", x, kernel_shape=shape, strides=strides, pads=pads, dilations=dilations, ceil_mode=int(ceil_mode)
    )


def _global_pool(graph: OnnxGraph, x: str, size: Sequence[int]) -> str:
    if list(size) != [1, 1]:
        raise UnsupportedOperatorError(f"adaptive pooling to {size}")
    return graph.add("GlobalAveragePool", x)


def _padded(graph: OnnxGraph, x: str, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> str:
    if mode != "constant":
        raise UnsupportedOperatorError(f"padding by {mode}")
    unpadded = [0] * (graph.result.ndim - len(pad) // 2)
    before, after = ([*unpadded, *reversed(pad[side::2])] for side in (0, 1))
    return graph.add("Pad", x, graph.integers(*before, *after), graph.number(value or 0, graph.result.dtype))


def _reshaped(graph: OnnxGraph, x: str, *_: Any) -> str:
    return graph.add("Reshape", x, graph.integers(*graph.shape(graph.result)))


def _turned(graph: OnnxGraph, x: str, *axes: int) -> str:
    order = list(range(graph.result.ndim))
    one, other = axes or (-2, -1)
    order[one], order[other] = order[other], order[one]
    return graph.add("Transpose", x, perm=order)


def _norm(graph: OnnxGraph, x: str, order: float = 2, axes: Sequence[int] | None = None, keepdim: bool = False) -> str:
    if order != 2 or axes is None:
        raise UnsupportedOperatorError(f"norm of order {order} over axes {axes}")
    return graph.add("ReduceL2", x, graph.integers(*axes), keepdims=int(keepdim))


def _index(graph: OnnxGraph, x: str, indices: Sequence[Any]) -> str:
    places = [place for place, index in enumerate(indices) if index is not None]
    index = indices[places[0]].meta["val"]
    if len(places) > 1 or index.ndim != 1 or index.dtype != torch.int64:
        raise UnsupportedOperatorError("indexing by other than one vector of integers")
    return graph.add("Gather", x, graph.operand(indices[places[0]], torch.int64), axis=places[0])


def _sliced(graph: OnnxGraph, x: str, axis: int = 0, start: Any = None, end: Any = None, step: int = 1) -> str:
    bounds = (start or 0, math.inf if end is None else end)
    if not all(isinstance(bound, int) or bound == math.inf for bound in bounds):
        raise UnsupportedOperatorError("a slice with a dynamic end")
    ends = [graph.integers(int(min(bound, 2**62))) for bound in bounds]
    return graph.add("Slice", x, *ends, graph.integers(axis), graph.integers(step))


def _joined(graph: OnnxGraph, parts: Sequence[fx.Node], axis: int = 0) -> str:
    return graph.add("Concat", *(graph.operand(part, graph.result.dtype) for part in parts), axis=axis)


OPERATORS: dict[str, Operator] = {
    **{name: _pair(kind) for name, kind in {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}.items()},
    **{name: _plain(kind) for name, kind in {"relu": "Relu", "sigmoid": "Sigmoid", "hardswish": "HardSwish"}.items()},
    **{name: _plain(kind) for name, kind in {"abs": "Abs", "sign": "Sign", "neg": "Neg", "sqrt": "Sqrt"}.items()},
    **{name: _reduced(kind) for name, kind in {"mean": "ReduceMean", "sum": "ReduceSum"}.items()},
    **dict.fromkeys(("flatten", "unflatten", "view", "reshape"), _reshaped),
    **dict.fromkeys(("mT", "numpy_T", "t", "transpose"), _turned),
    **dict.fromkeys(("contiguous", "dropout", "alias"), lambda graph, x, *_, **__: graph.add("Identity", x)),
    "_assert_tensor_metadata": lambda *_, **__: "",
    "rsub": _pair("Sub", swapped=True),
    "pow": _pair("Pow"),
    "matmul": lambda graph, x, y: graph.add("MatMul", x, y),
    "square": lambda graph, x: graph.add("Mul", x, x),
    "silu": lambda graph, x: graph.add("Mul", x, graph.add("Sigmoid", x)),
    "hardsigmoid": lambda graph, x: graph.add("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "clamp": _clipped,
    "clamp_min": _clipped,
    "hardtanh": lambda graph, x, low=-1.0, high=1.0: _clipped(graph, x, low, high),
    "relu6": lambda graph, x: _clipped(graph, x, 0.0, 6.0),
    "leaky_relu": lambda graph, x, slope=0.01: graph.add("LeakyRelu", x, alpha=slope),
    "softmax": lambda graph, x, axis, dtype=None: graph.add("Softmax", x, axis=axis),
    "conv2d": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool2d": _max_pool,
    "adaptive_avg_pool2d": _global_pool,
    "pad": _padded,
    "linalg_vector_norm": _norm,
    "index": _index,
    "slice": _sliced,
    "cat": _joined,
    "select": lambda graph, x, axis, place: graph.add("Gather", x, graph.number(place, torch.int64), axis=axis),
    "unsqueeze": lambda graph, x, axis: graph.add("Unsqueeze", x, graph.integers(axis)),
    "expand_as": lambda graph, x, other: graph.add("Expand", x, graph.add("Shape", other)),
    "to": lambda graph, x, dtype, *_: graph.cast(x, dtype),
}
"""By the name of the operator in ``torch.ops.aten``, those in place without their underscore."""
