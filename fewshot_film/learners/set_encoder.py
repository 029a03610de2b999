"""The set encoder: a support set to one task code (Requeima et al. 2019, section 3)."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.errors import InvalidValueError
from fewshot_film.learners.bounded_memory import in_chunks, recomputed


class SetEncoder(nn.Module):
    """Convolution blocks on every image, then the mean over positions and over the set.

    A block is a 3 x 3 convolution, BatchNorm, ReLU and 2 x 2 max-pooling. BatchNorm uses the statistics of the set
    at hand, in training and in evaluation: the set is all that a task code may depend on.

    Args:
        channels: colour channels of the images.
        dim: width of every block and of the code.
        num_layers: number of blocks.
    """

    def __init__(self, channels: int = 3, dim: int = 64, num_layers: int = 5) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.blocks = nn.Sequential(*(_block(channels if i == 0 else dim, dim) for i in range(num_layers)))

    def forward(self, images: Tensor, chunk: int | None = None) -> Tensor:
        """Task code ``(1, dim)`` of a set of normalised images, the mean of its :meth:`vectors`."""
        return self.vectors(images, chunk).mean(0, keepdim=True)

    def vectors(self, images: Tensor, chunk: int | None = None) -> Tensor:
        """A vector for every image of a set of normalised images ``(N, C, H, W)``: ``(N, dim)``.

        Args:
            images: the set.
            chunk: images whose activations are held at once, with the same result and gradients, for about twice
                the time; None: all of them.

        Raises:
            ValueError: the images are too small for the number of blocks.
        """
        smallest = 2**self.num_layers
        if min(images.shape[2:]) < smallest:
            raise InvalidValueError(
                f"images of {images.shape[2]} x {images.shape[3]} pixels are too small for {self.num_layers} "
                f"halvings (at least {smallest} x {smallest}); set set_encoder_layers to fewer"
            )
        maps = images
        for block in self.blocks:
            maps = block(maps) if chunk is None else cast(_Block, block).in_chunks(maps, chunk)
        return maps.mean((2, 3))


class _Block(nn.Sequential):
    """Convolution, BatchNorm by the statistics of the set, ReLU, and max-pooling."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def in_chunks(self, maps: Tensor, chunk: int) -> Tensor:
        """What ``forward`` returns: once through the chunks for the statistics, and once more with them."""
        pieces = maps.split(chunk)
        parts = [recomputed(self._statistics, piece) for piece in pieces]
        means, squares = (torch.stack(each) for each in zip(*parts, strict=True))
        shares = torch.tensor([len(piece) for piece in pieces]).to(means)[:, None] / len(maps)
        mean = (shares * means).sum(0)
        # spread within the chunks, and of the chunks' means about the mean of all
        variance = (shares * (squares + (means - mean).square())).sum(0)
        scale = (variance + self.norm.eps).rsqrt() * self.norm.weight
        shift = self.norm.bias - mean * scale

        def normalised(piece: Tensor) -> Tensor:
            found = self.conv(piece)
            return F.max_pool2d(F.relu(found * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)), 2)

        return in_chunks(normalised, maps, chunk)

    def _statistics(self, piece: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of every map of the convolution over one chunk, ``(dim,)`` each."""
        found = self.conv(piece).to(self.norm.weight.dtype)
        variance, mean = torch.var_mean(found, (0, 2, 3), correction=0)
        return mean, variance


def _block(channels: int, dim: int) -> nn.Module:
    return _Block(
        OrderedDict(
            conv=nn.Conv2d(channels, dim, 3, padding=1),
            norm=nn.BatchNorm2d(dim, track_running_stats=False),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
        )
    )
