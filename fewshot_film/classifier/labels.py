"""Labels of any kind, numbered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from fewshot_film.errors import InvalidValueError

Labels = list[Hashable]


def read_labels(labels: Any) -> Labels:
    """Labels as a list of plain values, one a picture.

    Args:
        labels: a sequence, NumPy array, tensor or pandas column of text, numbers or any hashable values.

    Raises:
        ValueError: it is not one label a picture, or a value that cannot name a class.
    """
    if isinstance(labels, str | bytes) or not hasattr(labels, "__iter__"):
        raise InvalidValueError(f"labels are {labels!r}; expected a sequence with one label a picture")
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if hasattr(labels, "to_numpy"):
        labels = labels.to_numpy()
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise InvalidValueError(f"labels have shape {labels.shape}; expected (N,), one label a picture")
        labels = labels.tolist()
    read = [_plain(label) for label in labels]
    for position, label in enumerate(read):
        _check(label, position)
    return read


def class_order(labels: Labels) -> list[Hashable]:
    """The distinct labels: sorted where they can be, or else as they first come.

    Raises:
        ValueError: a truth value equals a number, such as ``True`` and ``1``: they would be one class.
    """
    first: dict[Hashable, Hashable] = {}
    for label in labels:
        same = first.setdefault(label, label)
        if isinstance(same, bool) != isinstance(label, bool):
            raise InvalidValueError(f"labels {same!r} and {label!r} are equal in Python; rename one of the two classes")
    try:
        return sorted(first)  # type: ignore[type-var]
    except TypeError:  # a mixture such as 3 and "three"
        return list(first)


def as_array(classes: Sequence[Hashable | None]) -> np.ndarray:
    """Labels as a one-dimensional array: of numbers or text where all are of one kind, of objects otherwise."""
    kinds = {type(label) for label in classes}
    if len(kinds) == 1 and kinds <= {bool, int, float, str}:
        plain = np.array(classes)
        if plain.dtype.kind != "O":  # integers beyond 64 bits stay objects
            return plain
    objects = np.empty(len(classes), dtype=object)
    for index, label in enumerate(classes):
        objects[index] = label
    return objects


def _plain(label: Any) -> Any:
    """NumPy's scalars and tensors of one number as Python's."""
    if isinstance(label, np.generic) or (isinstance(label, Tensor | np.ndarray) and label.ndim == 0):
        return label.item()
    return label


def _check(label: Any, position: int) -> None:
    try:
        hash(label)
    except TypeError:
        raise InvalidValueError(
            f"label {position} is a {type(label).__name__}, which cannot name a class; expected text, a number, or "
            "another hashable value"
        ) from None
    if label is None or label != label:  # NaN differs from itself
        raise InvalidValueError(
            f"label {position} is {label}; a picture without a class cannot be learned from: leave it out"
        )
