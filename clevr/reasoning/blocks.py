"""The residual block whose feature maps a question scales and shifts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.config.model import ReasonerConfig
from fewshot_film.film import FiLM, Modulation, coordinate_maps, film_relu


class ReasoningBlock(nn.Module):
    """A residual block with FiLM.

    A 1x1 convolution over maps and coordinates, ReLU, a 3x3 convolution, normalisation, FiLM, ReLU; the first
    activation is added to the last. With ``context``, the second convolution also gets the maxima and means of its
    input over the whole image, so that a position can be compared with one far away. With ``relations``, a quarter of
    its maps each also gets the sum over the objects to the left, behind, to the right and in front.

    The block works in two steps, so that a network can take the first once for an image and the second once for
    every question about it.

    Args:
        config: the network's settings.
        has_film: whether a question modulates this block.

    Source:
        Perez et al., "FiLM", AAAI 2018, figure 3; the positions and omissions are those of table 2.
    """

    def __init__(self, config: ReasonerConfig, has_film: bool) -> None:
        super().__init__()
        self.coordinates = config.coordinates
        self.residual = config.residual
        self.position = config.film_position if has_film else None
        self.entry = nn.Conv2d(config.maps + 2 * config.coordinates, config.maps, 1)
        self.conv = nn.Conv2d(config.maps, config.maps, config.block_kernel, padding=config.block_kernel // 2)
        # FiLM takes the place of the normalisation's own scale and shift
        self.norm = nn.BatchNorm2d(config.maps, affine=not has_film) if config.batch_norm else nn.Identity()
        self.film = FiLM(config.maps)
        self.context = nn.Linear(2 * config.maps, config.maps, bias=False) if config.context else None
        self.relations = nn.Conv2d(config.maps, config.maps, 1, bias=False) if config.relations else None

    @property
    def sees_question_first(self) -> bool:
        """Whether the question acts before the first convolution."""
        return self.position == "input"

    def convolve(
        self,
        x: Tensor,
        modulation: Modulation | None = None,
        shift: Tensor | None = None,
        coordinates: Tensor | None = None,
        relation_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Take the first step: both convolutions.

        Args:
            x: maps, ``(B, C, H, W)``.
            modulation: gamma and beta, used here if FiLM sits on the input.
            shift: what a question's code, joined to the input, adds to the first convolution, ``(B, C)``.
            coordinates: where the positions are, ``(B, 2, H, W)``; None: on a grid.
            relation_mask: which objects lie on which side of each position, ``(B, 4, W, W)``, for a block with
                relations (:func:`clevr.reasoning.trunk.spatial_relation_mask`).

        Returns:
            The first activation and the result of the second convolution, ``(B, C, H, W)`` each.
        """
        if self.position == "input":
            x = self.film(x, modulation)
        x = self._enter(x, coordinates) if self.coordinates else self.entry(x)
        if shift is not None:
            x = x + shift[:, :, None, None]
        first = torch.relu(x)
        second = self.conv(first)
        if self.context is not None:
            second = second + self.context(_maxima_and_means(first))[:, :, None, None]
        if self.relations is not None and relation_mask is not None:
            second = second + _gather(self.relations(first), relation_mask)
        return first, second

    def _enter(self, x: Tensor, coordinates: Tensor | None) -> Tensor:
        """The first convolution over maps and coordinates, each by its own part of the weights: nothing is joined."""
        maps, places = self.entry.weight.split((x.shape[1], 2), 1)
        if coordinates is None:
            coordinates = coordinate_maps(*x.shape[2:], device=x.device, dtype=x.dtype)[None]
        shift = F.conv2d(coordinates.contiguous(memory_format=torch.channels_last), places, self.entry.bias)
        return F.conv2d(x, maps) + shift

    def modulate(self, first: Tensor, x: Tensor, modulation: Modulation | None) -> Tensor:
        """Take the second step: normalisation, FiLM, ReLU, residual.

        Args:
            first: first activation, ``(B, C, H, W)``.
            x: result of the second convolution, same shape.
            modulation: gamma and beta, ``(B, C)`` each; None without FiLM.
        """
        if self.position == "conv":
            x = self.film(x, modulation)
        x = self.norm(x)
        x = film_relu(x, *modulation) if self.position == "norm" and modulation is not None else torch.relu(x)
        if self.position == "relu":
            x = self.film(x, modulation)
        x = first + x if self.residual else x
        return self.film(x, modulation) if self.position == "residual" else x


def _gather(maps: Tensor, relation_mask: Tensor) -> Tensor:
    """Sums of maps ``(B, C, 1, K)`` over the objects on each side ``(B, S, K, K)``; each side its share of them."""
    batch, channels, _, positions = maps.shape
    rows = maps.permute(0, 3, 1, 2).reshape(batch, positions, relation_mask.shape[1], -1)
    sums = relation_mask @ rows.transpose(1, 2)
    return sums.transpose(1, 2).reshape(batch, positions, 1, channels).permute(0, 3, 2, 1)


def _maxima_and_means(maps: Tensor) -> Tensor:
    """Maximum and mean of each map, ``(B, 2 * C)`` of ``(B, C, H, W)``."""
    return torch.cat((F.adaptive_max_pool2d(maps, 1), F.adaptive_avg_pool2d(maps, 1)), 1).flatten(1)
