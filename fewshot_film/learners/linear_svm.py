"""The linear support vector machine of scikit-learn's ``LinearSVC``: every class against the rest, squared hinge loss.

Fan et al., "LIBLINEAR: A Library for Large Linear Classification", JMLR 2008. With ``z_i`` the features at a given
length and a 1 appended for the bias, and ``y_i`` 1 for the images of a class and -1 for all others, the weights of the
class minimise (their eq. 1, with the L2-loss)

    1/2 |w|^2 + C sum_i max(0, 1 - y_i w^T z_i)^2.

The logits are ``w_k^T z``. C is 1, the default of scikit-learn, and as there the bias is penalised with the weights.

The minimum is unique. It is found by Newton steps, which are exact on the images with a loss (Keerthi and DeCoste, "A
Modified Finite Newton Method for Fast Solution of Large Scale Linear SVMs", JMLR 2005): ``w = sum_i beta_i z_i``, and
where A are the images with ``y_i w^T z_i < 1`` and ``K`` the products of all ``z_i``, a step goes towards

    beta_A = (K_AA + 1 / (2 C))^-1 y_A,    beta = 0 elsewhere,

halved until the loss falls, for all classes at once. scikit-learn trains one vector for two classes; here each of them
has its own, the one the negative of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import LinearSVMConfig
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.support import at_least_float32, check_support

MAX_STEPS = 100
"""Newton steps; a handful are usual."""
_TOLERANCE = 1e-10
"""It ends where no loss falls by more than this share of itself."""
_HALVINGS = 30
"""Of a step before it is given up."""


class LinearSVM(FixedFeatures):
    """A linear support vector machine per class on the features of a frozen backbone."""

    config: LinearSVMConfig

    @torch.no_grad()
    def fit_head(self, features: Tensor, labels: Tensor) -> LinearSVMHead:
        """Find the minimum of every class; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        rows = self.config.length * F.normalize(at_least_float32(features), dim=1)
        exact = rows.double()
        signs = 2.0 * F.one_hot(labels.unique(return_inverse=True)[1]).T.to(exact) - 1
        shares = fit_squared_hinge(exact @ exact.T + 1, signs, self.config.inverse_penalty)
        return LinearSVMHead(self.config.length, (shares @ exact).to(rows), shares.sum(1).to(rows))


@dataclass(frozen=True)
class LinearSVMHead:
    """The minima of one task."""

    length: float
    """What features are scaled to."""
    weight: Tensor
    """``(way, D)``."""
    bias: Tensor
    """``(way,)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        return F.linear(self.length * F.normalize(features.to(self.weight.dtype), dim=1), self.weight, self.bias)


def fit_squared_hinge(kernel: Tensor, signs: Tensor, inverse_penalty: float) -> Tensor:
    """The ``beta`` of every class, ``(way, N)``.

    Args:
        kernel: ``K``, products of all images with the 1 appended, ``(N, N)``, double.
        signs: ``y``, 1 or -1, ``(way, N)``.
        inverse_penalty: ``C``, above 0.
    """
    ridge = torch.eye(len(kernel)).to(kernel) / (2 * inverse_penalty)
    shares = torch.zeros_like(signs)

    def losses(shares: Tensor) -> Tensor:
        scores = shares @ kernel
        errors = (1 - signs * scores).clamp_min(0).square().sum(1)
        return (shares * scores).sum(1) / 2 + inverse_penalty * errors

    now = losses(shares)
    for _ in range(MAX_STEPS):
        active = (signs * (shares @ kernel) < 1).to(kernel)
        towards = torch.linalg.solve(active[:, :, None] * kernel * active[:, None, :] + ridge, active * signs) - shares
        shares, before = _descend(losses, shares, towards, now), now
        now = losses(shares)
        if bool((before - now <= _TOLERANCE * now).all()):
            break
    return shares


def _descend(losses: Callable[[Tensor], Tensor], shares: Tensor, towards: Tensor, now: Tensor) -> Tensor:
    """The whole step of every class, or the half of it, a quarter and so on, that does not raise its loss."""
    size = torch.ones_like(now)
    for _ in range(_HALVINGS):
        rises = losses(shares + size[:, None] * towards) > now
        if not bool(rises.any()):
            break
        size = torch.where(rises, size / 2, size)
    return shares + torch.where(rises, 0, size)[:, None] * towards
