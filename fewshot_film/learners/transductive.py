"""Methods that classify all queries of a task together, on the features of a frozen backbone.

A method of this family is :meth:`TransductiveLearner.solve`: from the features of a task's support set and queries to
the logits of the queries. Everything has leading axes for any number of tasks of the same size, so that hundreds are
solved at once. What the methods share comes before: features at length 1, by choice after a power, centred, or replaced
by their affinities.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import TransductiveConfig
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.ridge import transformed
from fewshot_film.learners.self_transport import self_transport
from fewshot_film.learners.support import at_least_float32, check_support


class TransductiveLearner(FixedFeatures):
    """Base of the transductive methods. The logits of an image depend on the others of the call: pass all in one."""

    config: TransductiveConfig
    transductive = True

    @abstractmethod
    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """Logits ``(*, Q, way)`` of the queries of any number of tasks.

        Args:
            support: prepared features, ``(*, N, D)``.
            members: 1 where an image is of a class and else 0, ``(*, N, way)``; no class is empty.
            queries: prepared features, ``(*, Q, D)``, at least one.
        """

    def classify(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """Logits ``(*, Q, way)`` of the queries of any number of tasks of the same size.

        Args:
            support: the backbone's features, ``(*, N, D)``.
            members: 1 where an image is of a class and else 0, ``(*, N, way)``; no class is empty.
            queries: the backbone's features, ``(*, Q, D)``.
        """
        if queries.shape[-2] == 0:
            return support.new_zeros(*queries.shape[:-1], members.shape[-1])
        with torch.autocast(support.device.type, enabled=False):
            support, queries = at_least_float32(support), at_least_float32(queries)
            support, queries = prepared(support, queries.to(support), self.config)
            return self.solve(support, members.to(support), queries)

    def fit_head(self, features: Tensor, labels: Tensor) -> TransductiveHead:
        """Keep the support set until the queries come; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        classes, members = labels.unique(return_inverse=True)
        return TransductiveHead(self, features, F.one_hot(members, len(classes)))


@dataclass(frozen=True)
class TransductiveHead:
    """The support set of one task."""

    learner: TransductiveLearner
    features: Tensor
    """Of the support images, ``(N, D)``."""
    members: Tensor
    """1 where an image is of a class, ``(N, way)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``, classified together."""
        return self.learner.classify(self.features, self.members, features)


def prepared(support: Tensor, queries: Tensor, config: TransductiveConfig) -> tuple[Tensor, Tensor]:
    """Features as the methods take them, see the settings.

    Args:
        support: ``(*, N, D)``.
        queries: ``(*, Q, D)``, at least one.
        config: power, centring and self-transport.
    """
    support, queries = transformed(support, config.power), transformed(queries, config.power)
    if config.centring != "none":
        means = support.mean(-2, keepdim=True), queries.mean(-2, keepdim=True)
        if config.centring == "task":
            means = (torch.cat([support, queries], -2).mean(-2, keepdim=True),) * 2
        support, queries = F.normalize(support - means[0], dim=-1), F.normalize(queries - means[1], dim=-1)
    if config.self_transport:
        affinities = self_transport(torch.cat([support, queries], -2))
        support, queries = affinities.split([support.shape[-2], queries.shape[-2]], -2)
    return support, queries


def weighted_means(features: Tensor, shares: Tensor) -> Tensor:
    """Mean of every class, ``(*, way, D)``, of features ``(*, M, D)`` by their shares ``(*, M, way)``."""
    return shares.mT @ features / shares.sum(-2)[..., None]
