"""Ridge regression of the classes on power-transformed features of length 1, solved in closed form on every task.

Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019,
https://arxiv.org/abs/1805.08136. A feature ``x`` becomes ``z = |x|^p sign(x)`` at length 1, and with ``m`` the mean of
the support set, ``y_i`` the one-hot label of its image ``i`` and ``y`` their mean, the weights minimise

    sum_i |y_i - y - W^T (z_i - m)|^2 + mu |W|^2,    mu = penalty * mean_i |z_i - m|^2.

Class ``k``'s score is ``s_k = w_k^T (z - m)``: without the intercept ``y``, so a class with few images is as likely as
one with many. The larger the penalty, the nearer this is to the nearest class mean; the smaller, the less count
directions in which the whole support set varies, as in a linear discriminant. Logits are ``scale (1 - 1 / way) s_k``:
the factor keeps one temperature for any number of classes.

How far ``z`` is from class ``k``, with ``c_k`` the direction of the class's mean and ``S`` the unbiased variance of the
support set, is

    (1 - c_k^T z) / S + 1 - (s_k + 1 / way):

the cosine distance in units of how far the task's images lie apart, and what the regression falls short of 1 by. The
first says whether an image is like the class, the second whether it is like this class and no other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import RidgeConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.support import at_least_float32, check_support, class_means

_SMALL = 1e-6
"""Least size of a feature before the power: the gradient of a root at 0 is infinite."""
_LEAST_SPREAD = 1e-8
"""Least variance of vectors of length 1: below it they are equal up to rounding."""


class RidgeRegression(FilmLearner):
    """Ridge regression on the features of a frozen, trained or FiLM-adapted backbone."""

    config: RidgeConfig

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> RidgeHead:
        """Solve the regression; see :meth:`FilmLearner.fit_head`."""
        config = self.config
        return fit_ridge(features, labels, config.power, config.ridge_penalty, config.scale, weights)

    def fit_transformed(self, rows: Tensor, labels: Tensor, weights: Tensor | None = None) -> RidgeHead:
        """The same on features that are transformed already, such as their :func:`span_coordinates`."""
        return fit_ridge(rows, labels, 1.0, self.config.ridge_penalty, self.config.scale, weights)


@dataclass(frozen=True)
class RidgeHead:
    """The solution on one task."""

    power: float
    """What the size of every feature is raised to."""
    scale: float
    """Factor of the logits."""
    centre: Tensor
    """Mean of the transformed support features, ``(D,)``."""
    coefficients: Tensor
    """Columns ``w_k``, ``(D, way)``."""
    directions: Tensor
    """Columns ``c_k`` of length 1, ``(D, way)``."""
    spread: Tensor
    """Unbiased variance of the transformed support features, a scalar."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        way = self.coefficients.shape[1]
        return self.scale * (1 - 1 / way) * self._scores(self._transformed(features))

    def distances(self, features: Tensor) -> Tensor:
        """How far features ``(Q, D)`` are from every class, ``(Q, way)``, at least 0."""
        rows = self._transformed(features)
        value = self._scores(rows) + 1 / self.coefficients.shape[1]
        return ((1 - rows @ self.directions) / self.spread + 1 - value).clamp_min(0)

    def _transformed(self, features: Tensor) -> Tensor:
        return transformed(features.to(self.centre.dtype), self.power)

    def _scores(self, rows: Tensor) -> Tensor:
        return (rows - self.centre) @ self.coefficients


def transformed(features: Tensor, power: float) -> Tensor:
    """Features ``(*, D)`` with their sizes raised to a power, at length 1."""
    if power != 1:
        features = features.sign() * features.abs().clamp_min(_SMALL).pow(power)
    return F.normalize(features, dim=-1)


def span_coordinates(features: Tensor, power: float) -> Tensor:
    """Features ``(N, D)``, transformed, in coordinates of the space that they span, ``(N, min(N, D))``.

    All scalar products stay, and with them all that a regression on some of these features says of the others.
    """
    rows = transformed(features, power)
    found: Tensor = torch.linalg.qr(rows.T, mode="r").R.T if len(rows) < rows.shape[1] else rows
    return found


def fit_ridge(
    features: Tensor,
    labels: Tensor,
    power: float,
    penalty: float,
    scale: float,
    sample_weights: Tensor | None = None,
) -> RidgeHead:
    """Solve the regression; differentiable in the features.

    Args:
        features: ``(N, D)``; half precision is raised to float32.
        labels: any integers, ``(N,)``; the logits' columns follow their sorted order.
        power: what the size of every feature is raised to, above 0.
        penalty: see the formula above, above 0.
        scale: factor of the logits.
        sample_weights: what each image counts, above 0, ``(N,)``: one of weight 2 counts as two; None: 1 each.

    Raises:
        SupportError: empty support, shapes that do not fit, or features that are not finite.
    """
    check_support(features, labels)
    with torch.autocast(features.device.type, enabled=False):
        rows = transformed(at_least_float32(features), power)
        counted = rows.new_ones(len(rows)) if sample_weights is None else sample_weights.to(rows)
        total = counted.sum()
        centre = counted @ rows / total
        targets = F.one_hot(labels.unique(return_inverse=True)[1]).to(rows)
        roots = counted.sqrt()[:, None]
        deviations, wanted = roots * (rows - centre), roots * (targets - counted @ targets / total)
        scatter = deviations.square().sum()
        coefficients = solve_ridge(deviations, wanted, (penalty * scatter / total).clamp_min(_LEAST_SPREAD))
        # weights may add up to less than 2, where one less is too little to divide by
        spread = (scatter / torch.maximum(total - 1, total / 2)).clamp_min(_LEAST_SPREAD)
        directions = F.normalize(class_means(rows, labels, counted), dim=1).T
    return RidgeHead(power, scale, centre, coefficients, directions, spread)


def solve_ridge(rows: Tensor, targets: Tensor, penalty: Tensor) -> Tensor:
    """The ``W``, ``(D, K)``, that minimises ``|targets - rows W|^2 + penalty |W|^2``.

    Args:
        rows: ``(N, D)``; the smaller of the N x N and the D x D system is solved.
        targets: ``(N, K)``.
        penalty: a scalar above 0.
    """
    dual = rows.shape[0] < rows.shape[1]
    matrix = rows @ rows.T if dual else rows.T @ rows
    factor = torch.linalg.cholesky(matrix + penalty * torch.eye(len(matrix)).to(matrix))
    solved: Tensor = torch.cholesky_solve(targets if dual else rows.T @ targets, factor)
    return rows.T @ solved if dual else solved
