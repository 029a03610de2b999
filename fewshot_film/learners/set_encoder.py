"""The set encoder: a support set to one task code (Requeima et al. 2019, section 3)."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn


class SetEncoder(nn.Module):
    """Convolution blocks on every picture, then the mean over positions and over the set.

    A block is a 3 x 3 convolution, BatchNorm, ReLU and 2 x 2 max-pooling. BatchNorm uses the statistics of the set
    at hand, in training and in evaluation: the set is all that a task code may depend on.

    Args:
        channels: colour channels of the pictures.
        dim: width of every block and of the code.
        num_layers: number of blocks.
    """

    def __init__(self, channels: int = 3, dim: int = 64, num_layers: int = 5) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.blocks = nn.Sequential(*(_block(channels if i == 0 else dim, dim) for i in range(num_layers)))

    def forward(self, images: Tensor) -> Tensor:
        """Task code ``(1, dim)`` of a set of normalised pictures ``(N, C, H, W)``.

        Raises:
            ValueError: the pictures are too small for the number of blocks.
        """
        smallest = 2**self.num_layers
        if min(images.shape[2:]) < smallest:
            raise ValueError(
                f"pictures of {images.shape[2]} x {images.shape[3]} pixels are too small for {self.num_layers} "
                f"halvings (at least {smallest} x {smallest}); set set_encoder_layers to fewer"
            )
        maps = cast(Tensor, self.blocks(images))
        return maps.mean((0, 2, 3))[None]


def _block(channels: int, dim: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, dim, 3, padding=1),
            norm=nn.BatchNorm2d(dim, track_running_stats=False),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
        )
    )
