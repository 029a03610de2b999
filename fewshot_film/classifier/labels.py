"""Labels and sample weights of any kind, read and numbered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_film.errors import InvalidValueError, shown

Labels = list[Hashable]
_SHOWN = 60
"""Most characters of a label or another value that a message shows."""


def read_labels(labels: Any) -> Labels:
    """Labels as a list of plain values, one per image.

    Args:
        labels: a sequence, NumPy array, tensor, pandas column, or data frame with one column, of text, numbers,
            categories or any hashable values.

    Raises:
        InvalidValueError: it is not one label per image, or a value that cannot name a class.
    """
    if isinstance(labels, str | bytes) or not hasattr(labels, "__iter__"):
        hint = "; this estimator requires y to be passed, but the target y is None" if labels is None else ""
        raise InvalidValueError(f"labels are {shown(labels)}; expected a sequence with one label per image{hint}")
    labels = one_column(labels, "labels")
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise InvalidValueError(f"labels have shape {labels.shape}; expected (N,), one label per image")
        labels = labels.tolist()
    read = [_plain(label) for label in labels]
    for position, label in enumerate(read):
        _check(label, position)
    return read


def one_column(values: Any, what: str) -> Any:
    """A pandas or polars column, or the only column of a data frame, as an array; anything else as it is.

    An array or a nested list with one column, as some tools pass, counts as that column.

    Args:
        values: anything.
        what: what to call them in an error.

    Raises:
        InvalidValueError: a data frame has more columns than one, or none.
    """
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):
        count = len(values.columns)
        if count != 1:
            names = ", ".join(shown(name) for name in list(values.columns)[:5])
            raise InvalidValueError(
                f"{what} are a data frame with {count} columns ({names}{', ...' if count > 5 else ''}); expected one: "
                "pass that column, such as frame['label']"
            )
        array: np.ndarray = values.to_numpy()
        return array[:, 0]
    if hasattr(values, "to_numpy"):
        return values.to_numpy()
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind in "OUST":
        return values[:, 0]
    return values


def read_weights(weights: Any, labels: Labels) -> Tensor | None:
    """Sample weights as ``(N,)`` double, or None where every image counts as one.

    Args:
        weights: numbers of at least 0, one per image, or None.
        labels: the images' labels.

    Raises:
        InvalidValueError: they are no such numbers, or all are 0.
    """
    if weights is None:
        return None
    weights = one_column(weights, "sample weights")
    if isinstance(weights, Tensor):
        weights = weights.detach().cpu().numpy()
    try:
        read = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"sample_weight is {shown(weights)}; expected one number of at least 0 per image"
        ) from None
    read = np.full(len(labels), read) if read.ndim == 0 else read
    if read.shape != (len(labels),):
        raise InvalidValueError(
            f"sample_weight has shape {read.shape}; expected ({len(labels)},), one number per image"
        )
    wrong = np.flatnonzero(~(np.isfinite(read) & (read >= 0)))
    if len(wrong):
        raise InvalidValueError(
            f"sample_weight {wrong[0]} is {read[wrong[0]]:g}; expected a finite number of at least 0 for every image"
        )
    if len(labels) and not read.any():
        raise InvalidValueError("sample_weight is zero for every image; expected a number above 0 for at least one")
    return torch.tensor(read)


def class_order(labels: Labels) -> list[Hashable]:
    """The distinct labels: sorted where they can be, or else as they first come.

    Raises:
        InvalidValueError: a truth value equals a number, such as ``True`` and ``1``: they would be one class.
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


def check_known(labels: Labels, classes: Sequence[Hashable]) -> None:
    """Refuse labels that are none of the classes that were announced.

    Raises:
        InvalidValueError: says which label, and what the classes are.
    """
    known = set(classes)
    strange = [label for label in class_order(labels) if label not in known]
    if strange:
        names = ", ".join(shown(name) for name in list(classes)[:10])
        raise InvalidValueError(
            f"label {shown(strange[0])} is none of the classes that the first partial_fit announced: {names}"
            f"{', ...' if len(classes) > 10 else ''}; give all in classes=, or leave classes out"
        )


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
    if is_missing(label):
        raise InvalidValueError(
            f"label {position} is {label}, a missing value (NaN, None and the like); an image without a class cannot "
            "be learned from: leave it out"
        )
    if isinstance(label, complex) or label in (float("inf"), float("-inf")):
        raise InvalidValueError(
            f"label {position} is {label}; expected text, a finite number, or another hashable value"
        )


def is_missing(label: Any) -> bool:
    """Whether a value stands for none: None, NaN, NaT, or pandas' ``NA``, which has no truth value."""
    if label is None:
        return True
    try:
        return bool(label != label)  # NaN differs from itself
    except (TypeError, ValueError):
        return type(label).__name__ == "NAType"
