"""Random variation of a batch of images, each image its own, drawn from a generator handed in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from fewshot_film.config.data import AugmentConfig

GREY = (0.299, 0.587, 0.114)


def augment(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Vary every image of a batch.

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        config: how much.
        generator: where every random number comes from.

    Returns:
        Images of the same shape in [0, 1]. Where an image is shifted or shrunk its border pixels go on. Shifts are
        by whole pixels: without turn, scale and shear every pixel keeps its exact value, as at test time.
    """
    if config.rotate or config.scale or config.shear or config.translate or config.flip:
        matrices = _affine(len(images), images.shape[2:], config, generator)
        grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid.to(images), padding_mode="border", align_corners=False)
    if config.brightness or config.contrast or config.saturation:
        images = _jitter(images, config, generator)
    if config.erase:
        images = _erase(images, config.erase, generator)
    return images


def _uniform(shape: tuple[int, ...], amount: float, generator: Generator) -> Tensor:
    """Uniform in [-amount, amount]; drawn also for amount 0, so that settings do not shift each other's draws."""
    return (torch.rand(shape, generator=generator) * 2 - 1) * amount


def _affine(batch: int, sides: Sequence[int], config: AugmentConfig, generator: Generator) -> Tensor:
    """Matrices ``(B, 2, 3)`` from output to input coordinates."""
    angle = _uniform((batch,), math.radians(config.rotate), generator)
    scale = 1 + _uniform((batch, 2), config.scale, generator)
    shear = _uniform((batch,), config.shear, generator)
    height, width = sides
    pixels = torch.tensor([width, height])
    shift = (_uniform((batch, 2), config.translate, generator) * pixels).round() * 2 / pixels
    mirror = 1.0 - 2.0 * (torch.rand(batch, generator=generator) < (0.5 if config.flip else 0.0))
    cos, sin = angle.cos(), angle.sin()
    horizontal, vertical = scale.unbind(1)
    top = torch.stack([cos * horizontal * mirror, shear - sin * vertical, shift[:, 0]], 1)
    bottom = torch.stack([sin * horizontal * mirror, cos * vertical, shift[:, 1]], 1)
    return torch.stack([top, bottom], 1)


def _jitter(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    brightness = 1 + _uniform(shape, config.brightness, generator).to(images)
    contrast = 1 + _uniform(shape, config.contrast, generator).to(images)
    saturation = 1 + _uniform(shape, config.saturation, generator).to(images)
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    if images.shape[1] == 3:
        grey = (images * images.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        images = grey + (images - grey) * saturation
    return images.clamp(0, 1)


def _erase(images: Tensor, amount: float, generator: Generator) -> Tensor:
    batch, _, height, width = images.shape
    centre = torch.rand(batch, 2, generator=generator).to(images)
    rows = (torch.arange(height, device=images.device) + 0.5) / height
    columns = (torch.arange(width, device=images.device) + 0.5) / width
    inside_rows = (rows[None] - centre[:, :1]).abs() < amount / 2
    inside_columns = (columns[None] - centre[:, 1:]).abs() < amount / 2
    square = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    return torch.where(square, images.mean((1, 2, 3), keepdim=True), images)
