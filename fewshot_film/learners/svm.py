"""MetaOptNet's head: a linear support vector machine of Crammer and Singer on the features of the support set.

Lee et al., "Meta-Learning with Differentiable Convex Optimization", CVPR 2019, https://arxiv.org/abs/1904.03758. The
weights ``w_k`` of the classes minimise (their eq. 6)

    1/2 sum_k |w_k|^2 + C sum_n xi_n    so that    w_{y_n} x_n - w_k x_n >= 1 - [y_n = k] - xi_n    for all n, k.

They are ``w_k = sum_n alpha_nk x_n`` by the solution of the dual (their eq. 9),

    max sum_n alpha_{n y_n} - 1/2 sum_k |w_k|^2    so that    alpha_nk <= C [y_n = k],    sum_k alpha_nk = 0,

and logits are ``gamma w_k x``. C is 0.1, as theirs.

Their solver is OptNet's interior-point method. Here it is the accelerated projected gradient method with restarts
(Beck and Teboulle, SIAM J. Imaging Sciences 2009; O'Donoghue and Candes, Found. Comput. Math. 2015): image n's row
``C e_{y_n} - alpha_n`` lies in a simplex of size C, onto which one sort projects. Gradients flow through its steps.
Features have a given length here, so that C means the same for every backbone; theirs are as they come.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.learners import SVMConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.support import at_least_float32, check_support

MAX_STEPS = 2000
"""Of the solver; some dozens are usual."""
_LEAST = 1e-6
"""Least of what the step is the inverse of, for features that are all 0."""
_TOLERANCE = 1e-6
"""It ends where no entry of the dual solution moves by more than this share of C in a step."""


class SVM(FilmLearner):
    """A linear support vector machine on the features of a frozen, trained or FiLM-adapted backbone."""

    config: SVMConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.scale = nn.Parameter(torch.tensor(self.config.scale)) if self.config.learn_scale else None

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> SVMHead:
        """Solve the dual; see :meth:`FilmLearner.fit_head`."""
        check_support(features, labels)
        config = self.config
        with torch.autocast(features.device.type, enabled=False):
            rows = config.length * F.normalize(at_least_float32(features), dim=1)
            members = F.one_hot(labels.unique(return_inverse=True)[1]).to(rows)
            limits = config.inverse_penalty * (rows.new_ones(len(rows)) if weights is None else weights.to(rows))
            exact = rows.double()
            dual = solve_crammer_singer(exact @ exact.T, members.double(), limits.double())
            return SVMHead(config.length, config.scale if self.scale is None else self.scale, dual.to(rows).T @ rows)


@dataclass(frozen=True)
class SVMHead:
    """The solution on one task."""

    length: float
    """What features are scaled to."""
    scale: float | Tensor
    """The paper's gamma."""
    weight: Tensor
    """``w_k``, ``(way, D)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        rows = self.length * F.normalize(features.to(self.weight.dtype), dim=1)
        return self.scale * rows @ self.weight.T


def solve_crammer_singer(kernel: Tensor, members: Tensor, limits: Tensor, tolerance: float = _TOLERANCE) -> Tensor:
    """The ``alpha``, ``(N, way)``, that solves the dual.

    Args:
        kernel: products of all features, ``(N, N)``.
        members: 1 where an image is of a class and else 0, ``(N, way)``.
        limits: ``C`` for every image, above 0, ``(N,)``.
        tolerance: largest move of an entry at which it ends, as a share of the largest limit.
    """
    step = 1 / torch.linalg.eigvalsh(kernel.detach())[-1].clamp_min(_LEAST)
    bounds, totals = limits[:, None] * members, limits[:, None]
    found = ahead = torch.zeros_like(members)
    momentum = 1.0
    for _ in range(MAX_STEPS):
        raised = ahead + step * (members - kernel @ ahead)
        before, found = found, bounds - onto_simplex(bounds - raised, totals)
        moved = found - before
        if bool(moved.detach().abs().amax() <= tolerance * limits.amax()):
            break
        if bool(((ahead - found) * moved).detach().sum() > 0):  # it overshot: start anew from here
            momentum = 1.0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, momentum = found + (momentum - 1) / following * moved, following
    return found


def onto_simplex(rows: Tensor, totals: Tensor) -> Tensor:
    """The nearest rows ``(*, K)`` of numbers of at least 0 whose sums are ``totals``, above 0, ``(*, 1)``.

    Source:
        Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High Dimensions", ICML 2008, fig. 1.
    """
    ordered = rows.sort(dim=-1, descending=True).values
    excess = ordered.cumsum(-1) - totals
    places = torch.arange(1, rows.shape[-1] + 1, device=rows.device)
    last = (ordered * places > excess).sum(-1, keepdim=True)
    return (rows - excess.gather(-1, last - 1) / last).clamp_min(0)
