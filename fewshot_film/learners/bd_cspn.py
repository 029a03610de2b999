"""BD-CSPN: class means rectified by the queries, and queries shifted to the support set; cosines decide.

Liu, Song and Qin, "Prototype Rectification for Few-Shot Learning", ECCV 2020, https://arxiv.org/abs/1911.10713. Against
the cross-class bias, all queries are shifted by the difference of the means of support set and queries. Against the
intra-class bias, each query gets the label of the class mean ``p_k`` with the largest cosine, and the rectified class
means are those of support images and queries with that label, image i weighted by

    w_ik = exp(epsilon cos(x_i, p_k)) / sum_c exp(epsilon cos(x_i, p_c)),    epsilon = 10.

The paper takes the most confident queries of each class; here all count, as in the evaluation by Veilleux et al.,
"Realistic Evaluation of Transductive Few-Shot Learning", NeurIPS 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import BDCSPNConfig
from fewshot_film.learners.transductive import TransductiveLearner, weighted_means


class BDCSPN(TransductiveLearner):
    """BD-CSPN on the features of a frozen backbone."""

    config: BDCSPNConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        means, queries = rectified(support, members, queries, self.config.scale)
        return self.config.scale * cosines(queries, means)


def rectified(support: Tensor, members: Tensor, queries: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The rectified class means, ``(*, way, D)``, and the shifted queries, ``(*, Q, D)``.

    Args:
        support: ``(*, N, D)``.
        members: 1 where an image is of a class and else 0, ``(*, N, way)``.
        queries: ``(*, Q, D)``.
        scale: the paper's epsilon.
    """
    queries = queries + support.mean(-2, keepdim=True) - queries.mean(-2, keepdim=True)
    images = torch.cat([support, queries], -2)
    similarities = cosines(images, weighted_means(support, members))
    pseudo_labels = similarities[..., support.shape[-2] :, :].argmax(-1)
    labelled = torch.cat([members, F.one_hot(pseudo_labels, members.shape[-1]).to(members)], -2)
    return weighted_means(images, labelled * (scale * similarities).softmax(-1)), queries


def cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Cosines ``(*, L, R)`` of the rows of ``(*, L, D)`` and ``(*, R, D)``."""
    return F.normalize(rows, dim=-1) @ F.normalize(others, dim=-1).mT
