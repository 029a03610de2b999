"""Label propagation: labels spread from the support set along a graph of all images of the task.

Zhou et al., "Learning with Local and Global Consistency", NeurIPS 2003, as few-shot learners use it since Liu et al.,
"Learning to Propagate Labels" (TPN), ICLR 2019, https://arxiv.org/abs/1805.10002: with ``W_ij = exp(-d_ij / 2)``, d_ij
the squared distance of images i and j over a width, where either is among the k = 20 nearest of the other, and else 0
(their eq. 1), ``S = D^-1/2 W D^-1/2`` with D the sums of the rows of W, and ``Y`` the labels of the support set,

    F = (I - alpha S)^-1 Y    (their eq. 3)

and the logits are the logarithms of F. ``alpha`` is 0.99 there, with a network that is trained through it, and 0.8
here, as in iLPC: on features that were trained otherwise 0.99 is worse than the nearest class mean. TPN learns a width
for every image, with the backbone; here it is a share of the mean squared distance of linked images, the same for all
of a task. A class's labels count 1 in all here, however many images it has, which is the same as theirs where all have
as many.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.config.learners import LabelPropagationConfig
from fewshot_film.learners.laplacian_shot import neighbours
from fewshot_film.learners.prototypes import squared_distances
from fewshot_film.learners.transductive import TransductiveLearner

_LEAST = 1e-12
"""Least label, and least sum of a row: the logarithm of 0 is infinite."""


class LabelPropagation(TransductiveLearner):
    """Label propagation on the features of a frozen backbone."""

    config: LabelPropagationConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        config, shot = self.config, support.shape[-2]
        images = torch.cat([support, queries], -2)
        near = neighbours(images, config.neighbours)
        links = torch.maximum(near, near.mT)
        distances = squared_distances(images, images) * links
        width = config.width * distances.sum((-2, -1), keepdim=True) / links.sum((-2, -1), keepdim=True)
        weights = (-distances / (2 * width.clamp_min(_LEAST))).exp() * links
        roots = weights.sum(-1).clamp_min(_LEAST).rsqrt()
        scaled = roots[..., :, None] * weights * roots[..., None, :]
        system = torch.eye(images.shape[-2]).to(images) - config.alpha * scaled
        shares = members / members.sum(-2, keepdim=True)
        labels = torch.cat([shares, queries.new_zeros(*queries.shape[:-1], members.shape[-1])], -2)
        spread: Tensor = torch.linalg.solve(system.double(), labels.double())  # nearly singular for alpha near 1
        return spread[..., shot:, :].clamp_min(_LEAST).log().to(queries)
