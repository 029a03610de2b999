"""The visual trunk: a picture, or the feature maps of one, to the maps that the questions modulate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clevr.config import ReasonerConfig
from fewshot_film.film import append_coordinates
from fewshot_film.images import IMAGENET_MEAN, IMAGENET_STD


class PixelInput(nn.Module):
    """Pictures of whole numbers from 0 to 255, brought to about zero mean and unit spread by ImageNet's constants."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(-1, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures ``(P, 3, H, W)``, uint8 or floating point, normalised per colour."""
        return (pictures.to(self.mean.dtype) - self.mean) / self.std


class FeatureInput(nn.Module):
    """Feature maps, kept in 16 bits, in the precision of the weights that follow."""

    one: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``(P, C, H, W)`` of any floating point type."""
        return features.to(self.one.dtype)


class Coordinates(nn.Module):
    """Appends the two coordinate maps."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(P, C, H, W)`` to ``(P, C + 2, H, W)``."""
        return append_coordinates(x)


class PictureBlock(nn.Module):
    """Two 3x3 convolutions with normalisation, added to their input."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(maps, maps, 3, padding=1, bias=False),
            nn.BatchNorm2d(maps),
            nn.ReLU(inplace=True),
            nn.Conv2d(maps, maps, 3, padding=1, bias=False),
            nn.BatchNorm2d(maps),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(P, C, H, W)`` to maps of the same shape."""
        return torch.relu(x + self.body(x))


def build_trunk(config: ReasonerConfig) -> nn.Sequential:
    """The trunk: convolutions with normalisation and ReLU, then blocks that see the picture alone.

    A convolution of stride 1 sees coordinate maps, one that halves the picture does not.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 2.2; the authors' settings for the kernels.
    """
    modules: list[nn.Module] = [PixelInput() if config.inputs == "pixels" else FeatureInput()]
    maps = config.input_maps
    for out in (*config.trunk_maps, config.maps):
        if config.trunk_stride == 1 and config.coordinates:
            modules.append(Coordinates())
            maps += 2
        padding = (config.trunk_kernel - 1) // 2
        modules.append(nn.Conv2d(maps, out, config.trunk_kernel, config.trunk_stride, padding))
        modules += [nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        maps = out
    return nn.Sequential(*modules, *(PictureBlock(maps) for _ in range(config.trunk_blocks)))
