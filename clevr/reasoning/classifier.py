"""The classifier: maps to an answer, by the strongest response anywhere in the picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.config import ReasonerConfig
from clevr.reasoning.pooling import max_response
from fewshot_film.film import append_coordinates


class Classifier(nn.Module):
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
