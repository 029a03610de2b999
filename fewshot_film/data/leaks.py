"""Guard against classes and images that are both in training and in test."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

from fewshot_film.data.errors import SourceError
from fewshot_film.data.image_set import ImageSet, JoinedSet
from fewshot_film.data.splits import published
from fewshot_film.errors import InvalidValueError, counted

log = logging.getLogger(__name__)

OnLeak = Literal["raise", "report"]
"""What is in both sets: an error, or listed and logged."""

Pair = tuple[str, str]
"""An image of the test set, and the equal one of the training set."""


class LeakError(SourceError):
    """A class or an image is both in training and in test."""


@dataclass(frozen=True)
class Leaks:
    """What two sets share."""

    classes: tuple[str, ...]
    """Names of classes that are in both, as ``source:class``."""
    images: tuple[Pair, ...]
    """Images of equal content that nothing allows, each of the test set once."""
    allowed: tuple[Pair, ...]
    """Images of equal content that are known and allowed."""

    @property
    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {"classes": len(self.classes), "images": len(self.images), "allowed": len(self.allowed)}

    def __bool__(self) -> bool:
        return bool(self.classes or self.images)


def check_no_leaks(train: ImageSet, test: ImageSet, *, allow: Iterable[str] = (), on_leak: OnLeak = "raise") -> Leaks:
    """Refuse, or report, what is both in training and in test.

    A class is in both if a source of the same name has a class of the same name in both. An image is in both if its
    decoded pixels are: the sets must be decoded at the same size and in the same colours. Turned images count as
    what they are turned from.

    Args:
        train: what is trained on.
        test: what is asked about; or validation.
        allow: ids of images of ``test`` that are known to be in ``train`` too. The pairs of published sets that
            are known, see `known_duplicates`, are allowed in any case: results would not compare without them.
        on_leak: whether to raise an error.

    Returns:
        What the sets share.

    Raises:
        LeakError: they share something, and ``on_leak`` is ``raise``.
        ValueError: the sets are decoded differently, or ``on_leak`` has no meaning.
    """
    if on_leak not in get_args(OnLeak):
        raise InvalidValueError(f"on_leak must be one of {', '.join(get_args(OnLeak))}, got '{on_leak}'")
    found = find_leaks(train, test, allow)
    if found.allowed:
        log.info("%s: %d images are known to be both in %s and there", test.name, len(found.allowed), train.name)
    if not found:
        return found
    message = _message(train, test, found)
    if on_leak == "raise":
        raise LeakError(message)
    log.warning("%s", message)
    return found


def find_leaks(train: ImageSet, test: ImageSet, allow: Iterable[str] = ()) -> Leaks:
    """What `check_no_leaks` looks for, without an error.

    Raises:
        ValueError: the sets are decoded differently.
    """
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        raise InvalidValueError(
            f"{train.name} has images of {train.pixels.shape[1:]}, {test.name} of {test.pixels.shape[1:]}; equal "
            "images can only be found where both are decoded to the same size and colours"
        )
    permitted, known = set(allow), known_duplicates()
    classes: list[str] = []
    pairs: list[Pair] = []
    allowed: list[Pair] = []
    for one, other in product(parts_of(train), parts_of(test)):
        if one.name == other.name:
            theirs = set(one.class_names)
            classes += [f"{other.name}:{name}" for name in other.class_names if name in theirs]
        for pair in _equal_images(one, other):
            (allowed if pair[0] in permitted or _names(pair) in known else pairs).append(pair)
    return Leaks(tuple(classes), tuple(pairs), tuple(allowed))


def known_duplicates() -> set[frozenset[str]]:
    """Equal images that published sets have in several of their classes, as pairs of file names without folders.

    CIFAR-100 has 17 such pairs; 15 of them are across the parts of CIFAR-FS, 3 across those of FC100.
    """
    return {frozenset(pair) for pairs in published("known-duplicates").values() for pair in pairs}


def parts_of(images: ImageSet) -> Sequence[ImageSet]:
    """The sets that were joined, or the set itself."""
    return images.parts if isinstance(images, JoinedSet) else (images,)


def _equal_images(train: ImageSet, test: ImageSet) -> list[Pair]:
    shared = np.isin(test.digests, train.digests)
    if not shared.any():
        return []
    first = {digest: index for index, digest in reversed(list(enumerate(train.digests.tolist())))}
    seen: dict[int, Pair] = {}  # of a turned image the first turn stands for all
    for index in np.flatnonzero(shared).tolist():
        seen.setdefault(int(test.rows[index]), (test.files[index], train.files[first[int(test.digests[index])]]))
    return list(seen.values())


def _names(pair: Pair) -> frozenset[str]:
    """File names of two images, without folders and turns."""
    return frozenset(file.partition("#")[0].rpartition("/")[2] for file in pair)


def _message(train: ImageSet, test: ImageSet, found: Leaks) -> str:
    lines = []
    if found.classes:
        lines.append(f"{counted(len(found.classes), 'class')} in both, first '{found.classes[0]}'")
    if found.images:
        file, other = found.images[0]
        lines.append(f"{counted(len(found.images), 'image')} in both, first '{file}', which equals '{other}'")
    return (
        f"{test.name} and {train.name}, which is trained on: {' and '.join(lines)}. Take them out of one of the two, "
        "or say that this is meant: list the images in allow_leaks, or set on_leak to report"
    )
