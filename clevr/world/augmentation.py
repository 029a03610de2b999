"""Small changes of finished images, so that a model does not come to rely on exact brightness or sharpness."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clevr.config.model import AugmentationConfig


def augment(images: Tensor, amounts: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change images at random.

    Args:
        images: uint8 ``(B, C, H, W)`` on any device.
        amounts: how much, at most.
        generator: source of all randomness, on the CPU: the same changes come out whatever the device.
    Returns:
        uint8, the shape of ``images``.
    """
    drawn = torch.rand(3, len(images), 1, 1, 1, generator=generator)
    grain = torch.randn(images.shape, generator=generator) * (drawn[2] * amounts.noise)
    exponent = (1.0 + amounts.brightness) ** (2.0 * drawn[0] - 1.0)
    blur = (drawn[1] * amounts.blur).to(images.device)
    value = (images / 255.0) ** exponent.to(images.device)
    padded = torch.nn.functional.pad(value, (1, 1, 1, 1), mode="replicate")
    mean = torch.nn.functional.avg_pool2d(padded, 3, stride=1)
    value = (value + (mean - value) * blur) * 255.0 + grain.to(images.device)
    return value.round().clamp(0, 255).to(torch.uint8)


_MOST_COLOR = 1.5
"""Up to so many times as colourful an image becomes; at the least it becomes gray."""
_CURVE = 0.7
"""Base-2 logarithm of the exponents by which images become lighter or darker, at most."""


def recolor(images: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Turn all hues of some images by one random angle each, and make them more or less colourful, and light.

    What is gray stays gray, and a shape stays a shape: one that comes in few colours is seen in all.

    Args:
        images: uint8 ``(B, 3, H, W)`` on any device.
        chosen: bool ``(B,)``, which of them to change.
        generator: source of all randomness, on the CPU.
    Returns:
        uint8, the shape of ``images``.
    """
    drawn = torch.rand(3, len(images), 1, 1, generator=generator)
    angle, strength = drawn[0] * (2.0 * math.pi), drawn[1] * _MOST_COLOR
    gray = torch.full((3, 3), 1.0 / 3.0)
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3.0**0.5
    turned = (torch.eye(3) - gray) * angle.cos() + across * angle.sin()  # about the gray axis
    change = (gray + strength * turned).to(images.device)
    curve = 2.0 ** ((2.0 * drawn[2, ..., None] - 1.0) * _CURVE)
    value = torch.einsum("bij,bjhw->bihw", change, images / 255.0).clamp(0.0, 1.0) ** curve.to(images.device)
    changed = (value * 255.0).round().to(torch.uint8)
    return torch.where(chosen.to(images.device).view(-1, 1, 1, 1), changed, images)
