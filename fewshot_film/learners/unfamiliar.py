"""Pictures of no kind that is trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE = 4


def unfamiliar(images: Tensor) -> Tensor:
    """Pictures that look like those of no source, for learning when not to rely on what suits the sources.

    All are changed alike, in one to three ways that are drawn from PyTorch's generator: dark becomes light, they are
    seen through a coloured glass, fine detail is lost.

    Args:
        images: ``(N, C, H, W)`` in [0, 1].

    Returns:
        The same shape and range.

    Source:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019, https://arxiv.org/abs/1812.04606,
        for learning from made-up outliers; which ones are made up here is our own choice.
    """
    ways = int(torch.randint(1, 8, ()))
    inverted, tinted, coarse = (ways >> bit & 1 for bit in range(3))
    if inverted:
        images = 1 - images
    if tinted:
        images = images * torch.rand(1, images.shape[1], 1, 1).to(images)
    if coarse:
        height, width = images.shape[2:]
        small = F.adaptive_avg_pool2d(images, (max(1, height // COARSE), max(1, width // COARSE)))
        images = F.interpolate(small, (height, width), mode="bilinear")
    return images
