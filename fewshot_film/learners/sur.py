"""SUR: which of several representations count for a task, learned on its support set.

Dvornik, Schmid and Mairal, "Selecting Relevant Features from a Multi-domain Representation for Few-Shot
Classification", ECCV 2020, https://arxiv.org/abs/2003.09338, section 3. With ``f_1 ... f_K`` the features of K
networks, each trained on a domain of its own, or of K stages of one network (section 4.4), each brought to length 1,

    f(x) = [lambda_1 f_1(x), ..., lambda_K f_K(x)],    lambda_k = sigmoid(a_k),

and 40 steps of Adadelta at a rate of 100, from ``a = 0``, lower the cross-entropy of the support set itself by

    p(k | x) = softmax_k(10 cos(f(x), c_k)),    c_k the mean of f over the class's images.

The same classifies the queries. Differs from the paper: the factor 10 of the cosines is not stated there. Several
networks become one backbone by :class:`~fewshot_film.learners.joined.JoinedBackbone`; the stages of one network are
parts where ``backbone.feature_norms`` has several numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import SURConfig
from fewshot_film.learners.backbone import Backbone, L2Norm
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.support import at_least_float32, check_support, class_means
from fewshot_film.learners.url import scaled_cosines


class SUR(FixedFeatures):
    """A weight for every part of the features that is learned for each task, on a frozen backbone."""

    config: SURConfig

    def fit_head(self, features: Tensor, labels: Tensor) -> SURHead:
        """Learn the weights; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        config, widths = self.config, part_widths(self.backbone)
        rows = normalised_parts(at_least_float32(features), widths)
        weights = fit_part_weights(rows, labels, widths, config.scale, config.steps, config.learning_rate)
        weighted = rows * by_column(weights, widths)
        return SURHead(config.scale, widths, weights, class_means(weighted, labels))


@dataclass(frozen=True)
class SURHead:
    """The weights of one task."""

    scale: float
    """Factor of the cosines."""
    widths: Sequence[int]
    """Of the parts of the features."""
    weights: Tensor
    """``lambda``, ``(K,)``, in [0, 1]."""
    means: Tensor
    """``c_k``, ``(way, D)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        rows = normalised_parts(features.to(self.means), self.widths)
        return scaled_cosines(rows * by_column(self.weights, self.widths), self.means, self.scale)


def part_widths(backbone: Backbone) -> list[int]:
    """Widths of the parts that a backbone's features are joined from."""
    norms = [cast(L2Norm, norm) for norm in getattr(backbone, "feature_norms", {}).values()]
    return [norm.normalized_shape[0] for norm in norms] or [backbone.feature_dim]


def normalised_parts(features: Tensor, widths: Sequence[int]) -> Tensor:
    """Features ``(N, D)`` with every part of ``widths`` brought to length 1."""
    return torch.cat([F.normalize(part, dim=1) for part in features.split(list(widths), 1)], 1)


def by_column(weights: Tensor, widths: Sequence[int]) -> Tensor:
    """A weight for every column, ``(D,)``, of one for every part, ``(K,)``."""
    return weights.repeat_interleave(torch.tensor(widths, device=weights.device))


def fit_part_weights(
    rows: Tensor, labels: Tensor, widths: Sequence[int], scale: float, steps: int, learning_rate: float
) -> Tensor:
    """``lambda``, ``(K,)``, in [0, 1]; the same in any gradient mode.

    Args:
        rows: features of the support set, ``(N, D)``, every part of length 1.
        labels: any integers, ``(N,)``.
        widths: of the K parts.
        scale: factor of the cosines.
        steps: of Adadelta, at least 0.
        learning_rate: its factor.
    """
    with torch.inference_mode(False), torch.enable_grad():
        rows, members = rows.detach().clone(), labels.unique(return_inverse=True)[1].clone()
        logits = torch.zeros(len(widths)).to(rows).requires_grad_()
        optimizer = torch.optim.Adadelta([logits], lr=learning_rate)
        for _ in range(steps):
            weighted = rows * by_column(logits.sigmoid(), widths)
            loss = F.cross_entropy(scaled_cosines(weighted, class_means(weighted, members), scale), members)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return logits.detach().sigmoid()
