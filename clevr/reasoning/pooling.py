"""Maps pooled over all positions; the largest response of linear maps without keeping the responses."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK = 8
"""Pictures whose responses are computed at a time: they stay in the processor's cache."""


def maxima_and_means(maps: Tensor) -> Tensor:
    """Maximum and mean of each map, ``(B, 2 * C)`` of ``(B, C, H, W)``."""
    return torch.cat((F.adaptive_max_pool2d(maps, 1), F.adaptive_avg_pool2d(maps, 1)), 1).flatten(1)


def max_response(rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Largest response of each map over the positions of each example, ``max_p <weight_o, rows_bp>``.

    The gradient reaches only the winning positions, so it costs a hundredth of that of the whole product.

    Args:
        rows: ``(B, P, C)``.
        weight: ``(O, C)``.

    Returns:
        The maxima ``(B, O)``, and the positions 0 to P - 1 that reach them, the first where several do.
    """
    maxima, positions = cast(Any, _MaxResponse).apply(rows, weight.to(rows.dtype))
    return maxima, positions


class _MaxResponse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        rows = rows.contiguous()
        best = [_best(chunk, weight) for chunk in rows.split(_CHUNK if rows.device.type == "cpu" else len(rows))]
        maxima, positions = (torch.cat(parts) for parts in zip(*best, strict=True))
        ctx.save_for_backward(rows, weight, positions)
        ctx.mark_non_differentiable(positions)
        return maxima.to(rows.dtype), positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        rows, weight, positions = ctx.saved_tensors
        batch, num_positions, channels = rows.shape
        flat = rows.reshape(-1, channels)
        first = num_positions * torch.arange(batch, device=rows.device)
        winners = (positions + first[:, None]).flatten()
        picked = flat.index_select(0, winners).view(batch, -1, channels)
        of_weight = (picked * grad[..., None]).sum(0)
        shares = (weight * grad[..., None]).view(-1, channels)
        of_rows = torch.zeros_like(flat).scatter_add_(0, winners[:, None].expand(-1, channels), shares)
        return of_rows.view_as(rows), of_weight


def _best(rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima and positions ``(b, O)``; max_pool2d over maps in channels-last layout is the quickest search."""
    responses = (rows @ weight.T).unsqueeze(1).permute(0, 3, 1, 2)
    maxima, positions = F.max_pool2d(responses, (1, rows.shape[1]), return_indices=True)
    return maxima.flatten(1), positions.flatten(1)
