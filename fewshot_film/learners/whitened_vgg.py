"""A VGG for small images whose first layer is whitened: most accuracy for the least arithmetic at 32 x 32.

The network of the speed records on CIFAR-10 (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section
3, https://arxiv.org/abs/2404.00498; the whitened layer is Page's, "How to Train Your ResNet 8", 2019) without its last
pooling. Two-by-two filters see every patch along the principal components of all patches, scaled to unit variance,
and as the negative of that, so that no activation loses a sign. Convolutions whose maps are pooled at once cost little,
and almost all arithmetic is at 15 x 15 and 7 x 7 positions with many channels, where processors are at their best.
Layers carry torchvision's names: ``layer*.*.bn[12]``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.errors import ConfigError

SIDE = 2
"""Of the first layer's filters."""
WIDER = 4
"""How many times as many channels as the first stage the others have."""
_SMALL = 5e-4


def parts(config: BackboneConfig) -> tuple[dict[str, nn.Module], dict[str, nn.Module], list[int]]:
    """The stem, the stages and the stages' channels.

    Args:
        config: ``width`` channels in the first stage, ``WIDER`` times as many in the others; ``blocks`` convolutions in
            each.

    Raises:
        ConfigError: there are more stages than the image's side can be halved.
    """
    most = (config.image_size - 1).bit_length() - 1
    if len(config.blocks) > most:
        raise ConfigError(
            f"backbone.blocks has {len(config.blocks)} stages, each of which halves the maps; an image of "
            f"{config.image_size} pixels has room for at most {most}"
        )
    widths = [config.width, *[WIDER * config.width] * (len(config.blocks) - 1)]
    first = WhitenedConv2d(config.channels)
    stages: dict[str, nn.Module] = {
        f"layer{index}": nn.Sequential(PooledBlock(channels, out, convolutions))
        for index, ((channels, out), convolutions) in enumerate(
            zip(pairwise([first.out_channels, *widths]), config.blocks, strict=True), start=1
        )
    }
    return {"conv1": first, "gelu": nn.GELU()}, stages, widths


class WhitenedConv2d(nn.Conv2d):
    """The first layer: its filters are set by images and not trained, its bias is.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * SIDE**2 * channels, SIDE)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the filters by all patches of images ``(B, C, H, W)``, normalised; some thousands of them."""
        self.weight.copy_(whitening_filters(images))
        nn.init.zeros_(cast(Tensor, self.bias))


class PooledBlock(nn.Module):
    """A convolution whose maps are pooled to half their side, then further ones of the same width.

    From three convolutions on, what the first one made is added to what the last one makes.

    Args:
        channels: of the input.
        out: channels of the output.
        convolutions: how many, each with its norm and activation.
    """

    def __init__(self, channels: int, out: int, convolutions: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.convolutions = convolutions
        for index in range(1, convolutions + 1):
            self.add_module(f"conv{index}", nn.Conv2d(channels if index == 1 else out, out, 3, padding=1, bias=False))
            self.add_module(f"bn{index}", nn.BatchNorm2d(out))
            self.add_module(f"relu{index}", nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to ``(B, out, H // 2, W // 2)``."""
        x = first = self._normed(1, self.pool(self.get_submodule("conv1")(x)))
        for index in range(2, self.convolutions + 1):
            x = self._normed(index, self.get_submodule(f"conv{index}")(x))
        return first + x if self.convolutions > 2 else x

    def _normed(self, index: int, maps: Tensor) -> Tensor:
        normed = self.get_submodule(f"bn{index}")(maps)
        activated: Tensor = self.get_submodule(f"relu{index}")(normed)
        return activated


def whitening_filters(images: Tensor) -> Tensor:
    """Filters whose responses have unit variance and no correlation over all patches, and their negatives.

    Args:
        images: ``(B, C, H, W)``, normalised.

    Returns:
        ``(8 C, C, 2, 2)``; variances below 5e-4 count as about that, so that noise is not blown up.
    """
    patches = F.unfold(images, SIDE).transpose(1, 2).reshape(-1, SIDE**2 * images.shape[1]).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (directions / (variances + _SMALL).sqrt()).T.reshape(-1, images.shape[1], SIDE, SIDE)
    return torch.cat([filters, -filters]).to(images)
