"""Several decoded sets as one, their pixels left where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fewshot_film.data.errors import SourceError
from fewshot_film.data.image_set import ImageSet, Pixels
from fewshot_film.errors import InvalidValueError


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
