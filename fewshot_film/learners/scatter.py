"""Inner products in the metric of a regularised covariance, which is never inverted as a D x D matrix where N < D.

For rows ``X``, ``(N, D)``, and a weight ``s`` the metric is ``<u, v> = u^T (I + s X^T X)^-1 v``. With few rows it is
worked out in their span, by ``(I + s X^T X)^-1 = I - s X^T (I + s G)^-1 X`` with the N x N matrix ``G = X X^T`` (the
dual form; N < D), otherwise as it stands (the primal form). One weight takes a Cholesky factor of that matrix; one
eigendecomposition serves any number of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fewshot_film.learners.support import SupportError

Weight = float | Tensor
"""A factor, or a scalar tensor where a gradient goes into it."""


LARGEST = 2.0**20
"""Largest trace of ``s X^T X`` in float32: beyond, rounding outweighs the 1 that the identity adds to eigenvalues."""
LARGEST_SQUARES = 2.0**50
"""Largest trace of ``X^T X`` in float32, whose products must not overflow."""


def needs_double(rows: Tensor, *weights: Weight) -> bool:
    """Whether float32 is too coarse for the metrics of rows ``(N, D)`` with these weights."""
    if rows.dtype != torch.float32:
        return False
    squares = float(rows.detach().square().sum())
    largest = max(float(weight.detach() if isinstance(weight, Tensor) else weight) for weight in weights)
    return not (squares <= LARGEST_SQUARES and squares * largest <= LARGEST)


def cholesky(matrix: Tensor) -> Tensor:
    """Cholesky factor of matrices ``(*, R, R)``.

    Raises:
        SupportError: rounding leaves them indefinite, in double precision too.
    """
    try:
        factor: Tensor = torch.linalg.cholesky(matrix)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise SupportError(
            f"the support features' covariances cannot be inverted in {str(matrix.dtype).removeprefix('torch.')}: the "
            "features are too large, or not finite; use other weights of the network, or scale its features "
            "(backbone.feature_norms)"
        ) from error
    return factor


@dataclass(frozen=True)
class Projection:
    """Vectors as the metrics of one :class:`Scatter` take them; V of them."""

    vectors: Tensor
    """``(V, D)``."""
    coordinates: Tensor
    """``(R, V)``: inner products with the rows (dual) or the vectors themselves (primal), in the eigenbasis if any."""

    @cached_property
    def norms(self) -> Tensor:
        """Squared lengths of the vectors, ``(V,)``."""
        return self.vectors.square().sum(1)

    @cached_property
    def squared_coordinates(self) -> Tensor:
        """Squares of the coordinates, ``(R, V)``."""
        return self.coordinates.square()


class Scatter:
    """Rows ``X``, and what all metrics of their scatter ``X^T X`` share.

    Args:
        rows: ``(N, D)``.
        decompose: find the eigendecomposition that serves every weight. Its gradient is ill-conditioned where
            eigenvalues are close: not for rows that require one.

    Attributes:
        dual: whether there are fewer rows than features.
        matrix: ``X X^T`` (dual) or ``X^T X`` (primal), ``(R, R)``.
        values: its eigenvalues, ``(R,)``, and
        basis: its eigenvectors, ``(R, R)``; None unless decomposed.
        left: where ``c`` are the coordinates of a vector ``v``, ``left @ (I + weight * matrix)^-1 c`` are the inner
            products ``<x_i, v>``; ``(N, R)``, None for the identity.
        rows_coordinates: coordinates of the rows themselves, ``(N, R)``.
    """

    def __init__(self, rows: Tensor, *, decompose: bool = False) -> None:
        self.rows = rows
        self.dual = rows.shape[0] < rows.shape[1]
        self.matrix = rows @ rows.T if self.dual else rows.T @ rows
        self.basis: Tensor | None = None
        self.values: Tensor | None = None
        self.left: Tensor | None = None if self.dual else rows
        self.rows_coordinates = self.matrix if self.dual else rows
        if decompose:
            self.values, self.basis = torch.linalg.eigh(self.matrix)
            self.left = self.basis if self.dual else rows @ self.basis
            self.rows_coordinates = self.values * self.basis if self.dual else self.left

    def project(self, vectors: Tensor) -> Projection:
        """Prepare vectors ``(V, D)`` for any metric."""
        coordinates = self.rows @ vectors.T if self.dual else vectors.T
        return Projection(vectors, coordinates if self.basis is None else self.basis.T @ coordinates)

    def metric(self, weight: Weight) -> Metric:
        """The metric ``(I + weight * X^T X)^-1``; the weight is at least 0."""
        if self.values is not None:
            return Metric(self, weight, 1 / (1 + weight * self.values.clamp_min(0)))
        factor = self.factor(weight)
        return Metric(self, weight, torch.cholesky_inverse(factor), factor)

    def factor(self, weight: Weight) -> Tensor:
        """Cholesky factor of ``I + weight * G`` (dual) or ``I + weight * X^T X`` (primal)."""
        regularised = weight * self.matrix
        regularised.diagonal().add_(1)
        return cholesky(regularised)

    def metrics(self, weights: Sequence[Weight]) -> list[Metric]:
        """One metric per weight; equal weights share one."""
        found: dict[object, Metric] = {}
        for weight in weights:
            if _key(weight) not in found:
                found[_key(weight)] = self.metric(weight)
        return [found[_key(weight)] for weight in weights]


@dataclass(frozen=True)
class Metric:
    """``<u, v> = u^T (I + weight * X^T X)^-1 v``; made by :meth:`Scatter.metric`."""

    scatter: Scatter
    weight: Weight
    inverse: Tensor
    """``(R, R)``, or its diagonal ``(R,)`` in the eigenbasis."""
    cholesky: Tensor | None = None
    """See :meth:`Scatter.factor`; None in the eigenbasis."""

    @property
    def logdet(self) -> Tensor:
        """Logarithm of the determinant of ``I + weight * X^T X``, a scalar."""
        if self.cholesky is None:
            return -self.inverse.log().sum()
        return 2 * self.cholesky.diagonal().log().sum()

    def factor(self) -> Tensor:
        """See :meth:`Scatter.factor`."""
        return self.scatter.factor(self.weight) if self.cholesky is None else self.cholesky

    def within(self, groups: Tensor) -> Tensor:
        """``<x_i, x_j>`` between the rows of each group, ``(K, n, n)`` for indices ``(K, n)``."""
        return self._left(groups) @ self.scatter.rows_coordinates[groups].mT

    def against(self, groups: Tensor, queries: Projection) -> tuple[Tensor, Tensor]:
        """``<x_i, q>`` for the rows of each group, ``(K, n, V)``, and ``<q, q>``, ``(V,)``."""
        if self.inverse.ndim == 1:
            return self._left(groups) @ queries.coordinates, self.squares(queries)
        solved = self.inverse @ queries.coordinates
        left = self.scatter.left
        cross = solved[groups] if left is None else left[groups] @ solved
        return cross, self._square(queries, (queries.coordinates * solved).sum(0))

    def inner(self, left: Projection, right: Projection) -> Tensor:
        """``<u, v>`` between any vectors, ``(len(left), len(right))``."""
        inside = left.coordinates.T @ self._solve(right.coordinates)
        return left.vectors @ right.vectors.T - self.weight * inside if self.scatter.dual else inside

    def squares(self, vectors: Projection) -> Tensor:
        """``<v, v>``, ``(V,)``."""
        if self.inverse.ndim == 1:
            return self._square(vectors, self.inverse @ vectors.squared_coordinates)
        return self._square(vectors, (vectors.coordinates * self._solve(vectors.coordinates)).sum(0))

    def _square(self, vectors: Projection, inside: Tensor) -> Tensor:
        return vectors.norms - self.weight * inside if self.scatter.dual else inside

    def _left(self, groups: Tensor) -> Tensor:
        """What gives ``<x_i, v>`` from the coordinates of ``v``, ``(K, n, R)``."""
        left = self.scatter.left
        if left is None:
            return self.inverse[groups]
        return left[groups] * self.inverse if self.inverse.ndim == 1 else left[groups] @ self.inverse

    def _solve(self, coordinates: Tensor) -> Tensor:
        return self.inverse[:, None] * coordinates if self.inverse.ndim == 1 else self.inverse @ coordinates


def _key(weight: Weight) -> object:
    return id(weight) if isinstance(weight, Tensor) else weight
