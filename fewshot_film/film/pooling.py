"""From a sequence to the conditioning vector that generators take."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fewshot_film.film.errors import ShapeError


class AttentionPooling(nn.Module):
    """Weighted means of a sequence's tokens: ``softmax(x q / sqrt(D))^T x`` for each learned query ``q``.

    A fresh one averages: the queries start at 0.

    Args:
        dim: width ``D`` of the tokens.
        num_queries: how many means; the result is as many times as wide.

    Raises:
        ShapeError: ``dim`` or ``num_queries`` is below 1.

    Example:
        >>> pool = AttentionPooling(8)
        >>> generator = LinearGenerator(pool.code_dim, Sites([Site("norm", 16)]))
        >>> words, known = torch.ones(2, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        >>> generator(pool(words, known))["norm"].gamma.shape
        torch.Size([2, 16])

    Source:
        Lin et al., "A Structured Self-attentive Sentence Embedding", ICLR 2017, eq. 6, https://arxiv.org/abs/1703.03130,
        without its hidden layer
    """

    def __init__(self, dim: int, num_queries: int = 1) -> None:
        super().__init__()
        if dim < 1 or num_queries < 1:
            raise ShapeError(f"AttentionPooling: got dim={dim} and num_queries={num_queries}, expected at least 1 each")
        self.queries = nn.Parameter(torch.zeros(num_queries, dim))

    @property
    def code_dim(self) -> int:
        """Width of the result."""
        return self.queries.numel()

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool sequences.

        Args:
            tokens: ``(B, T, D)``.
            mask: ``(B, T)``, True for the tokens of a sequence and False for padding. None: all are tokens.

        Returns:
            ``(B, num_queries * D)``; zeros for a sequence without tokens.

        Raises:
            ShapeError: tokens or mask have another shape, or the mask is not of bool.
        """
        dim = self.queries.shape[1]
        if tokens.ndim != 3 or tokens.shape[2] != dim:
            raise ShapeError(f"AttentionPooling: tokens have shape {tuple(tokens.shape)}, expected (B, T, {dim})")
        if mask is None:
            weights = self._scores(tokens).softmax(1)
        else:
            if mask.shape != tokens.shape[:2] or mask.dtype != torch.bool:
                raise ShapeError(
                    f"AttentionPooling: the mask has shape {tuple(mask.shape)} and dtype {mask.dtype}, expected "
                    f"{tuple(tokens.shape[:2])} of bool: True for tokens, False for padding"
                )
            padding = ~mask[..., None]
            tokens = tokens.masked_fill(padding, 0)  # it may hold anything, NaN included
            scores = self._scores(tokens)
            weights = scores.masked_fill(padding, torch.finfo(scores.dtype).min).softmax(1).masked_fill(padding, 0)
        return (weights.transpose(1, 2) @ tokens).flatten(1)

    def _scores(self, tokens: Tensor) -> Tensor:
        return tokens @ self.queries.T / math.sqrt(tokens.shape[2])
