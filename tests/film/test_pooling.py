from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fewshot_film.film import AttentionPooling, ShapeError
from tests.film.networks import seeded

sizes = st.integers(1, 4)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def learned(dim: int, num_queries: int) -> AttentionPooling:
    pool = AttentionPooling(dim, num_queries).double()
    nn.init.normal_(pool.queries, generator=seeded(9))
    return pool


def by_hand(tokens: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """One sequence, one query after the other."""
    parts = []
    for query in queries:
        weights = np.exp([token @ query / np.sqrt(len(query)) for token in tokens])
        parts.append(sum(weight * token for weight, token in zip(weights / weights.sum(), tokens, strict=True)))
    return np.concatenate(parts)


@given(lengths=st.lists(sizes, min_size=1, max_size=3), dim=sizes, num_queries=sizes, seed=st.integers(0, 99))
def test_padded_sequences_equal_one_by_one(lengths: list[int], dim: int, num_queries: int, seed: int) -> None:
    pool, tokens = learned(dim, num_queries), draw(len(lengths), max(lengths) + 1, dim, seed=seed)
    mask = torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]
    tokens[~mask] = torch.nan
    found = pool(tokens, mask)
    assert found.shape == (len(lengths), pool.code_dim)
    for row, sequence, length in zip(found, tokens, lengths, strict=True):
        expected = by_hand(sequence[:length].numpy(), pool.queries.detach().numpy())
        np.testing.assert_allclose(row.detach(), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(pool(sequence[None, :length])[0], row, rtol=1e-12, atol=1e-12)


def test_a_fresh_one_averages_and_nothing_is_zero() -> None:
    pool, tokens = AttentionPooling(3).double(), draw(2, 4, 3)
    torch.testing.assert_close(pool(tokens), tokens.mean(1))
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    found = pool(tokens, mask)
    torch.testing.assert_close(found[0], tokens[0, :2].mean(0))
    assert not found[1].any()


def test_gradients_stay_finite_behind_padding() -> None:
    pool, tokens = learned(3, 2), draw(2, 4, 3).requires_grad_()
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    assert torch.autograd.gradcheck(lambda t: pool(t, mask), tokens)
    with_padding = tokens.detach().masked_fill(~mask[..., None], torch.nan)
    pool(with_padding, mask).sum().backward()
    assert pool.queries.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(2, 4), (2, 5, 4), (2, 4, 3, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=re.escape(f"tokens have shape {shape}, expected (B, T, 3)")):
        AttentionPooling(3)(torch.zeros(shape))


def test_masks_and_sizes_that_do_not_fit_are_refused() -> None:
    for mask in (torch.ones(2, 4), torch.ones(2, 5, dtype=torch.bool)):
        message = f"the mask has shape {tuple(mask.shape)} and dtype {mask.dtype}, expected (2, 4) of bool"
        with pytest.raises(ShapeError, match=re.escape(message)):
            AttentionPooling(3)(torch.zeros(2, 4, 3), mask)
    with pytest.raises(ShapeError, match="got dim=0 and num_queries=1, expected at least 1 each"):
        AttentionPooling(0)
