"""Features that no classifier can be made from, found before they turn into answers."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.learners.errors import SupportError

_LISTED = 10


class NonFiniteFeaturesError(SupportError):
    """A network made NaN or infinity of an image: every answer that rests on it would be void."""


def check_finite(features: Tensor, kind: str, images: Tensor | None = None, first: int = 0) -> None:
    """Refuse features with NaN or infinity; one pass over them.

    Args:
        features: ``(N, *)``.
        kind: what their images are called in an error, such as ``support image``.
        images: the images themselves, ``(N, ...)``, where they could be to blame; looked at only then.
        first: number of the first image.

    Raises:
        NonFiniteFeaturesError: says which images, and whether they themselves or the network's weights are to blame.
    """
    if features.numel() == 0 or bool(torch.isfinite(features.detach().sum())):  # a sum shows any of them
        return
    wrong = (~torch.isfinite(features.detach().flatten(1))).any(1)
    if not bool(wrong.any()):  # finite numbers whose sum is too large
        return
    cause = (
        "their pixels are finite, so the network's weights are to blame (perhaps a training that diverged, or half "
        "precision that overflows): use other weights"
    )
    if images is not None:
        damaged = (~torch.isfinite(images.detach().flatten(1))).any(1)
        if bool(damaged.any()):
            wrong, cause = damaged, "the pixels themselves are not finite: leave those images out or mend them"
    numbers = wrong.nonzero()[:, 0].tolist()
    named = ", ".join(str(first + number) for number in numbers[:_LISTED])
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    plural = "s" if len(numbers) > 1 else ""
    raise NonFiniteFeaturesError(
        f"{kind}{plural} {named}{more} (of {len(features)}): NaN or infinity instead of finite features; {cause}"
    )
