"""TIM and alpha-TIM: a linear classifier that the queries' labels shall tell much about, and be sure of.

Boudiaf et al., "Transductive Information Maximization for Few-Shot Learning", NeurIPS 2020,
https://arxiv.org/abs/2008.11297, with gradient descent (TIM-GD). Class weights ``w_k`` start at the class means; image
i is of class k with probability

    p_ik = softmax_k(-tau / 2 |x_i - w_k|^2),

and Adam minimises, of the support set's cross-entropy, the entropy of the mean of the queries' probabilities, and the
mean of their entropies,

    lambda CE(support) - H(mean_i p_i) + alpha mean_i H(p_i),    lambda = alpha = 0.1, tau = 15.

Veilleux et al., "Realistic Evaluation of Transductive Few-Shot Learning", NeurIPS 2021,
https://arxiv.org/abs/2204.11181 (alpha-TIM): Shannon's entropy of the marginal presses for balanced classes. Tsallis'
entropy of order alpha, ``H(p) = (1 - sum_k p_k^alpha) / (alpha - 1)``, presses less where queries are unbalanced; the
three weights are 1 then, and alpha is 2 for one image per class and 7 for five or more, as their code has it; up to
five it is 2 here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.config.learners import AlphaTIMConfig, InformationConfig, TIMConfig
from fewshot_film.learners.prototypes import squared_distances
from fewshot_film.learners.transductive import TransductiveLearner, weighted_means

SHANNON = 1.0
"""The order at which Tsallis' entropy is Shannon's."""
TUNED_ORDERS = (2.0, 7.0)
"""Of alpha-TIM, below and from ``MANY_SHOTS`` images per class."""
MANY_SHOTS = 5
_LEAST = 1e-12
"""Least probability whose logarithm is taken."""


class TIM(TransductiveLearner):
    """TIM on the features of a frozen backbone."""

    config: TIMConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        return information_logits(support, members, queries, SHANNON, self.config)


class AlphaTIM(TransductiveLearner):
    """alpha-TIM on the features of a frozen backbone."""

    config: AlphaTIMConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        order = self.config.alpha or TUNED_ORDERS[support.shape[-2] >= MANY_SHOTS * members.shape[-1]]
        return information_logits(support, members, queries, order, self.config)


def information_logits(
    support: Tensor, members: Tensor, queries: Tensor, order: float, config: InformationConfig
) -> Tensor:
    """Logits ``(*, Q, way)`` by the class weights that Adam finds; the same in any gradient mode.

    Args:
        support: ``(*, N, D)``.
        members: 1 where an image is of a class and else 0, ``(*, N, way)``.
        queries: ``(*, Q, D)``.
        order: of the entropies of the queries, at least 1; the support set's cross-entropy is Shannon's.
        config: temperature, weights of the terms, steps and learning rate.
    """
    with torch.inference_mode(False), torch.enable_grad():
        support, members, queries = (part.detach().clone() for part in (support, members, queries))
        weights = weighted_means(support, members).requires_grad_()
        optimizer = torch.optim.Adam([weights], lr=config.learning_rate)
        for _ in range(config.steps):
            certain = (-config.temperature / 2 * squared_distances(support, weights)).log_softmax(-1)
            shares = (-config.temperature / 2 * squared_distances(queries, weights)).softmax(-1)
            loss = -config.support_weight * (members * certain).sum(-1).mean(-1)
            loss = loss - config.marginal_weight * entropy(shares.mean(-2), order)
            loss = loss + config.conditional_weight * entropy(shares, order).mean(-1)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
    return -config.temperature / 2 * squared_distances(queries, weights.detach())


def entropy(shares: Tensor, order: float) -> Tensor:
    """Tsallis' entropy of the last axis, ``(*,)``, of probabilities ``(*, K)``; of order 1 it is Shannon's."""
    if order == SHANNON:
        return -(shares * shares.clamp_min(_LEAST).log()).sum(-1)
    return (1 - shares.pow(order).sum(-1)) / (order - 1)
