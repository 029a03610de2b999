"""FRN: the query's feature map is rebuilt from each class's, and the class that rebuilds it best wins.

Wertheimer, Tang and Hariharan, "Few-Shot Classification with Feature Map Reconstruction Networks", CVPR 2021,
https://arxiv.org/abs/2012.01506. ``S``, (kr) x d, holds all positions of a class's k support maps, ``Q``, r x d, those
of a query. The best weights ``W`` of ``|Q - W S|^2 + lambda |W|^2`` give the reconstruction in closed form (their eq. 8
and, where d < kr, by Woodbury's identity eq. 10)

    Q' = rho Q S^T (S S^T + lambda)^-1 S,    lambda = (k r / d) e^alpha,    rho = e^beta,

and the logit is ``-gamma |Q - Q'|^2 / r``. In the paper alpha and beta are learned with the network, from 0, and so is
gamma, from 1; here the backbone is frozen and they are settings. The paper divides the maps of its ResNet by the root
of d; here all are divided by one number for each task, so that the support's descriptors have a mean square of 1,
whatever the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot_film.config.learners import FRNConfig
from fewshot_film.learners.local_descriptors import LocalDescriptors
from fewshot_film.learners.support import check_support

_SMALL = 1e-12
"""Least mean square of the descriptors, for maps that are all 0."""


class FRN(LocalDescriptors):
    """Reconstruction from the maps of a frozen backbone."""

    config: FRNConfig

    def fit_head(self, features: Tensor, labels: Tensor) -> FRNHead:
        """Solve for what rebuilds maps from every class; see :meth:`LocalDescriptors.fit_head`."""
        check_support(features.flatten(1), labels)
        config = self.config
        scale = features.square().sum(-1).mean().clamp_min(_SMALL).rsqrt()
        rebuilders = []
        for label in labels.unique():
            rows = scale * features[labels == label].flatten(0, 1)
            penalty = rows.new_tensor(config.alpha).exp() * rows.shape[0] / rows.shape[1]
            rebuilders.append(rebuilder(rows, penalty) * rows.new_tensor(config.beta).exp())
        return FRNHead(scale, config.scale, torch.stack(rebuilders))


@dataclass(frozen=True)
class FRNHead:
    """What rebuilds maps from those of one task's classes."""

    feature_scale: Tensor
    """Factor of the descriptors, a scalar."""
    scale: float
    """The paper's gamma."""
    rebuilders: Tensor
    """``rho S^T (S S^T + lambda)^-1 S`` of every class, ``(way, C, C)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of descriptors ``(Q, m, C)``."""
        rows = self.feature_scale * features.to(self.rebuilders)
        squares = [(rows - rows @ rebuilder).square().sum(-1).mean(-1) for rebuilder in self.rebuilders]
        return -self.scale * torch.stack(squares, 1)


def rebuilder(rows: Tensor, penalty: Tensor) -> Tensor:
    """``S^T (S S^T + lambda)^-1 S``, ``(C, C)``.

    Args:
        rows: ``S``, ``(M, C)``; the smaller of the M x M and the C x C system is solved.
        penalty: ``lambda``, above 0, a scalar.
    """
    is_wide = rows.shape[0] < rows.shape[1]
    matrix = rows @ rows.T if is_wide else rows.T @ rows
    factor = torch.linalg.cholesky(matrix + penalty * torch.eye(len(matrix)).to(matrix))
    if is_wide:
        return rows.T @ torch.cholesky_solve(rows, factor)
    solved: Tensor = torch.cholesky_solve(matrix, factor)
    return solved
