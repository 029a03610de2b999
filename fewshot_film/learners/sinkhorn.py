"""Optimal transport with entropic regularisation, by Sinkhorn's algorithm in the log domain.

Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013,
https://arxiv.org/abs/1306.0895: of all plans ``P`` with given row and column sums, the one that minimises

    sum_ij P_ij L_ij + 1 / lambda sum_ij P_ij log P_ij

is ``P_ij = u_i exp(-lambda L_ij) v_j``. Logarithms of ``u`` and ``v`` never overflow, whatever ``lambda`` is; a cost of
infinity forbids a cell.
"""

from __future__ import annotations

from torch import Tensor


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
        max_steps: and after so many steps at the latest, at least 1.

    Returns:
        Its exponential has the row sums up to rounding, the column sums up to the tolerance.
    """
    log_kernel, log_rows, log_columns = -penalty * cost, row_sums.log(), column_sums.log()
    rows = log_rows - log_kernel.logsumexp(-1)
    for _ in range(max_steps):
        before = rows
        columns = log_columns - (log_kernel + rows[..., :, None]).logsumexp(-2)
        rows = log_rows - (log_kernel + columns[..., None, :]).logsumexp(-1)
        if bool((rows - before).abs().amax() <= tolerance):
            break
    return log_kernel + rows[..., :, None] + columns[..., None, :]
