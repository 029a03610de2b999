"""Decoded images, ready to be drawn from: one set, or several side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_film.data.errors import SourceError
from fewshot_film.data.groups import ClassGroups
from fewshot_film.data.source import positions
from fewshot_film.errors import InvalidValueError, counted

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


class Pixels:
    """Images as one ``(rows, C, H, W)`` uint8 array, in memory or memory-mapped from a file.

    A memory-mapped one travels to another process as its path, not as a copy.
    """

    def __init__(self, shape: tuple[int, int, int, int], data: np.ndarray | Path) -> None:
        self.shape = shape
        self._data = data
        self.array = np.memmap(data, np.uint8, mode="r", shape=shape) if isinstance(data, Path) else data

    def __reduce__(self) -> tuple[type[Pixels], tuple[Any, ...]]:
        return Pixels, (self.shape, self._data)

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """A copy of some images, ``(len(rows), C, H, W)``."""
        pictures: np.ndarray = self.array[rows]
        return pictures


class ImageSet:
    """Decoded images of one size with their classes; made by `fewshot_film.data.decode`.

    Attributes:
        name: the source's name.
        class_names: names of the classes.
        labels: ``(N,)`` int64.
        files: ``N`` ids of the images. An image in a rotated class has ``#rot090`` or so appended.
        skipped: ``(file, reason)`` of every image that could not be used.
        duplicates: ``(file, kept file)`` of every image that equals an earlier one of its class.
        conflicts: ``(file, other file)`` of every image that equals one of another class.
        ordered: neighbouring images show the same object, see `ImageSource`.
        groups: how the classes hang together, see `ImageSource`.
        pixels: where the images are taken from; may hold more than the set has.
        rows: ``(N,)`` int64: which row of ``pixels`` each image is.
        turns: ``(N,)`` int8: by how many right angles each is turned, anticlockwise.
    """

    def __init__(
        self,
        name: str,
        pixels: Pixels,
        class_names: Sequence[str],
        labels: np.ndarray,
        rows: np.ndarray,
        files: Sequence[str],
        digests: np.ndarray,
        *,
        turns: np.ndarray | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        duplicates: Sequence[tuple[str, str]] = (),
        conflicts: Sequence[tuple[str, str]] = (),
        ordered: bool = False,
        groups: ClassGroups | None = None,
    ) -> None:
        self.name = name
        self.class_names = tuple(class_names)
        self.labels = labels
        self.files = files
        self.digests = digests
        self.skipped = tuple(skipped)
        self.duplicates = tuple(duplicates)
        self.conflicts = tuple(conflicts)
        self.ordered = ordered
        self.groups = groups
        self.pixels = pixels
        self.rows = rows
        self.turns = np.zeros(len(rows), np.int8) if turns is None else turns
        self._by_class = np.argsort(labels, kind="stable")
        self._bounds = np.searchsorted(labels[self._by_class], np.arange(len(self.class_names) + 1))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return (
            f"ImageSet('{self.name}', {counted(len(self.class_names), 'class')}, {counted(len(self), 'image')} of "
            f"{self.num_channels}x{self.image_size}x{self.image_size})"
        )

    @property
    def num_channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return self.pixels.shape[1]

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.pixels.shape[2]

    @property
    def class_sizes(self) -> np.ndarray:
        """``(classes,)`` int64: how many images every class has."""
        return np.diff(self._bounds)

    def indices_of(self, class_index: int) -> np.ndarray:
        """Indices of all images of a class, ascending, int64."""
        return self._by_class[self._bounds[class_index] : self._bounds[class_index + 1]]

    def locate(self, classes: np.ndarray, ordinals: np.ndarray) -> np.ndarray:
        """Indices of the ``ordinals`` (R, n), counted within each of the ``classes`` (R,)."""
        indices: np.ndarray = self._by_class[self._bounds[classes][:, None] + ordinals]
        return indices

    def get(self, indices: np.ndarray) -> Tensor:
        """Images as ``(len(indices), C, H, W)`` uint8; a copy."""
        import torch  # only here: whether the data are there is known before torch has started

        pictures = self.pixels.take(self.rows[indices])
        turns = self.turns[indices]
        for turn in (1, 2, 3):
            chosen = turns == turn
            if chosen.any():
                pictures[chosen] = np.rot90(pictures[chosen], turn, axes=(2, 3))
        return torch.from_numpy(np.ascontiguousarray(pictures))

    def select(self, class_names: Sequence[str]) -> ImageSet:
        """Some of the classes, labels renumbered in the order given; pixels are shared.

        Raises:
            SourceError: a class is not there, or is named twice.
        """
        by_class = [self.indices_of(old) for old in positions(self.class_names, class_names, self.name)]
        kept = np.concatenate([np.zeros(0, np.int64), *by_class])
        labels = np.repeat(np.arange(len(by_class)), [len(indices) for indices in by_class])
        groups = self.groups.only(class_names) if self.groups else None
        return self._view(class_names, labels, kept, [self.files[i] for i in kept], self.turns[kept], groups)

    def with_at_least(self, count: int) -> ImageSet:
        """The classes that have ``count`` images or more; says in the log how many are left out."""
        enough = [name for name, size in zip(self.class_names, self.class_sizes, strict=True) if size >= count]
        if len(enough) == len(self.class_names):
            return self
        log.warning(
            "%s: left out %d of %d classes with fewer than %d images",
            self.name,
            len(self.class_names) - len(enough),
            len(self.class_names),
            count,
        )
        return self.select(enough)

    def at_most(self, count: int) -> ImageSet:
        """All classes, each with its first ``count`` images at most; pixels are shared."""
        return self.only(np.concatenate([self.indices_of(label)[:count] for label in range(len(self.class_names))]))

    def only(self, kept: np.ndarray) -> ImageSet:
        """Some of the images ``(n,)``, in the order given; the classes stay, pixels are shared."""
        files = [self.files[i] for i in kept]
        return self._view(self.class_names, self.labels[kept], kept, files, self.turns[kept], self.groups)

    def with_rotations(self) -> ImageSet:
        """Four classes for one: every image also turned by 90, 180 and 270 degrees anticlockwise.

        Classes are named ``name/rot000``, ``name/rot090``, ``name/rot180``, ``name/rot270``; pixels are
        shared. This is how Omniglot's classes are multiplied since Santoro et al. (2016).
        """
        names = [turned for name in self.class_names for turned in _turned(name)]
        everyone = np.arange(len(self))
        kept = np.tile(everyone, 4)
        turns = np.repeat(np.arange(4, dtype=np.int8), len(self))
        files = [f"{file}#rot{90 * turn:03d}" if turn else file for turn in range(4) for file in self.files]
        groups = self.groups.renamed(_turned) if self.groups else None
        return self._view(names, self.labels[kept] * 4 + turns, kept, files, (self.turns[kept] + turns) % 4, groups)

    def _view(
        self,
        class_names: Sequence[str],
        labels: np.ndarray,
        kept: np.ndarray,
        files: list[str],
        turns: np.ndarray,
        groups: ClassGroups | None,
    ) -> ImageSet:
        return ImageSet(
            self.name,
            self.pixels,
            class_names,
            labels.astype(np.int64),
            self.rows[kept],
            files,
            self.digests[kept],
            turns=turns.astype(np.int8),
            skipped=self.skipped,
            duplicates=self.duplicates,
            conflicts=self.conflicts,
            ordered=self.ordered,
            groups=groups,
        )


def _turned(class_name: str) -> list[str]:
    return [f"{class_name}/rot{90 * turn:03d}" for turn in range(4)]


class JoinedPixels(Pixels):
    """Images of several arrays, one after the other, copied only when they are taken."""

    def __init__(self, parts: Sequence[Pixels]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])

    def __reduce__(self) -> tuple[type[JoinedPixels], tuple[tuple[Pixels, ...]]]:
        return JoinedPixels, (self.parts,)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See `Pixels.take`."""
        pictures = np.empty((len(rows), *self.shape[1:]), np.uint8)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(owner).tolist():
            chosen = owner == number
            pictures[chosen] = self.parts[number].take(rows[chosen] - self.starts[number])
        return pictures


