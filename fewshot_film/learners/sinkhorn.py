"""Optimal transport with entropic regularisation, by Sinkhorn's algorithm in the log domain.

Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013,
https://arxiv.org/abs/1306.0895: of all plans ``P`` with given row and column sums, the one that minimises

    sum_ij P_ij L_ij + 1 / lambda sum_ij P_ij log P_ij

is ``P_ij = u_i exp(-lambda L_ij) v_j``. Every few steps the logarithms of ``u`` and ``v`` are put into the kernel,
which then holds the plan so far: nothing overflows or vanishes, whatever ``lambda`` is (Schmitzer, "Stabilized Sparse
Scaling Algorithms for Entropy Regularized Transport Problems", SIAM J. Sci. Comput. 2019, algorithm 2), and the steps
between are products with a matrix. A cost of infinity forbids a cell.
"""

from __future__ import annotations

from torch import Tensor

STEPS_BETWEEN = 20
"""Steps before the factors are put into the kernel again."""


def sinkhorn(
    cost: Tensor, row_sums: Tensor, column_sums: Tensor, penalty: float, tolerance: float = 1e-3, max_steps: int = 1000
) -> Tensor:
    """Logarithm of the transport plan, ``(*, R, C)``.

    Args:
        cost: ``(*, R, C)``; infinite where nothing may be transported, in no row or column everywhere.
        row_sums: above 0, broadcast to ``(*, R)``.
        column_sums: above 0, broadcast to ``(*, C)``, with the same total.
        penalty: Cuturi's ``lambda``, above 0; the larger, the nearer to the unregularised plan.
        tolerance: the iteration ends once all rows' factors ``u_i`` change by less than this share in every task.
        max_steps: and after so many steps at the latest, up to a few more, at least 1.

    Returns:
        Its exponential has the row sums up to rounding, the column sums up to the tolerance.
    """
    log_plan = -penalty * cost
    log_plan = log_plan + (row_sums.log() - log_plan.logsumexp(-1))[..., :, None]
    for _ in range(0, max_steps, STEPS_BETWEEN):
        log_plan = log_plan + (column_sums.log() - log_plan.logsumexp(-2))[..., None, :]
        log_plan = log_plan + (row_sums.log() - log_plan.logsumexp(-1))[..., :, None]
        rows, columns, is_done = _factors(log_plan.exp(), row_sums, column_sums, tolerance)
        log_plan = log_plan + columns.log()[..., None, :] + rows.log()[..., :, None]
        if is_done:
            break
    return log_plan


def _factors(plan: Tensor, row_sums: Tensor, column_sums: Tensor, tolerance: float) -> tuple[Tensor, Tensor, bool]:
    """``u`` and ``v`` after ``STEPS_BETWEEN`` steps at most, from a plan with its row sums; whether they converged."""
    rows, columns = plan.new_ones(plan.shape[:-1]), plan.new_ones(plan.shape[:-2] + plan.shape[-1:])
    for _ in range(STEPS_BETWEEN):
        before = rows
        columns = column_sums / (plan.mT @ rows[..., None])[..., 0]
        rows = row_sums / (plan @ columns[..., None])[..., 0]
        if bool(((rows - before).abs() <= tolerance * rows).all()):
            return rows, columns, True
    return rows, columns, False
