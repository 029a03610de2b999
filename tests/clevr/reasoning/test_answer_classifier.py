from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.reasoning.answer_classifier import max_response


@settings(max_examples=30)
@given(batch=st.integers(1, 20), positions=st.integers(1, 6), seed=st.integers(0, 99))
def test_it_is_the_product_and_then_the_maximum(batch: int, positions: int, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    rows = torch.randn(batch, positions, 3, generator=draws, dtype=torch.float64).requires_grad_()
    weight = torch.randn(4, 3, generator=draws, dtype=torch.float64).requires_grad_()
    maxima, where = max_response(rows, weight)
    expected, expected_where = (rows @ weight.T).max(1)
    torch.testing.assert_close(maxima, expected, rtol=1e-13, atol=1e-13)
    assert torch.equal(where, expected_where)
    scale = torch.randn(batch, 4, generator=draws, dtype=torch.float64)
    ours = torch.autograd.grad((maxima * scale).sum(), [rows, weight])
    theirs = torch.autograd.grad((expected * scale).sum(), [rows, weight])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_of_equal_responses_the_first_wins() -> None:
    maxima, where = max_response(torch.ones(1, 3, 2), torch.ones(1, 2))
    assert (maxima.item(), where.item()) == (2, 0)
