from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_film.film import ShapeError, film, film_relu, layer
from tests.film.networks import seeded


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 3), channels=st.integers(1, 4), side=st.integers(1, 4), seed=st.integers(0, 99))
def test_it_is_film_and_then_relu_with_the_same_gradients(batch: int, channels: int, side: int, seed: int) -> None:
    inputs = [draw(batch, channels, side, side + 1, seed=seed), *(draw(batch, channels, seed=seed + i) for i in (1, 2))]
    weight = draw(batch, channels, side, side + 1, seed=seed + 3)
    found, expected = [], []
    for function, results in ((film_relu, found), (lambda *values: torch.relu(film(*values)), expected)):
        leaves = [value.clone().requires_grad_() for value in inputs]
        result = function(*leaves)
        results += [result, *torch.autograd.grad((result * weight).sum(), leaves)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.fixture(params=[1, 2**40], ids=["at once", "in steps"], autouse=True)
def _of_many_features(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few features and many take different paths."""
    monkeypatch.setattr(layer, "LEAST_FOR_ONE_PASS", request.param)


def test_gradcheck() -> None:
    inputs = [value.requires_grad_() for value in (draw(2, 3, 2, 2), draw(2, 3, seed=1), draw(2, 3, seed=2))]
    assert torch.autograd.gradcheck(film_relu, inputs)
    assert torch.autograd.gradgradcheck(film_relu, inputs)


def test_within_transforms_of_torch_func() -> None:
    inputs = (draw(2, 3, 2, 2), draw(2, 3, seed=1), draw(2, 3, seed=2))
    functions = (lambda *values: film_relu(*values).sum(), lambda *values: torch.relu(film(*values)).sum())
    found, expected = (torch.func.grad(function, argnums=(0, 1, 2))(*inputs) for function in functions)
    torch.testing.assert_close(found, expected)


def test_the_layout_and_the_input_stay_as_they_are() -> None:
    x = draw(2, 4, 3, 3).to(memory_format=torch.channels_last)
    before = x.clone()
    result = film_relu(x, draw(2, 4, seed=1), draw(2, 4, seed=2))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3), (2, 4, 3, 3)])
@pytest.mark.parametrize("rows", [1, 2])
def test_every_shape_that_film_takes(shape: tuple[int, ...], rows: int) -> None:
    x, gamma, beta = draw(*shape), draw(rows, 4, seed=1), draw(rows, 4, seed=2)
    torch.testing.assert_close(film_relu(x, gamma, beta), torch.relu(film(x, gamma, beta)))


def test_half_precision_features_keep_their_type() -> None:
    x, gamma, beta = draw(2, 4, 3, 3).bfloat16(), draw(2, 4, seed=1).float(), draw(2, 4, seed=2).float()
    result = film_relu(x, gamma, beta)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, torch.relu(film(x, gamma, beta)))


def test_refused_as_by_film() -> None:
    with pytest.raises(ShapeError, match="gamma and beta have 3 rows for a batch of 2"):
        film_relu(draw(2, 4, 3, 3), draw(3, 4), draw(3, 4))
