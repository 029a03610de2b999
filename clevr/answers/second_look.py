"""A second look at an image, where the first gives no sure answer: the same image, shifted by half a position.

What a trunk with few positions sees of an object depends on where its borders between positions run, most of all where
the object is small or partly hidden. Shifted by half a position along one axis or both, the image has its objects
elsewhere between the borders; each of the four views errs in its own way. Probabilities of one answer are averaged as
their logarithms, which keeps them honest (see ``docs/clevr-reasoning.md``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clevr.config.model import ReasonerConfig


def shifts(config: ReasonerConfig) -> list[tuple[int, int]]:
    """By how many pixels further views are shifted, down and to the right.

    Args:
        config: of the model that sees them.

    Returns:
        Half a position to the right, down, and both; nothing for a model that reads features, or whose positions are
        single pixels.
    """
    if config.inputs == "features":
        return []
    rows, columns = config.grid
    down, right = config.height // rows // 2, config.width // columns // 2
    return [shift for shift in ((0, right), (down, 0), (down, right)) if any(shift)]


def further_views(images: Tensor, config: ReasonerConfig) -> list[Tensor]:
    """Images, each time shifted; their border pixels go on.

    Args:
        images: ``(P, C, H, W)`` of any type.
        config: of the model that sees them.

    Returns:
        One of that shape for each of :func:`shifts`.
    """
    return [_shifted(images, *shift) for shift in shifts(config)]


def _shifted(images: Tensor, down: int, right: int) -> Tensor:
    height, width = images.shape[2:]
    rows, columns = (
        (torch.arange(side, device=images.device) - by).clamp_min(0) for side, by in ((height, down), (width, right))
    )
    return images.index_select(2, rows).index_select(3, columns)


def over_views(logarithms: Sequence[Tensor]) -> Tensor:
    """Probabilities of answers from those of several views: their geometric mean, scaled to a sum of 1.

    Args:
        logarithms: of the probabilities in each view, ``(..., answers)``; -inf where one is 0.
    """
    return torch.stack(list(logarithms)).mean(0).softmax(-1)
