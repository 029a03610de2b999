"""Logistic regression on the frozen features of the support set, as practitioners fit it to features.

Multinomial, with a penalty on the coefficients and none on the intercepts: with ``z_i`` the features at a given length,
and ``C`` the inverse strength of the penalty, ``W`` and ``b`` minimise

    1/2 |W|^2 - C sum_i log softmax_{y_i}(W z_i + b),

which is what scikit-learn's ``LogisticRegression`` minimises. The solution is unique, its rows lie in the span of the
support set's features, and L-BFGS finds it there: among as many coordinates as images, not as features, and in those in
which the curvature at 0, where every class has the same share, is 1 in every direction. Tian et al., "Rethinking
Few-Shot Image Classification: a Good Embedding Is All You Need?", ECCV 2020, https://arxiv.org/abs/2003.11539, fit it
to features of length 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import LogisticRegressionConfig
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.support import at_least_float32, check_support, members_in_order

MAX_STEPS = 1000
"""Of L-BFGS; a few dozen are usual."""
_TOLERANCE = 1e-7
"""Largest entry of the gradient at which it ends."""


class LogisticRegression(FixedFeatures):
    """Logistic regression on the features of a frozen backbone."""

    config: LogisticRegressionConfig

    def fit_head(self, features: Tensor, labels: Tensor) -> LogisticRegressionHead:
        """Solve the regression; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        config = self.config
        members, numbers = members_in_order(labels)
        rows = config.length * F.normalize(at_least_float32(features), dim=1)
        basis = torch.linalg.qr(rows.double().T).Q
        coefficients, intercepts = fit_logistic_regression(rows.double() @ basis, members, config.inverse_penalty)
        weight = (basis @ coefficients.T).T[numbers]
        return LogisticRegressionHead(config.length, weight.to(rows), intercepts[numbers].to(rows))


@dataclass(frozen=True)
class LogisticRegressionHead:
    """The solution on one task."""

    length: float
    """What features are scaled to."""
    weight: Tensor
    """``W``, ``(way, D)``."""
    bias: Tensor
    """``b``, ``(way,)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        return F.linear(self.length * F.normalize(features.to(self.weight.dtype), dim=1), self.weight, self.bias)


def fit_logistic_regression(rows: Tensor, members: Tensor, inverse_penalty: float) -> tuple[Tensor, Tensor]:
    """The minimum above; the same in any gradient mode.

    Args:
        rows: ``(N, D)``, double for an accurate minimum.
        members: class of every row, in ``[0, way)``, ``(N,)``.
        inverse_penalty: ``C``, above 0.

    Returns:
        Coefficients ``(way, D)`` and intercepts ``(way,)``, whose sum is 0.
    """
    rows, targets = rows.detach().clone(), F.one_hot(members).to(rows)
    extended = F.pad(rows, (0, 1), value=1.0)
    penalised = torch.eye(extended.shape[1]).to(rows)
    penalised[-1, -1] = 0
    curvature = penalised + inverse_penalty / targets.shape[1] * extended.T @ extended
    factor = torch.linalg.cholesky(curvature)
    scaled = torch.linalg.solve_triangular(factor, extended.T, upper=False)
    penalty = torch.linalg.solve_triangular(factor, penalised, upper=False)
    penalty = penalty @ penalty.T
    with torch.inference_mode(False), torch.no_grad():
        found = rows.new_zeros(extended.shape[1], targets.shape[1])
        optimizer = torch.optim.LBFGS(
            [found],
            max_iter=MAX_STEPS,
            tolerance_grad=_TOLERANCE,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            log_shares = (scaled.T @ found).log_softmax(1)
            slope = penalty @ found
            found.grad = slope + inverse_penalty * scaled @ (log_shares.exp() - targets)
            value: Tensor = (found * slope).sum() / 2 - inverse_penalty * (targets * log_shares).sum()
            return value

        optimizer.step(loss)
    solution: Tensor = torch.linalg.solve_triangular(factor.T, found, upper=True).T
    return solution[:, :-1], solution[:, -1] - solution[:, -1].mean()
