"""Splits of a whole set: every class takes part, some of its images held out."""

from __future__ import annotations

import numpy as np

from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes.episode import Episode, Plan, build_episode
from fewshot_film.episodes.fixed import check_class_sizes
from fewshot_film.episodes.rng import Draws
from fewshot_film.errors import InvalidValueError


class HoldOutSampler:
    """Endless random splits of all classes; number i is a function of (images, seed, split, i) alone.

    Args:
        images: decoded images.
        shot: support images per class; 0: all that are not held out.
        query: maximum number of held-out images per class.
        fraction: share of every class that is held out where ``shot`` is 0, at least one image and never all.
        seed: with ``split``, decides every split.
        split: a name that separates these samples from others.

    Raises:
        ValueError: a number is out of range.
        SourceError: a class has fewer than ``shot + 1`` images, or than 2.
    """

    def __init__(
        self,
        images: ImageSet,
        shot: int = 0,
        query: int = 20,
        *,
        fraction: float = 0.2,
        seed: int = 0,
        split: str = "hold-out",
    ) -> None:
        if shot < 0 or query < 1 or not 0 < fraction < 1:
            raise InvalidValueError(
                f"shot is {shot}, query {query}, fraction {fraction}; expected at least 0, at least 1, and a share "
                "between 0 and 1"
            )
        self.images = images
        sizes = images.class_sizes
        check_class_sizes(images, max(shot, 1) + 1, f"{max(shot, 1)} support and 1 query")
        held_out = sizes - shot if shot else np.clip(np.rint(fraction * sizes).astype(np.int64), 1, sizes - 1)
        self._queries = np.minimum(held_out, query)
        self._supports = np.full_like(sizes, shot) if shot else sizes - self._queries
        self._draws = Draws(seed, split)

    def plan(self, index: int) -> Plan:
        """Indices of split ``index``."""
        stream = self._draws.stream(index)
        support, query = [], []
        for label, size in enumerate(self.images.class_sizes.tolist()):
            wanted = int(self._supports[label] + self._queries[label])
            order = stream.distinct(np.array([size]), wanted)[0]
            chosen = self.images.indices_of(label)[order]
            support.append(chosen[: self._supports[label]])
            query.append(chosen[self._supports[label] :])
        labels = np.arange(len(support))
        return Plan(
            classes=labels,
            support=np.concatenate(support),
            support_labels=labels.repeat(self._supports),
            query=np.concatenate(query),
            query_labels=labels.repeat(self._queries),
        )

    def __getitem__(self, index: int) -> Episode:
        """Split ``index``, from 0 on without end."""
        return build_episode(self.images, self.plan(index), index)
