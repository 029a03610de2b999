"""Small changes of finished images, so that a model does not come to rely on exact brightness or sharpness."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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
    padded = F.pad(value, (1, 1, 1, 1), mode="replicate")
    mean = F.avg_pool2d(padded, 3, stride=1)
    value = (value + (mean - value) * blur) * 255.0 + grain.to(images.device)
    return value.round().clamp(0, 255).to(torch.uint8)


_MOST_COLOR = 1.5
"""Up to so many times as colourful an image becomes; at the least it becomes gray."""
_MOST_TINT = 0.25
"""What is gray is moved away from gray by up to this, where white is 1."""
_CURVE = 0.7
"""Base-2 logarithm of the exponents by which places become lighter or darker, at most."""
_PATCHES = (6, 8)
"""Rows and columns of places of an image at which colours change in ways of their own, and gradually in between. They
are as far apart as objects are wide: what is gray must not look like the ground around it every time."""


def recolor(images: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Turn the hues of some images, tint them, and make them more or less colourful, and light.

    How much differs from place to place, gradually. A shape stays a shape, but its colour says nothing about it any
    more: neither one that comes in few colours nor gray, which is turned to gray, would be safe without the tint, nor
    would it be with the same turn for all objects, whose colours could be compared. Nor is the brightness safe.

    Args:
        images: uint8 ``(B, 3, H, W)`` on any device.
        chosen: bool ``(B,)``, which of them to change.
        generator: source of all randomness, on the CPU.
    Returns:
        uint8, the shape of ``images``.
    """
    fields = torch.rand(len(images), 5, *_PATCHES, generator=generator)
    where = chosen.to(images.device)
    value = images[where] / 255.0
    grown = F.interpolate(fields[chosen].to(images.device), value.shape[2:], mode="bilinear", align_corners=True)
    angle, strength, hue, tint, curve = grown.split(1, dim=1)
    light = value.mean(1, keepdim=True)
    turned = angle.mul(2.0 * math.pi).cos() * (value - light) + angle.mul(2.0 * math.pi).sin() * _quarter_turn(value)
    red = torch.tensor([2.0, -1.0, -1.0], device=images.device).view(1, 3, 1, 1) / 6.0**0.5
    toward = hue.mul(2.0 * math.pi).cos() * red + hue.mul(2.0 * math.pi).sin() * _quarter_turn(red)
    changed = (light + _MOST_COLOR * strength * turned + _MOST_TINT * tint * toward).clamp(0.0, 1.0)
    result = images.clone()
    exponent = ((2.0 * curve - 1.0) * _CURVE).exp2()
    result[where] = (changed**exponent * 255.0).round().to(torch.uint8)
    return result


def _quarter_turn(colors: Tensor) -> Tensor:
    """Colours ``(B, 3, H, W)`` turned by a right angle about the gray axis, which loses what lies along it."""
    red, green, blue = colors.unbind(1)
    turned: Tensor = torch.stack((blue - green, red - blue, green - red), 1) / 3.0**0.5
    return turned
