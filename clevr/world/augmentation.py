"""Small changes of finished images, so that a model does not come to rely on exact brightness or sharpness."""

from __future__ import annotations

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
