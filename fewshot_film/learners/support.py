"""What every method does with a support set: checks, class means, groups of classes with equal shots."""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.errors import UserError, counted, listed

_LISTED = 10


class SupportError(UserError, ValueError):
    """A support set that no classifier can be built from."""


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
        NonFiniteFeaturesError: says which images, and whether they themselves or the network's weights are the cause.
    """
    if features.numel() == 0 or bool(torch.isfinite(features.detach().sum())):  # a sum shows any of them
        return
    wrong = (~torch.isfinite(features.detach().flatten(1))).any(1)
    if not bool(wrong.any()):  # finite numbers whose sum is too large
        return
    cause = (
        "their pixels are finite, so the network's weights are the cause (perhaps a training that diverged, or half "
        "precision that overflows): use other weights"
    )
    if images is not None:
        damaged = (~torch.isfinite(images.detach().flatten(1))).any(1)
        if bool(damaged.any()):
            wrong, cause = damaged, "the pixels themselves are not finite: exclude or fix these images"
    numbers = wrong.nonzero()[:, 0].tolist()
    named = listed((first + number for number in numbers), _LISTED)
    plural = "s" if len(numbers) > 1 else ""
    raise NonFiniteFeaturesError(
        f"{kind}{plural} {named} (of {len(features)}): NaN or infinity instead of finite features; {cause}"
    )


def check_support(features: Tensor, labels: Tensor) -> None:
    """Refuse a support set that no classifier can be fitted to.

    Raises:
        SupportError: empty support, shapes that do not fit, features that are not finite.
    """
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise SupportError(
            f"features {tuple(features.shape)} and labels {tuple(labels.shape)} do not fit; expected (N, D) and (N,)"
        )
    if len(features) == 0:
        raise SupportError("the support set is empty; give at least one image")
    check_finite(features, "support image")


def at_least_float32(features: Tensor) -> Tensor:
    """Half precision raised to float32; the rest as it is."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


def class_means(features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of the rows of every label, ``(way, D)``, in the sorted order of the labels.

    Args:
        features: ``(N, D)``.
        labels: any integers, ``(N,)``.
        weights: what each row counts, above 0, ``(N,)``; None: 1 each.

    Raises:
        SupportError: there are no rows, or labels and rows differ in number.
    """
    if len(features) == 0 or len(features) != len(labels):
        raise SupportError(
            f"{len(features)} support images and {counted(len(labels), 'label')}; expected as many, at least 1"
        )
    classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
    if weights is not None:
        weights = weights.to(features)
        features, counts = weights[:, None] * features, weights.new_zeros(len(classes)).index_add(0, members, weights)
    sums = features.new_zeros(len(classes), features.shape[1]).index_add(0, members, features)
    means: Tensor = sums / counts[:, None]
    return means


def classes_by_shot(labels: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The classes, and for every number of images n the classes that have it.

    Returns:
        The labels in sorted order, ``(way,)``; for every n their positions in it, ``(K,)``, and the rows of each
        class, ``(K, n)``.
    """
    classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
    by_class = members.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    groups = []
    for shot in sorted(set(counts.tolist())):
        columns = (counts == shot).nonzero()[:, 0]
        places = starts[columns][:, None] + torch.arange(shot, device=labels.device)
        groups.append((columns, by_class[places]))
    return classes, groups


def members_in_order(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Classes numbered by their first image, so that what is learned does not depend on what they are called.

    Args:
        labels: any integers, ``(N,)``.

    Returns:
        The number of each image's class, ``(N,)``; and for the classes in the sorted order of their labels their
        numbers, ``(way,)``.
    """
    classes, members = labels.unique(return_inverse=True)
    first = torch.stack([(members == index).nonzero()[0, 0] for index in range(len(classes))])
    numbers = first.argsort().argsort()
    return numbers[members], numbers
