"""URL's head: a linear map of the features, learned on the support set, before the nearest class mean.

Li, Liu and Bilen, "Universal Representation Learning from Multiple Domains for Few-shot Classification", ICCV 2021,
https://arxiv.org/abs/2103.13841, section 3.3. The map ``A``, D x D, starts at the identity, and 40 steps of Adadelta at
a rate of 0.1 (as their code has it) lower the cross-entropy of the support set itself by

    p(k | x) = softmax_k(10 cos(A x, c_k)),    c_k the mean of A x over the class's images.

With one image per class every image is its class's mean, and only what lies between the classes is learned. The paper's
backbone is one network distilled from several domains; here it is any.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import URLConfig
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.support import at_least_float32, check_support, class_means


class URL(FixedFeatures):
    """A linear map that is learned for each task, on the features of a frozen backbone."""

    config: URLConfig

    def fit_head(self, features: Tensor, labels: Tensor) -> URLHead:
        """Learn the map; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        config, rows = self.config, at_least_float32(features)
        mapping = fit_mapping(rows, labels, config.scale, config.steps, config.learning_rate)
        return URLHead(config.scale, mapping, class_means(rows @ mapping.T, labels))


@dataclass(frozen=True)
class URLHead:
    """The map of one task."""

    scale: float
    """Factor of the cosines."""
    mapping: Tensor
    """``A``, ``(D, D)``."""
    means: Tensor
    """``c_k``, ``(way, D)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        return scaled_cosines(features.to(self.mapping) @ self.mapping.T, self.means, self.scale)


def scaled_cosines(rows: Tensor, means: Tensor, scale: float) -> Tensor:
    """Logits ``(N, way)`` of rows ``(N, D)`` by class means ``(way, D)``."""
    return scale * F.normalize(rows, dim=1) @ F.normalize(means, dim=1).T


def fit_mapping(rows: Tensor, labels: Tensor, scale: float, steps: int, learning_rate: float) -> Tensor:
    """The map ``A``, ``(D, D)``; the same in any gradient mode.

    Args:
        rows: features of the support set, ``(N, D)``.
        labels: any integers, ``(N,)``.
        scale: factor of the cosines.
        steps: of Adadelta, at least 0.
        learning_rate: its factor.
    """
    with torch.inference_mode(False), torch.enable_grad():
        rows, members = rows.detach().clone(), labels.unique(return_inverse=True)[1].clone()
        mapping = torch.eye(rows.shape[1]).to(rows).requires_grad_()
        optimizer = torch.optim.Adadelta([mapping], lr=learning_rate)
        for _ in range(steps):
            mapped = rows @ mapping.T
            loss = F.cross_entropy(scaled_cosines(mapped, class_means(mapped, members), scale), members)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return mapping.detach()
