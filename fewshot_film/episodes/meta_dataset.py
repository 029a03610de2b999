"""Episodes of variable way, shot and imbalance, as Meta-Dataset draws them.

Classes are drawn from all of them at once; where they are the leaves of a hierarchy, an episode has the leaves
below one inner node; where they belong to superclasses, its classes are of one superclass.

Source: Triantafillou et al., "Meta-Dataset", ICLR 2020, section 3.2 and appendix, arXiv 1903.03096.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fewshot_film.data.groups import ClassGroups
from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes.episode import Episode, Plan, build_episode
from fewshot_film.episodes.fixed import check_class_sizes
from fewshot_film.episodes.rng import Draws, Stream
from fewshot_film.errors import InvalidValueError


@dataclass(frozen=True)
class MetaDatasetRules:
    """Parameters of Meta-Dataset's sampler; the defaults are the published ones."""

    min_way: int = 5
    """Fewest classes in an episode."""
    max_way: int = 50
    """Most classes in an episode."""
    max_leaves: int = 392
    """Nodes of a hierarchy with more leaves are not drawn; so few that every class of ImageNet can still be."""
    max_query: int = 10
    """Most query images a class."""
    max_support: int = 500
    """Most support images in an episode."""
    max_contribution: int = 100
    """Most images that one class adds to the size of the support set."""
    min_log_weight: float = math.log(0.5)
    """Lower end of the logarithm of a class's random weight."""
    max_log_weight: float = math.log(2.0)
    """Upper end of the logarithm of a class's random weight."""


class MetaDatasetSampler:
    """Endless episodes of variable size; number i is a function of (images, seed, split, i) alone.

    Args:
        images: the decoded images of one split.
        seed: with ``split``, decides every episode.
        split: a name that separates the episodes of training, validation and test.
        rules: limits on way, shot and query.
        related: draw classes by ``images.groups`` where it has any; False draws from all classes in any case.

    Raises:
        ValueError: there are fewer classes than ``rules.min_way``, or no group has as many.
        SourceError: a class has fewer than 2 images, so that none is left for the query.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        seed: int = 0,
        split: str = "train",
        rules: MetaDatasetRules | None = None,
        related: bool = True,
    ) -> None:
        self.images = images
        self.rules = rules or MetaDatasetRules()
        self._sizes = images.class_sizes
        self._draws = Draws(seed, split)
        if len(self._sizes) < self.rules.min_way:
            raise InvalidValueError(
                f"{images.name}: an episode has at least {self.rules.min_way} classes, there are only "
                f"{len(self._sizes)}"
            )
        check_class_sizes(images, 2, "1 support and 1 query")
        self._groups = images.groups if related else None
        self._members = eligible(images, self._groups, self.rules) if self._groups else []

    def plan(self, index: int) -> Plan:
        """Indices of episode ``index``, without fetching an image."""
        stream = self._draws.stream(index)
        classes = self._draw_classes(stream)
        sizes = self._sizes[classes]
        query = num_query(sizes, self.rules)
        shots = draw_shots(sizes, query, stream, self.rules)
        chosen = self.images.locate(classes, _ordinals(stream, sizes, shots + query))
        place = np.arange(chosen.shape[1])
        labels = np.arange(len(classes))
        return Plan(
            classes=classes,
            support=chosen[(place >= query) & (place < (query + shots)[:, None])],
            support_labels=labels.repeat(shots),
            query=chosen[:, :query].ravel(),
            query_labels=labels.repeat(query),
        )

    def _draw_classes(self, stream: Stream) -> np.ndarray:
        """The classes of an episode, ``(way,)``, in random order."""
        if self._groups is None:
            members = np.arange(len(self._sizes))
        else:
            members = self._members[stream.integer(0, len(self._members) - 1)]
        most = min(self.rules.max_way, len(members))
        takes_all = self._groups is not None and self._groups.kind == "leaves"
        way = most if takes_all else stream.integer(self.rules.min_way, most)
        chosen: np.ndarray = members[stream.distinct(np.array([len(members)]), way)[0]]
        return chosen

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, from 0 on without end."""
        return build_episode(self.images, self.plan(index), index)


def eligible(images: ImageSet, groups: ClassGroups, rules: MetaDatasetRules) -> list[np.ndarray]:
    """Class indices of every group that an episode may come from: large enough, and no node of too many leaves.

    Raises:
        ValueError: there is none.
    """
    place = {name: index for index, name in enumerate(images.class_names)}
    most = rules.max_leaves if groups.kind == "leaves" else len(place)
    members = [[place[name] for name in names] for _, names in groups.groups if rules.min_way <= len(names) <= most]
    if not members:
        raise InvalidValueError(
            f"{images.name}: none of the {len(groups.groups)} groups of its classes has {rules.min_way} to {most} of "
            "them; lower min_way, or pass related=False to draw from all classes at once"
        )
    return [np.array(indices) for indices in members]


def num_query(sizes: np.ndarray, rules: MetaDatasetRules) -> int:
    """Query images a class, the same for all: at most half of the smallest class.

    Args:
        sizes: ``(way,)`` images of every class of the episode.
        rules: holds the upper limit.
    """
    return min(rules.max_query, int(sizes.min()) // 2)


def support_size(left: np.ndarray, beta: float, rules: MetaDatasetRules) -> int:
    """Support images to spread over the classes: ``min(500, sum_c floor(beta min(100, left_c) + 1))``.

    Args:
        left: ``(way,)`` images of every class that are not in the query set.
        beta: in [0, 1).
        rules: hold the 500 and the 100.
    """
    contributions = np.floor(beta * np.minimum(rules.max_contribution, left)) + 1  # added last, for fewer roundings
    return min(rules.max_support, int(contributions.sum()))


def draw_shots(sizes: np.ndarray, query: int, stream: Stream, rules: MetaDatasetRules) -> np.ndarray:
    """Draw the support images of every class: larger classes get more, with a random weight each.

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
