"""iLPC: labels spread over a graph, are balanced, and the cleanest are taken over; then again, until all are.

Lazarou, Stathaki and Avrithis, "Iterative Label Cleaning for Transductive and Semi-Supervised Few-Shot Learning", ICCV
2021, https://arxiv.org/abs/2012.07962. Until every query has a label, on all images of the task:

1. Label propagation (section 3.2): ``A_ij = max(v_i v_j, 0)^3`` where i is among the nearest 15 of j, else 0;
   ``W = (A + A^T) / 2``; ``S = D^-1/2 W D^-1/2`` with D the sums of W's rows; from the labels ``Y`` of those that have
   one, ``Z = (I - alpha S)^-1 Y`` with ``alpha = 0.8``.
2. Class balancing (section 3.3): ``Z^tau``, ``tau = 3``, of the unlabelled is scaled by Sinkhorn's algorithm until
   every image counts 1 and every class as many; an image's pseudo-label is where it counts most.
3. Label cleaning (section 3.4): a linear classifier that starts at the class means of the labelled images is trained
   for 1,000 steps on all labels and pseudo-labels; the 3 queries of each class with the smallest mean loss over the
   steps get their pseudo-label for good.

Logits are the logarithms of what a query counted in each class when it got its label. The numbers are those of their
code. It takes queries to be balanced over classes, as PT-MAP does. The classifier's bias starts at 0 here, at random in
their code; its weights stay in the span of the images, and are trained here as coefficients of these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import ILPCConfig
from fewshot_film.learners.laplacian_shot import neighbours
from fewshot_film.learners.sinkhorn import sinkhorn
from fewshot_film.learners.transductive import TransductiveLearner

GAMMA = 3
"""Power of the affinities."""
_LEAST = 1e-12
"""Least propagated label, and what an image counts that has its label already."""
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
"""Of the classifier that finds clean labels, trained by gradient descent."""


class ILPC(TransductiveLearner):
    """iLPC on the features of a frozen backbone."""

    config: ILPCConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        config, shot = self.config, support.shape[-2]
        images = F.normalize(torch.cat([support, queries], -2), dim=-1)
        spread, products = propagation(images, config.neighbours, config.alpha), images @ images.mT
        waiting = queries.new_ones(queries.shape[:-1], dtype=torch.bool)
        labels = torch.cat([members, queries.new_zeros(*queries.shape[:-1], members.shape[-1])], -2)
        logits = queries.new_zeros(*queries.shape[:-1], members.shape[-1])
        for _ in range(queries.shape[-2]):  # each time at least one of every task gets its label
            propagated = (spread @ labels)[..., shot:, :]
            plan = balanced(propagated, waiting, config.tau)
            pseudo = F.one_hot(plan.argmax(-1), members.shape[-1]).to(labels)
            supposed = torch.where(waiting[..., None], pseudo, labels[..., shot:, :])
            losses = mean_losses(products, labels, torch.cat([labels[..., :shot, :], supposed], -2), config.steps)
            taken = cleanest(losses[..., shot:], pseudo, waiting, config.clean)
            logits = torch.where(taken[..., None], plan, logits)
            labels = torch.cat(
                [labels[..., :shot, :], torch.where(taken[..., None], pseudo, labels[..., shot:, :])], -2
            )
            waiting = waiting & ~taken
            if not bool(waiting.any()):
                break
        return logits


def propagation(images: Tensor, count: int, alpha: float) -> Tensor:
    """``(I - alpha S)^-1`` of images of length 1, ``(*, M, D)``: ``(*, M, M)``."""
    affinities = (images @ images.mT).clamp_min(0).pow(GAMMA) * neighbours(images, count)
    weights = (affinities + affinities.mT) / 2
    roots = weights.sum(-1).clamp_min(_LEAST).rsqrt()
    scaled = roots[..., :, None] * weights * roots[..., None, :]
    spread: Tensor = torch.linalg.inv(torch.eye(images.shape[-2]).to(images) - alpha * scaled)
    return spread


def balanced(propagated: Tensor, waiting: Tensor, tau: float) -> Tensor:
    """Logarithm of what each query counts in each class, ``(*, Q, way)``; of those that wait, 1 in all.

    Where fewer wait than there are classes there is nothing to balance, and each counts by its own propagated labels.

    Args:
        propagated: of the queries, ``(*, Q, way)``.
        waiting: which have no label yet, ``(*, Q)``.
        tau: the power.
    """
    counts, way = waiting.to(propagated).clamp_min(_LEAST), propagated.shape[-1]
    scores = propagated.clamp_min(_LEAST).log()
    plan = sinkhorn(-scores, counts, counts.sum(-1, keepdim=True) / way, tau)
    is_few = waiting.sum(-1) < way
    return torch.where(is_few[..., None, None], (tau * scores).log_softmax(-1), plan)


def mean_losses(products: Tensor, known: Tensor, supposed: Tensor, steps: int) -> Tensor:
    """Mean over the steps of every image's cross-entropy, ``(*, M)``.

    Args:
        products: of all images, ``(*, M, M)``.
        known: labels that are sure, and rows of zeros, ``(*, M, way)``: the classifier starts at their class means.
        supposed: labels and pseudo-labels, ``(*, M, way)``.
        steps: at least 1.
    """
    means = known.mT / known.sum(-2)[..., None]
    coefficients = means / (means @ products * means).sum(-1, keepdim=True).clamp_min(_LEAST).sqrt()
    bias = coefficients.new_zeros(*coefficients.shape[:-1], 1)
    speed, bias_speed, losses = torch.zeros_like(coefficients), torch.zeros_like(bias), products.new_zeros(())
    targets, rate = supposed.mT, LEARNING_RATE
    for _ in range(steps):
        log_shares = (coefficients @ products + bias).log_softmax(-2)
        losses = losses - (targets * log_shares).sum(-2) / steps
        errors = (log_shares.exp() - targets) / targets.shape[-1]
        speed = MOMENTUM * speed + errors + WEIGHT_DECAY * coefficients
        bias_speed = MOMENTUM * bias_speed + errors.sum(-1, keepdim=True) + WEIGHT_DECAY * bias
        coefficients, bias = coefficients - rate * speed, bias - rate * bias_speed
    return losses


def cleanest(losses: Tensor, pseudo: Tensor, waiting: Tensor, count: int) -> Tensor:
    """Which of the queries that wait have the smallest losses of their pseudo-label's class, ``(*, Q)``.

    Args:
        losses: ``(*, Q)``.
        pseudo: 1 at the pseudo-label and else 0, ``(*, Q, way)``.
        waiting: ``(*, Q)``.
        count: of each class, at least 1; fewer where it has fewer.
    """
    by_class = losses[..., None].masked_fill(~(waiting[..., None] & pseudo.bool()), torch.inf)
    ranks = by_class.argsort(dim=-2, stable=True).argsort(dim=-2, stable=True)
    return ((ranks < count) & by_class.isfinite()).any(-1)
