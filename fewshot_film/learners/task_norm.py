"""BatchNorm that knows nothing but the task at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TaskNorm(nn.BatchNorm2d):
    """BatchNorm by the statistics of its batch, in training and in evaluation, which a copy can be made to keep.

    The running statistics of the layer that it was stay in the state dict, unused and unchanged, so that weights
    come and go as with the plain network.

    Source:
        MetaBN of Bronskill et al., "TaskNorm", ICML 2020, section 3.3, https://arxiv.org/abs/2003.03284
    """

    keeping = False
    kept: tuple[Tensor, Tensor] | None = None
    """Mean and variance, ``(1, C, 1, 1)`` each, that take the place of the batch's."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``."""
        if self.kept is not None:
            mean, variance = self.kept
            scale = (variance + self.eps).rsqrt() * self.weight.view(1, -1, 1, 1)
            return (x * scale + (self.bias.view(1, -1, 1, 1) - mean * scale)).to(x.dtype)
        if self.keeping:
            wide = x.to(self.weight.dtype)
            variance, mean = torch.var_mean(wide, (0, 2, 3), correction=0, keepdim=True)
            self.kept = mean, variance
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def use_task_norm(network: nn.Module) -> None:
    """Make a :class:`TaskNorm` of every ``BatchNorm2d`` with a weight in a network, in place.

    Layers stay the objects that they are, with their weights, names and hooks.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d and module.affine:
            module.__class__ = TaskNorm


@contextmanager
def keeping_statistics(network: nn.Module) -> Iterator[None]:
    """The statistics of the batch that goes through the network within the block serve every later one.

    The network must be a copy made for one task: it keeps them for good.
    """
    layers = [module for module in network.modules() if isinstance(module, TaskNorm)]
    for layer in layers:
        layer.keeping = True
    try:
        yield
    finally:
        for layer in layers:
            layer.keeping = False
