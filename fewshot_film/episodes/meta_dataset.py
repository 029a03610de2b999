"""Episodes of variable way, shot and imbalance, as Meta-Dataset draws them from flat class sets.

Source: Triantafillou et al., "Meta-Dataset", ICLR 2020, section 3.2 and appendix, arXiv 1903.03096.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes.draws import Draws, Stream
from fewshot_film.episodes.episode import Episode, Plan, build_episode
from fewshot_film.episodes.fixed import check_class_sizes


@dataclass(frozen=True)
class MetaDatasetRules:
    """The numbers of Meta-Dataset's sampler; the defaults are the published ones."""

    min_way: int = 5
    """Fewest classes in an episode."""
    max_way: int = 50
    """Most classes in an episode."""
    max_query: int = 10
    """Most query pictures a class."""
    max_support: int = 500
    """Most support pictures in an episode."""
    max_contribution: int = 100
    """Most pictures that one class adds to the size of the support set."""
    min_log_weight: float = math.log(0.5)
    """Lower end of the logarithm of a class's random weight."""
    max_log_weight: float = math.log(2.0)
    """Upper end of the logarithm of a class's random weight."""


class MetaDatasetSampler:
    """Endless episodes of variable size; number i is a function of (images, seed, split, i) alone.

    Args:
        images: the decoded pictures of one split.
        seed: with ``split``, decides every episode.
        split: a text that keeps the episodes of training, validation and test apart.
        rules: limits on way, shot and query.

    Raises:
        ValueError: there are fewer classes than ``rules.min_way``.
        SourceError: a class has fewer than 2 pictures, so that none is left for the query.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        seed: int = 0,
        split: str = "train",
        rules: MetaDatasetRules | None = None,
    ) -> None:
        self.images = images
        self.rules = rules or MetaDatasetRules()
        self._sizes = images.class_sizes
        self._draws = Draws(seed, split)
        if len(self._sizes) < self.rules.min_way:
            raise ValueError(
                f"{images.name}: an episode has at least {self.rules.min_way} classes, there are only "
                f"{len(self._sizes)}"
            )
        check_class_sizes(images, 2, "1 support and 1 query")

    def plan(self, index: int) -> Plan:
        """Indices of episode ``index``, without fetching a picture."""
        stream = self._draws.stream(index)
        way = stream.integer(self.rules.min_way, min(self.rules.max_way, len(self._sizes)))
        classes = stream.distinct(np.array([len(self._sizes)]), way)[0]
        sizes = self._sizes[classes]
        query = num_query(sizes, self.rules)
        shots = draw_shots(sizes, query, stream, self.rules)
        chosen = self.images.locate(classes, _ordinals(stream, sizes, shots + query))
        place = np.arange(chosen.shape[1])
        labels = np.arange(way)
        return Plan(
            classes=classes,
            support=chosen[(place >= query) & (place < (query + shots)[:, None])],
            support_labels=labels.repeat(shots),
            query=chosen[:, :query].ravel(),
            query_labels=labels.repeat(query),
        )

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, from 0 on without end."""
        return build_episode(self.images, self.plan(index), index)


def num_query(sizes: np.ndarray, rules: MetaDatasetRules) -> int:
    """Query pictures a class, the same for all: at most half of the smallest class.

    Args:
        sizes: ``(way,)`` pictures of every class of the episode.
        rules: holds the upper limit.
    """
    return min(rules.max_query, int(sizes.min()) // 2)


def support_size(left: np.ndarray, beta: float, rules: MetaDatasetRules) -> int:
    """Support pictures to spread over the classes: ``min(500, sum_c floor(beta min(100, left_c) + 1))``.

    Args:
        left: ``(way,)`` pictures of every class that are not in the query set.
        beta: in [0, 1).
        rules: hold the 500 and the 100.
    """
    contributions = np.floor(beta * np.minimum(rules.max_contribution, left) + 1)
    return min(rules.max_support, int(contributions.sum()))


def draw_shots(sizes: np.ndarray, query: int, stream: Stream, rules: MetaDatasetRules) -> np.ndarray:
    """Draw the support pictures of every class: larger classes get more, with a random weight each.

    ``shot_c = min(floor(w_c / sum w (size - way)) + 1, left_c)`` with
    ``w_c = images_c exp(U(log 1/2, log 2))``.

    Returns:
        ``(way,)`` int64, each at least 1.
    """
    left = sizes - query
    way = len(sizes)
    drawn = stream.uniform(1 + way)
    beta, spread = float(drawn[0]), drawn[1:]
    low, high = rules.min_log_weight, rules.max_log_weight
    paired = zip(sizes.tolist(), spread.tolist(), strict=True)
    weights = [size * math.exp(low + (high - low) * share) for size, share in paired]
    total = math.fsum(weights)  # exactly rounded, so no machine sums otherwise
    to_spread = support_size(left, beta, rules) - way
    shots = [math.floor(weight / total * to_spread) + 1 for weight in weights]
    return np.array([min(shot, most) for shot, most in zip(shots, left.tolist(), strict=True)], np.int64)


def _ordinals(stream: Stream, sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Draw ``counts[r]`` of ``sizes[r]`` without replacement: ``(R, max count)``, the rest is unused."""
    ordinals = np.zeros((len(sizes), int(counts.max())), np.int64)
    for row, (size, count) in enumerate(zip(sizes, counts.tolist(), strict=True)):
        ordinals[row, :count] = stream.distinct(np.array([size]), count)[0]
    return ordinals