class JoinedSet(ImageSet):
    """Several sets over all their classes, named ``set:class``.

    Attributes:
        parts: the sets.
        weights: how often each is drawn where one is drawn at a time, relative to the others.

    Raises:
        SourceError: the sets differ in size or channels of their images, or two have the same name.
        ValueError: there is no set, or not one positive weight for each.
    """

    def __init__(self, parts: Sequence[ImageSet], weights: Sequence[float] | None = None) -> None:
        self.parts = tuple(parts)
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(parts)
        _check(self.parts, self.weights)
        starts = np.cumsum([0, *(len(part.class_names) for part in parts)])
        firsts = np.cumsum([0, *(len(part.pixels) for part in parts)])
        numbered = list(zip(parts, starts, firsts, strict=False))
        super().__init__(
            "+".join(part.name for part in parts),
            JoinedPixels([part.pixels for part in parts]),
            self._named(lambda part: part.class_names),
            np.concatenate([part.labels + start for part, start, _ in numbered]),
            np.concatenate([part.rows + first for part, _, first in numbered]),
            self._named(lambda part: part.files),
            np.concatenate([part.digests for part in parts]),
            turns=np.concatenate([part.turns for part in parts]),
            skipped=[(f"{part.name}:{file}", reason) for part in parts for file, reason in part.skipped],
            duplicates=self._pairs(lambda part: part.duplicates),
            conflicts=self._pairs(lambda part: part.conflicts),
            ordered=any(part.ordered for part in parts),
        )

    def _named(self, of: Callable[[ImageSet], Sequence[str]]) -> list[str]:
        return [f"{part.name}:{text}" for part in self.parts for text in of(part)]

    def _pairs(self, of: Callable[[ImageSet], Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
        return [(f"{part.name}:{file}", f"{part.name}:{other}") for part in self.parts for file, other in of(part)]


def _check(parts: Sequence[ImageSet], weights: Sequence[float]) -> None:
    if not parts or len(weights) != len(parts) or not all(0 < weight < float("inf") for weight in weights):
        raise InvalidValueError(f"{len(parts)} sets with weights {list(weights)}; expected a positive weight for each")
    names = [part.name for part in parts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"two of the sets to join are called '{twice[0]}'; give one of them another name")
    shapes = {part.name: part.pixels.shape[1:] for part in parts}
    if len(set(shapes.values())) > 1:
        raise SourceError(f"the sets to join have images of different shapes: {shapes}; decode all to one")
