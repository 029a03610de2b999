from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fewshot_film.film import FiLM, Modulation, ShapeError, append_coordinates, coordinate_maps, film, layer
from fewshot_film.film.layer import fits_one_pass
from tests.film.networks import seeded
from tests.reference import film_numpy

sizes = st.integers(1, 4)


def draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def test_gamma_1_is_the_identity() -> None:
    """The convention of the whole project: gamma is the full scale, not a distance from 1."""
    x = draw((2, 3, 4, 4), 0)
    assert torch.equal(film(x, torch.ones(1, 3), torch.zeros(1, 3)), x)
    assert torch.equal(film(x, torch.zeros(1, 3), torch.zeros(1, 3)), torch.zeros_like(x))


def test_film_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    gamma, beta = torch.tensor([[2.0, 0.0], [1.0, -1.0]]), torch.tensor([[0.5, 9.0], [0.0, 1.0]])
    expected = [[[2.5, 4.5], [9.0, 9.0]], [[5.0, 6.0], [-6.0, -7.0]]]
    assert film(x, gamma, beta).tolist() == expected


@given(
    batch=sizes,
    channels=sizes,
    trailing=st.lists(sizes, max_size=3),
    rows=st.booleans(),
    seed=st.integers(0, 99),
)
def test_film_equals_the_loop(batch: int, channels: int, trailing: list[int], rows: bool, seed: int) -> None:
    x = draw((batch, channels, *trailing), seed)
    gamma, beta = (draw((batch if rows else 1, channels), seed + i) for i in (1, 2))
    expected = film_numpy.film(x.numpy(), gamma.numpy(), beta.numpy())
    np.testing.assert_allclose(film(x, gamma, beta), expected, rtol=1e-14, atol=1e-14)
    if not rows:
        assert torch.equal(film(x, gamma[0], beta[0]), film(x, gamma, beta))


