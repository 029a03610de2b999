"""Small changes of finished pictures, so that a model does not come to rely on exact brightness or sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot_film.errors import InvalidValueError


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed; every picture draws its own amounts between none and these."""

    gamma: float = 0.1
    """Brightness curve: the exponent lies within a factor of one plus this of one."""
    blur: float = 0.5
    """Share of each pixel taken from its neighbours, at most 1."""
    noise: float = 2.0
    """Standard deviation of the noise, in levels of 255."""

    def __post_init__(self) -> None:
        """Check the amounts."""
        if min(self.gamma, self.blur, self.noise) < 0 or self.blur > 1:
            raise InvalidValueError(f"{self}: amounts must be 0 or more, and blur 1 at most")


def augment(pictures: Tensor, effects: Augmentation, generator: torch.Generator) -> Tensor:
    """Change pictures at random.

    Args:
        pictures: uint8 ``(B, C, H, W)`` on any device.
        effects: how much.
        generator: source of all randomness, on the CPU: the same changes come out whatever the device.
    Returns:
        uint8, the shape of ``pictures``.
    """
    amounts = torch.rand(3, len(pictures), 1, 1, 1, generator=generator)
    grain = torch.randn(pictures.shape, generator=generator) * (amounts[2] * effects.noise)
    exponent = (1.0 + effects.gamma) ** (2.0 * amounts[0] - 1.0)
    blur = (amounts[1] * effects.blur).to(pictures.device)
    value = (pictures / 255.0) ** exponent.to(pictures.device)
    padded = torch.nn.functional.pad(value, (1, 1, 1, 1), mode="replicate")
    mean = torch.nn.functional.avg_pool2d(padded, 3, stride=1)
    value = (value + (mean - value) * blur) * 255.0 + grain.to(pictures.device)
    return value.round().clamp(0, 255).to(torch.uint8)
