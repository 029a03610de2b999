"""The classifier: maps to an answer, by the strongest response anywhere in the image."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clevr.config.model import ReasonerConfig
from fewshot_film.film import append_coordinates


class AnswerClassifier(nn.Module):
    """A 1x1 convolution, normalisation, ReLU, the maximum over all positions, and two linear layers.

    The convolution's maps are never stored. Their mean and variance follow from those of its input, so
    normalisation is a factor on the weights; and the maximum needs nothing but the position where it is reached.

    Args:
        config: the network's settings.
        num_answers: how many answers there are.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 2.2.
    """

    def __init__(self, config: ReasonerConfig, num_answers: int) -> None:
        super().__init__()
        self.coordinates = config.coordinates and not config.positions  # answers do not depend on where things are
        self.conv = nn.Conv2d(config.maps + 2 * self.coordinates, config.classifier_maps, 1)
        self.norm = nn.BatchNorm2d(config.classifier_maps)
        self.mean_norm = nn.BatchNorm1d(config.maps) if config.pooling == "max_mean" else None
        pooled = config.classifier_maps + (0 if self.mean_norm is None else config.maps)
        self.answer = nn.Sequential(
            nn.Linear(pooled, config.classifier_dim),
            nn.BatchNorm1d(config.classifier_dim),
            nn.ReLU(inplace=True),
            nn.Linear(config.classifier_dim, num_answers),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_answers)`` of maps ``(B, C, H, W)``."""
        return self.judge(x, self.pool(x)[0])

    def judge(self, x: Tensor, responses: Tensor) -> Tensor:
        """Logits ``(B, num_answers)`` of maps ``(B, C, H, W)`` and their strongest responses from :meth:`pool`."""
        if self.mean_norm is not None:
            means = self.mean_norm(F.adaptive_avg_pool2d(x, 1).flatten(1))
            responses = torch.cat((responses, means), 1)
        logits: Tensor = self.answer(responses)
        return logits

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The strongest response of every map, and where it is.

        Args:
            x: maps, ``(B, C, H, W)``.

        Returns:
            Responses ``(B, classifier_maps)``, and their positions ``row * W + column``, same shape.
        """
        x = append_coordinates(x) if self.coordinates else x
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)
        mean, scale = self._statistics(rows)
        weight = self.conv.weight.flatten(1) * scale[:, None]
        strongest, positions = max_response(rows - mean, weight)
        return torch.relu(strongest + self._shift(mean, scale)), positions

    def _statistics(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What to take off the input, ``(C,)``, and the factor of every map, ``(classifier_maps,)``."""
        norm, weight = self.norm, self.conv.weight.flatten(1)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert self.conv.bias is not None
        if not self.training:
            return rows.new_zeros(rows.shape[2]), norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        flat = rows.flatten(0, 1)
        mean = flat.mean(0)
        centred = flat - mean
        covariance = centred.T @ centred / len(flat)
        variance = ((weight @ covariance) * weight).sum(1)
        with torch.no_grad():
            momentum = norm.momentum or 0.0
            norm.running_mean.lerp_(weight @ mean + self.conv.bias, momentum)
            norm.running_var.lerp_(variance * (len(flat) / max(len(flat) - 1, 1)), momentum)
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += 1
        return mean, norm.weight * torch.rsqrt(variance + norm.eps)

    def _shift(self, mean: Tensor, scale: Tensor) -> Tensor:
        """What normalisation adds to the centred responses."""
        assert self.norm.running_mean is not None
        assert self.conv.bias is not None
        if self.training:
            return self.norm.bias + 0 * self.conv.bias  # cancelled by the mean; kept in the graph for every process
        return self.norm.bias + (self.conv.bias - self.norm.running_mean) * scale


_CHUNK = 8
"""Images whose responses are computed at a time: they stay in the processor's cache."""


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