@given(batch=st.integers(2, 5), seed=st.integers(0, 99))
def test_a_batch_equals_one_by_one(batch: int, seed: int) -> None:
    x, gamma, beta = draw((batch, 3, 2, 2), seed), draw((batch, 3), seed + 1), draw((batch, 3), seed + 2)
    singles = [film(x[i : i + 1], gamma[i : i + 1], beta[i : i + 1]) for i in range(batch)]
    assert torch.equal(film(x, gamma, beta), torch.cat(singles))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("values_dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_film_keeps_the_dtype_of_the_features(dtype: torch.dtype, values_dtype: torch.dtype) -> None:
    x = draw((2, 3, 4), 0, torch.float32).to(dtype)
    gamma, beta = (
        draw((2, 3), 1, torch.float32).to(values_dtype),
        draw((2, 3), 2, torch.float32).to(values_dtype),
    )
    out = film(x, gamma, beta)
    assert out.dtype == dtype
    expected = film_numpy.film(x.double().numpy(), gamma.double().numpy(), beta.double().numpy())
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(min(dtype, values_dtype, key=bits), 1e-6)
    np.testing.assert_allclose(out.double(), expected, rtol=tolerance, atol=tolerance)


def bits(dtype: torch.dtype) -> float:
    return -torch.finfo(dtype).eps


def test_a_gamma_too_fine_for_bfloat16_still_acts_on_bfloat16_features() -> None:
    """1.003 is 1 in bfloat16: rounding gamma first would lose what a fresh CNAPS generator says."""
    x = torch.full((1, 1, 1), 200.0, dtype=torch.bfloat16)
    gamma = torch.tensor([1.003])
    assert gamma.bfloat16().item() == 1.0
    assert film(x, gamma, torch.zeros(1)).item() == 201.0


def test_film_keeps_channels_last_and_returns_a_new_tensor() -> None:
    x = draw((2, 3, 4, 4), 0).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    out = film(x, torch.ones(2, 3), torch.zeros(2, 3))
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.relu_()
    assert torch.equal(x, before)


@pytest.mark.parametrize("rows", [1, 2])
def test_film_gradients(rows: int) -> None:
    x, gamma, beta = (draw(s, i).requires_grad_() for i, s in enumerate([(2, 3, 2, 2), (rows, 3), (rows, 3)]))
    assert torch.autograd.gradcheck(film, (x, gamma, beta))
    assert torch.autograd.gradgradcheck(film, (x, gamma, beta))


@given(
    shape=st.lists(sizes, min_size=3, max_size=5), rows=st.integers(0, 2), layout=st.booleans(), seed=st.integers(0, 99)
)
def test_one_pass_is_a_product_and_a_sum(shape: list[int], rows: int, layout: bool, seed: int) -> None:
    """What is fast for some layouts and types gives what the formula gives, gradients included."""
    x = draw(tuple(shape), seed)
    if layout and x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    values_shape = (((shape[1],), (1, shape[1]), (shape[0], shape[1])))[rows]
    inputs = [x.requires_grad_(), *(draw(values_shape, seed + i).requires_grad_() for i in (1, 2))]
    weight = draw(tuple(shape), seed + 3)
    results = []
    for function in (at_once, lambda x, *values: values_like(x, values[0]) * x + values_like(x, values[1])):
        out = function(*inputs)
        results.append([out, *torch.autograd.grad((out * weight).sum(), inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    layouts = [torch.contiguous_format] + [torch.channels_last] * (x.ndim == 4)
    assert any(x.is_contiguous(memory_format=f) and results[0][0].is_contiguous(memory_format=f) for f in layouts)


def at_once(*inputs: Tensor) -> Tensor:
    """FiLM as of many features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "LEAST_FOR_ONE_PASS", 1)
        return film(*inputs)


def values_like(x: Tensor, values: Tensor) -> Tensor:
    return values.reshape(-1, x.shape[1], *[1] * (x.ndim - 2))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch's own use of it
@pytest.mark.parametrize("rows", [1, 2])
def test_one_pass_gradients(rows: int) -> None:
    inputs = [draw(s, i).requires_grad_() for i, s in enumerate([(2, 3, 2, 2), (rows, 3), (rows, 3)])]
    assert torch.autograd.gradcheck(at_once, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(at_once, inputs)


def test_one_pass_is_taken_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits_one_pass(torch.zeros(2, 16, 64, 64), torch.ones(16), torch.zeros(16), 1)
    assert not fits_one_pass(torch.zeros(2, 16, 63, 63), torch.ones(16), torch.zeros(16), 1)
    monkeypatch.setattr(layer, "LEAST_FOR_ONE_PASS", 1)
    x, one, two = draw((2, 3, 4, 4), 0), draw((1, 3), 1), draw((2, 3), 2)
    last = x.contiguous(memory_format=torch.channels_last)
    taken = {
        "plain": fits_one_pass(x, two, two, 1),
        "channels last, one row": fits_one_pass(last, one, one, 1),
        "channels last, rows": fits_one_pass(last, two, two, 1),
        "strided": fits_one_pass(x[:, :, ::2], two, two, 1),
        "tokens": fits_one_pass(x, draw((2, 4), 1), draw((2, 4), 1), 3),
        "per position": fits_one_pass(x, x, x, 1),
        "mixed": fits_one_pass(x.float(), two, two, 1),
        "empty": fits_one_pass(x[:0], one, one, 1),
    }
    assert [name for name, fits in taken.items() if fits] == ["plain", "channels last, one row"]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch's own use of it
def test_film_under_function_transforms() -> None:
    x, gamma, beta = draw((2, 3, 4), 0), draw((5, 1, 3), 1), draw((5, 1, 3), 2)
    tasks = torch.func.vmap(film, in_dims=(None, 0, 0))(x, gamma, beta)
    assert torch.allclose(tasks, torch.stack([film(x, g, b) for g, b in zip(gamma, beta, strict=True)]))
    shifts = torch.func.vmap(film, in_dims=(None, None, 0))(x, gamma[0], beta)
    assert torch.allclose(shifts, torch.stack([film(x, gamma[0], b) for b in beta]))
    forward_mode = torch.func.jacfwd(film, argnums=2)(x, gamma[0], beta[0])
    assert torch.allclose(forward_mode, torch.func.jacrev(film, argnums=2)(x, gamma[0], beta[0]))


@pytest.mark.parametrize(
    ("x", "gamma", "beta", "message"),
    [
        (
            (4,),
            (4,),
            (4,),
            "features have shape (4,), expected (B, C, *); add the batch axis with x.unsqueeze(0)",
        ),
        ((2, 3, 4), (2, 3), (3,), "gamma has shape (2, 3) and beta (3,), expected the same shape; expand"),
        (
            (2, 3, 4),
            (2, 4),
            (2, 4),
            "shape (2, 4) for features (2, 3, 4), expected (3,), (1, 3) or (2, 3); generate",
        ),
        (
            (2, 3, 4),
            (1, 2, 3),
            (1, 2, 3),
            "shape (1, 2, 3) for features (2, 3, 4), expected (3,), (1, 3) or (2, 3)",
        ),
        ((2, 3, 4), (), (), "shape () for features (2, 3, 4), expected (3,)"),
        (
            (4, 3, 2),
            (2, 3),
            (2, 3),
            "have 2 rows for a batch of 4, expected 1 or 4; pass one row to share it",
        ),
    ],
)
def test_film_refuses_shapes_that_do_not_fit(x: tuple, gamma: tuple, beta: tuple, message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        film(torch.zeros(x), torch.zeros(gamma), torch.zeros(beta))


def test_film_refuses_integers() -> None:
    with pytest.raises(ShapeError, match=r"features are torch.uint8, expected floating point; .* x.float\(\)"):
        film(torch.zeros(1, 2, dtype=torch.uint8), torch.ones(2), torch.zeros(2))


def test_the_layer_is_the_identity_until_it_is_given_values() -> None:
    layer, x = FiLM(3), draw((2, 3, 4), 0)
    values = Modulation(draw((2, 3), 1), draw((2, 3), 2))
    assert layer.modulation is None
    assert torch.equal(layer(x), x)
    assert torch.equal(layer(x, values), film(x, *values))
    assert torch.equal(layer(x), x)


def test_kept_values_serve_every_call_until_they_are_dropped() -> None:
    layer, x = FiLM(3), draw((2, 3, 4), 0)
    kept, given_ = (Modulation(draw((1, 3), seed), draw((1, 3), seed + 1)) for seed in (1, 3))
    layer.modulation = kept
    assert torch.equal(layer(x), film(x, *kept))
    assert torch.equal(layer(x, given_), film(x, *given_))
    assert torch.equal(copy.deepcopy(layer)(x), film(x, *kept))
    layer.modulation = None
    assert torch.equal(layer(x), x)


def test_kept_values_follow_to_and_stay_out_of_the_state_dict() -> None:
    layer = FiLM(3)
    layer.modulation = Modulation(torch.ones(1, 3), torch.zeros(1, 3))
    assert not layer.state_dict()
    assert not list(layer.parameters())
    layer.to(torch.float64)
    assert layer.modulation.gamma.dtype == layer.modulation.beta.dtype == torch.float64
    assert str(layer) == "FiLM(3)"


def test_kept_values_that_are_parameters_stay_those_of_whoever_trains_them() -> None:
    layer, own = FiLM(2), Modulation(torch.nn.Parameter(draw((1, 2), 0)), torch.nn.Parameter(draw((1, 2), 1)))
    layer.modulation = own
    layer(draw((3, 2), 2)).sum().backward()
    assert own.gamma.grad is not None
    assert not list(layer.state_dict())
    assert not list(layer.parameters())
    layer.modulation = Modulation(torch.ones(1, 2), torch.zeros(1, 2))
    layer.modulation = None
    assert layer.modulation is None


@pytest.mark.parametrize("shape", [(2, 4, 5), (3,)])
def test_the_layer_refuses_features_of_another_width(shape: tuple[int, ...]) -> None:
    message = f"FiLM(3): features have shape {shape}, expected (B, 3, *); build the layer with the width"
    with pytest.raises(ShapeError, match=re.escape(message)):
        FiLM(3)(torch.zeros(shape))


def test_coordinate_maps_by_hand() -> None:
    x, y = coordinate_maps(2, 3)
    assert x.tolist() == [[-1, 0, 1], [-1, 0, 1]]
    assert y.tolist() == [[-1, -1, -1], [1, 1, 1]]


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_coordinate_maps_equal_the_loop(height: int, width: int) -> None:
    maps = coordinate_maps(height, width, dtype=torch.float64)
    np.testing.assert_allclose(maps, film_numpy.coordinate_maps(height, width), atol=1e-15)


def test_append_coordinates() -> None:
    x = draw((2, 3, 4, 5), 0, torch.float32).to(torch.bfloat16)
    out = append_coordinates(x)
    assert out.dtype == torch.bfloat16
    assert out.shape == (2, 5, 4, 5)
    assert torch.equal(out[:, :3], x)
    for example in out:
        assert torch.equal(example[3:], coordinate_maps(4, 5, dtype=torch.bfloat16))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_appended_coordinates_keep_the_layout(layout: torch.memory_format) -> None:
    out = append_coordinates(torch.zeros(2, 3, 4, 5).contiguous(memory_format=layout))
    assert out.is_contiguous(memory_format=layout)


def test_coordinates_refuse_what_has_no_positions() -> None:
    with pytest.raises(ShapeError, match="got 0 x 3 positions, expected at least 1 x 1"):
        coordinate_maps(0, 3)
    with pytest.raises(ShapeError, match=re.escape("shape (2, 3, 4), expected (B, C, H, W)")):
        append_coordinates(torch.zeros(2, 3, 4))
