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
_BETAS, _ADAM_EPSILON = (0.9, 0.999), 1e-8
"""Adam's usual settings."""


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
    """Logits ``(*, Q, way)`` by the class weights that Adam finds.

    Args:
        support: ``(*, N, D)``.
        members: 1 where an image is of a class and else 0, ``(*, N, way)``.
        queries: ``(*, Q, D)``.
        order: of the entropies of the queries, at least 1; the support set's cross-entropy is Shannon's.
        config: temperature, weights of the terms, steps and learning rate.
    """
    images, weights = torch.cat([support, queries], -2), weighted_means(support, members)
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    for step in range(1, config.steps + 1):
        gradient = _gradient(weights, images, members, order, config)
        first.lerp_(gradient, 1 - _BETAS[0])
        second.lerp_(gradient.square(), 1 - _BETAS[1])
        spread = (second / (1 - _BETAS[1] ** step)).sqrt_().add_(_ADAM_EPSILON)
        weights = torch.addcdiv(weights, first, spread, value=-config.learning_rate / (1 - _BETAS[0] ** step))
    return -config.temperature / 2 * squared_distances(queries, weights)


def _gradient(weights: Tensor, images: Tensor, members: Tensor, order: float, config: InformationConfig) -> Tensor:
    """Of the loss in the class weights, ``(*, way, D)``: written out, it takes two products with the images."""
    num_labelled, num_queries = members.shape[-2], images.shape[-2] - members.shape[-2]
    # squared distances without the length of the image, which the softmax does not see; (*, way, M)
    logits = config.temperature * (weights @ images.mT - weights.square().sum(-1, keepdim=True) / 2)
    certain, shares = logits.softmax(-2).split([num_labelled, num_queries], -1)
    of_support = config.support_weight / num_labelled * (certain - members.mT)
    slopes = config.conditional_weight * entropy_slopes(shares, order)
    slopes = slopes - config.marginal_weight * entropy_slopes(shares.mean(-1, keepdim=True), order)
    of_queries = shares * (slopes - (shares * slopes).sum(-2, keepdim=True)) / num_queries
    by_logit = torch.cat([of_support, of_queries], -1)
    return config.temperature * (by_logit @ images - by_logit.sum(-1, keepdim=True) * weights)


def entropy_slopes(shares: Tensor, order: float) -> Tensor:
    """Derivative of the entropy ``sum_k h(p_k)`` in each probability, elementwise, up to a constant.

    ``-log p`` for Shannon's, ``-alpha p^(alpha - 1) / (alpha - 1)`` for Tsallis' of another order. As probabilities
    add up to 1, a constant changes nothing.
    """
    if order == SHANNON:
        return -shares.clamp_min(_LEAST).log()
    return -order / (order - 1) * shares.pow(order - 1)
