"""The visual trunk: an image, or the feature maps of one, to the maps that the questions modulate.

A model may keep few of their positions, those that hold an object, so that a question need not visit the others. An
image of ten objects has some 170 positions. Blocks that leave each position to itself and see the rest through their
context do the same for a few positions as for all, at a tenth of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.config.model import ReasonerConfig
from fewshot_film.film import append_coordinates
from fewshot_film.images import IMAGENET_MEAN, IMAGENET_STD


class PixelInput(nn.Module):
    """Images of whole numbers from 0 to 255, brought to about zero mean and unit spread by ImageNet's constants."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", _levels(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", _levels(IMAGENET_STD), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(P, 3, H, W)``, uint8 or floating point, normalised per colour."""
        return (images.to(self.mean.dtype) - self.mean) / self.std


def _levels(constants: Sequence[float]) -> Tensor:
    """Constants of images from 0 to 1 for those from 0 to 255; they are multiplied before they become a tensor, since
    arithmetic on the device ``meta`` has torch import its compiler.
    """
    return torch.tensor([255 * value for value in np.asarray(constants, np.float32)]).view(-1, 1, 1)


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


class ImageBlock(nn.Module):
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


class ColorPath(nn.Module):
    """Maps that know which colours there are at a position and around it, and nothing of shapes.

    Every second pixel, along both axes, goes through the same small network by itself. What comes out is averaged over
    each position, and over it and its neighbours.

    Args:
        maps: how many maps come out.
        grid: their rows and columns.
    """

    def __init__(self, maps: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.pixels = nn.Sequential(
            PixelInput(),
            nn.Conv2d(3, _OF_A_PIXEL, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_OF_A_PIXEL, _OF_A_PIXEL, 1),
            nn.ReLU(inplace=True),
        )
        self.mix = nn.Sequential(
            nn.BatchNorm2d(2 * _OF_A_PIXEL),
            nn.Conv2d(2 * _OF_A_PIXEL, 2 * maps, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * maps, maps, 1),
            nn.BatchNorm2d(maps),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(P, 3, H, W)`` to maps ``(P, C, *grid)``."""
        own = F.adaptive_avg_pool2d(self.pixels(images[:, :, ::2, ::2]), self.grid)
        around = F.avg_pool2d(own, 3, stride=1, padding=1, count_include_pad=False)
        maps: Tensor = self.mix(torch.cat((own, around), 1))
        return maps


_OF_A_PIXEL = 24
"""Maps of single pixels: enough for histograms of eight colours in light and in shadow."""


class TwoPaths(nn.Module):
    """A trunk of two paths that see the same images: maps of the first, then those of a :class:`ColorPath`."""

    def __init__(self, shapes: nn.Module, colors: ColorPath) -> None:
        super().__init__()
        self.shapes, self.colors = shapes, colors

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(P, 3, H, W)`` to maps ``(P, C, H, W)``."""
        return torch.cat((self.shapes(images), self.colors(images)), 1)


def build_trunk(config: ReasonerConfig) -> nn.Module:
    """The trunk: a sequence of layers, beside which there may be a path for colours."""
    if not config.trunk_colors:
        return _layers(config, config.maps)
    return TwoPaths(_layers(config, config.maps - config.trunk_colors), ColorPath(config.trunk_colors, config.grid))


def _layers(config: ReasonerConfig, last: int) -> nn.Sequential:
    """Convolutions with normalisation and ReLU, and blocks that see the image alone.

    A convolution of stride 1 sees coordinate maps, one that halves the image does not.

    Args:
        config: the network's settings.
        last: how many maps come out.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 2.2; the authors' settings for the kernels.
    """
    modules: list[nn.Module] = [PixelInput() if config.inputs == "pixels" else FeatureInput()]
    maps, width = config.input_maps, config.trunk_width or last
    for number, out in enumerate((*config.trunk_maps, width)):
        if number == len(config.trunk_maps):
            modules += [ImageBlock(maps) for _ in range(config.trunk_fine_blocks)]
        if config.trunk_stride == 1 and config.coordinates:
            modules.append(Coordinates())
            maps += 2
        padding = (config.trunk_kernel - 1) // 2
        modules.append(nn.Conv2d(maps, out, config.trunk_kernel, config.trunk_stride, padding))
        modules += [nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        maps = out
    modules += [ImageBlock(maps) for _ in range(config.trunk_blocks)]
    if config.trunk_width is not None:
        modules += [nn.Conv2d(width, last, 1), nn.BatchNorm2d(last), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules)


class ObjectPositions(nn.Module):
    """Keeps the positions that look most like the centre of an object, and tells where on the ground the object stands.

    Relations compare places on the ground. Which of two objects is further left does not follow from their columns when
    one is far away, nor from their positions when they are neighbours: a position is as wide as a small object.

    Args:
        maps: number of maps.
        count: positions to keep; all, where there are fewer.
        merge: whether neighbours that hold the same object count as one; see :func:`merged_scores`.
    """

    def __init__(self, maps: int, count: int, *, merge: bool = False) -> None:
        super().__init__()
        self.count = count
        self.merge = merge
        self.score = nn.Conv2d(maps, 1, 1)
        self.ground = nn.Sequential(
            nn.Conv2d(maps + 2, 2 * maps, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * maps, 2 * maps, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * maps, 2, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """The kept positions of maps ``(P, C, H, W)``.

        Returns:
            ``(P, C + 5, 1, K)``: the maps there, the score (above 0: rather an object than not), the object's place on
            the ground, and the coordinates of the position, from -1 to 1.
        """
        scores, places = self.score(maps), self.places(maps)
        if self.merge:
            scores = merged_scores(scores, places)
        coordinates = append_coordinates(maps)[:, -2:]
        rows = torch.cat((maps, scores, places, coordinates), 1).flatten(2)
        kept = scores.flatten(1).topk(min(self.count, rows.shape[2])).indices
        return rows.gather(2, kept[:, None].expand(-1, rows.shape[1], -1)).unsqueeze(2)

    def places(self, maps: Tensor) -> Tensor:
        """Where the object of each position stands: to the right and to the front, in the scene's units.

        Args:
            maps: ``(P, C, H, W)``.

        Returns:
            ``(P, 2, H, W)``.
        """
        places: Tensor = self.ground(append_coordinates(maps))
        return places


MIDDLE = 4
"""Of nine neighbours, row by row."""
SAME_PLACE = 0.3
"""Distance on the ground, in the scene's units, below which two places are one. Centres of objects are 0.95 or more
apart: two radii of 0.35 and CLEVR's gap of 0.25."""


def merged_scores(scores: Tensor, places: Tensor) -> Tensor:
    """Scores of positions, where each object has one.

    A centre is in exactly one position, so where several neighbours may have it, their probabilities add up. The sum
    goes to the best of them; the others are left with nothing.

    Args:
        scores: log-odds that an object's centre is at each position, ``(P, 1, H, W)``.
        places: where its object would stand on the ground, ``(P, 2, H, W)``.

    Returns:
        Log-odds, ``(P, 1, H, W)``.
    """
    odds, ground = _neighbours(scores.float(), -torch.inf), _neighbours(places.float(), torch.inf)
    same = (ground - ground[:, :, MIDDLE, None]).square().sum(1) < SAME_PLACE**2
    rivals = odds[:, 0].masked_fill(~same, -torch.inf)
    before, own, after = rivals[:, :MIDDLE].amax(1), rivals[:, MIDDLE], rivals[:, MIDDLE + 1 :].amax(1)
    best = (own > before) & (own >= after)  # of equals the first
    share = torch.where(best, rivals.sigmoid().sum(1), 0).clamp(1e-6, 1 - 1e-6)
    return torch.logit(share)[:, None].to(scores.dtype)


def _neighbours(maps: Tensor, beyond: float) -> Tensor:
    """Each position with its eight neighbours, ``(P, C, 9, H, W)`` of ``(P, C, H, W)``; outside there is ``beyond``."""
    height, width = maps.shape[2:]
    padded = F.pad(maps, (1, 1, 1, 1), value=beyond)
    windows = [padded[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return torch.stack(windows, 2)


def cells_of(kept: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where kept positions lie.

    Args:
        kept: from :class:`ObjectPositions`, ``(P, C + 5, 1, K)``.
        grid: rows and columns of the maps that they were kept of.

    Returns:
        ``row * columns + column`` of each, ``(P, K)``.
    """
    sides = zip(kept[:, -2:, 0].float().unbind(1), reversed(grid), strict=True)
    column, row = (((place + 1) / 2 * (side - 1)).round().long() for place, side in sides)
    return row * grid[1] + column


def places_of(kept: Tensor) -> Tensor:
    """Where the objects of kept positions stand on the ground, ``(P, 2, 1, K)`` of ``(P, C + 5, 1, K)``."""
    return kept[:, -4:-2]


def spatial_relation_mask(kept: Tensor) -> Tensor:
    """Which objects lie on which side of each kept position.

    Args:
        kept: from :class:`ObjectPositions`, ``(P, C + 5, 1, K)``.

    Returns:
        ``(P, 4, K, K)``, where ``[p, s, i, j]`` is 1/4 if j is an object and lies to the left of i, behind i, to the
        right of i, or in front of i, else 0. A quarter, so that a sum over a side is about as large as one response.
    """
    places, scores = places_of(kept)[:, :, 0], kept[:, -5, 0]
    beyond = places[:, :, :, None] > places[:, :, None, :]
    sides = torch.cat((beyond, beyond.transpose(2, 3)), 1) & (scores > 0)[:, None, None, :]
    return sides.to(kept.dtype) / 4


def on_grid(maps: Tensor, cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps at some positions put back on their grid, with zeros elsewhere.

    Args:
        maps: ``(B, C, 1, K)``.
        cells: from :func:`cells_of`, ``(B, K)``.
        grid: rows and columns.

    Returns:
        ``(B, C, H, W)``.
    """
    whole = maps.new_zeros(*maps.shape[:2], grid[0] * grid[1])
    whole.scatter_(2, cells[:, None].expand(-1, maps.shape[1], -1), maps.squeeze(2))
    grid_of_maps: Tensor = whole.unflatten(2, grid)
    return grid_of_maps
