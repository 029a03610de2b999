"""Episodes of N ways, K shots and Q queries a class, by choice with the queries unbalanced over the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewshot_film.data.errors import SourceError
from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes.episode import Episode, Plan, build_episode
from fewshot_film.episodes.rng import Draws
from fewshot_film.errors import InvalidValueError, counted


class EpisodeSampler:
    """Endless episodes; number i is a function of (images, seed, split, i) alone.

    Args:
        images: the decoded images of one split.
        way: classes per episode, or several numbers to sample from with equal probability.
        shot: support images per class, or several numbers to sample from.
        query: query images per class.
        dirichlet: 0, or the concentration of the symmetric Dirichlet distribution from which the classes' shares of the
            queries are drawn; there are ``way * query`` of them all the same, and a class may have none. Veilleux et
            al., "Realistic Evaluation of Transductive Few-Shot Learning", NeurIPS 2021, take 2 (table 1).
        seed: with ``split``, decides every episode.
        split: a name that separates the episodes of training, validation and test.

    Raises:
        ValueError: a number is below 1 (``dirichlet``: 0), or there are fewer classes than ``way``.
        SourceError: a class has fewer images than ``shot + query``, or than ``shot + way * query`` where all queries
            can be of one class; names it, and says how many it has.
    """

    def __init__(
        self,
        images: ImageSet,
        way: int | Sequence[int] = 5,
        shot: int | Sequence[int] = 1,
        query: int = 15,
        *,
        dirichlet: int = 0,
        seed: int = 0,
        split: str = "train",
    ) -> None:
        self.images = images
        self.ways = _numbers("way", way)
        self.shots = _numbers("shot", shot)
        self.query = _numbers("query", query)[0]
        self.dirichlet = dirichlet
        if dirichlet < 0:
            raise InvalidValueError(f"dirichlet must be at least 0, got {dirichlet}")
        self._sizes = images.class_sizes
        self._draws = Draws(seed, split)
        if max(self.ways) > len(self._sizes):
            there = f"the {counted(len(self._sizes), 'class')} of the images"
            raise InvalidValueError(f"{images.name}: way is {max(self.ways)}, more than {there}")
        shots, queries = max(self.shots), self.query * (max(self.ways) if dirichlet else 1)
        check_class_sizes(images, shots + queries, f"{shots} support and {'up to ' * bool(dirichlet)}{queries} query")

    def plan(self, index: int) -> Plan:
        """Indices of episode ``index``, without fetching an image."""
        stream = self._draws.stream(index)
        way = self.ways[stream.integer(0, len(self.ways) - 1)] if len(self.ways) > 1 else self.ways[0]
        shot = self.shots[stream.integer(0, len(self.shots) - 1)] if len(self.shots) > 1 else self.shots[0]
        classes = stream.distinct(np.array([len(self._sizes)]), way)[0]
        counts = np.full(way, self.query)
        if self.dirichlet:
            counts = _apportioned(stream.dirichlet(way, self.dirichlet), way * self.query)
        chosen = self.images.locate(classes, stream.distinct(self._sizes[classes], shot + int(counts.max())))
        labels = np.arange(way)
        return Plan(
            classes=classes,
            support=chosen[:, :shot].ravel(),
            support_labels=labels.repeat(shot),
            query=np.concatenate([row[shot : shot + count] for row, count in zip(chosen, counts, strict=True)]),
            query_labels=labels.repeat(counts),
        )

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, from 0 on without end."""
        return build_episode(self.images, self.plan(index), index)


def check_class_sizes(images: ImageSet, needed: int, what: str) -> None:
    """Refuse a set with a class too small to be drawn from.

    Raises:
        SourceError: names the smallest class and its number of images.
    """
    sizes = images.class_sizes
    small = np.flatnonzero(sizes < needed)
    if not len(small):
        return
    worst = small[np.argmin(sizes[small])]
    usable = counted(int(sizes[worst]), "usable image")
    raise SourceError(
        f"{images.name}: class '{images.class_names[worst]}' has {usable}, but an episode "
        f"needs {needed} ({what}); {len(small)} of {len(sizes)} classes are too small. Request fewer, or "
        f"exclude these classes: images.with_at_least({needed})"
    )


def _apportioned(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers with a given sum, as near to the shares as can be: rounded down, the largest remainders up."""
    exact = shares * total
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _numbers(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    numbers = (value,) if isinstance(value, int) else tuple(value)
    if not numbers or min(numbers) < 1:
        raise InvalidValueError(f"{name} must be at least 1, got {value}")
    return numbers
