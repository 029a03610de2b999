"""Episodes of several domains, each from one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import SupportsIndex

import numpy as np

from fewshot_film.data.image_set import ImageSet, JoinedSet
from fewshot_film.episodes.episode import Episode, Episodes
from fewshot_film.episodes.rng import Draws
from fewshot_film.errors import InvalidValueError


class DomainEpisodes:
    """Endless episodes from several domains; the domain of episode i is a function of (seed, split, i) alone.

    Args:
        domains: the episodes of each domain.
        weights: relative sampling frequencies; by default all equal.
        seed: with ``split``, decides which domain an episode is from.
        split: a name that separates training, validation and test.

    Raises:
        ValueError: there is no domain, or not one positive weight for each.
    """

    def __init__(
        self,
        domains: Sequence[Episodes],
        weights: Sequence[float] | None = None,
        *,
        seed: int = 0,
        split: str = "train",
    ) -> None:
        self.domains = tuple(domains)
        weights = [1.0] * len(domains) if weights is None else list(weights)
        if not domains or len(weights) != len(domains) or not all(0 < weight < float("inf") for weight in weights):
            raise InvalidValueError(
                f"{len(domains)} domains with weights {weights}; expected a positive weight for each"
            )
        self._shares = np.array(list(accumulate(weights))) / sum(weights)
        self._draws = Draws(seed, f"{split}/domains")  # not the stream that the domain's own episodes are drawn from

    def domain_of(self, index: SupportsIndex) -> int:
        """The domain of episode ``index``."""
        place = np.searchsorted(self._shares[:-1], self._draws.stream(index).uniform(1)[0], side="right")
        return int(place)

    def __getitem__(self, index: SupportsIndex) -> Episode:
        """Episode ``index``, from 0 on without end."""
        number = index.__index__()
        return self.domains[self.domain_of(number)][number]


def by_domain(
    images: ImageSet, sampler: Callable[[ImageSet], Episodes], *, seed: int, split: str = "train"
) -> Episodes:
    """Episodes of a set: each from one of the sets that were joined, or just the set's own.

    Args:
        images: a `JoinedSet`, or any other one.
        sampler: makes the episodes of one set.
        seed: see `DomainEpisodes`.
        split: see `DomainEpisodes`.
    """
    if not isinstance(images, JoinedSet):
        return sampler(images)
    return DomainEpisodes([sampler(part) for part in images.parts], images.weights, seed=seed, split=split)
