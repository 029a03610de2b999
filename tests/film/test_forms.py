"""Every form of conditioning equals the equation of its paper, in double precision, with sound gradients."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fewshot_film.film import (
    FiLM,
    LinearGenerator,
    Modulation,
    ResidualGenerator,
    ShapeError,
    Site,
    SiteError,
    Sites,
    TemplateGenerator,
    film,
    inject_film,
)
from tests.film.networks import random_modulations, seeded
from tests.reference import film_numpy

EXACT = {"rtol": 1e-12, "atol": 1e-12}
sizes = st.integers(1, 4)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def equal(found: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, **EXACT)


@given(batch=sizes, tokens=st.lists(sizes, max_size=2), channels=sizes, rows=st.booleans(), seed=st.integers(0, 99))
def test_tokens(batch: int, tokens: list[int], channels: int, rows: bool, seed: int) -> None:
    """FiLM on an axis is FiLM on the second one, with the axes moved."""
    x = draw(batch, *tokens, channels, seed=seed)
    gamma, beta = (draw(batch if rows else 1, channels, seed=seed + i) for i in (1, 2))
    found = film(x, gamma, beta, axis=-1)
    moved = film_numpy.film(x.movedim(-1, 1).numpy(), gamma.numpy(), beta.numpy())
    equal(found.movedim(-1, 1), moved)
    assert torch.equal(found, film(x, gamma, beta, axis=x.ndim - 1))


def test_spade() -> None:
    x, gamma, beta = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1), draw(2, 3, 4, 5, seed=2)
    found = film(F.batch_norm(x, None, None, training=True), 1 + gamma, beta)
    equal(found, film_numpy.spade(x.numpy(), gamma.numpy(), beta.numpy(), 1e-5))


def test_one_map_can_serve_all_channels_or_the_whole_batch() -> None:
    x, mask, maps = draw(2, 3, 4, 5), draw(2, 1, 4, 5, seed=1), draw(1, 3, 4, 5, seed=2)
    assert torch.equal(film(x, mask), mask * x)
    assert torch.equal(film(x, maps, maps), maps * x + maps)


def test_scale_only() -> None:
    """Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning" (IA3), NeurIPS 2022, section 3.3: l_ff * act(W x)."""
    x, learned = draw(2, 5, 3), draw(3, seed=1)
    expected = np.stack([[token * learned.numpy() for token in example] for example in x.numpy()])
    equal(film(x, learned, axis=-1), expected)


def test_shift_only() -> None:
    x, beta = draw(2, 3, 4), draw(2, 3, seed=1)
    assert torch.equal(film(x, beta=beta), film(x, torch.ones(2, 3), beta))
    assert film(x, beta=beta).data_ptr() != x.data_ptr()


def test_ssf() -> None:
    """Lian et al., "Scaling & Shifting Your Features", NeurIPS 2022, eq. 3: gamma and beta learned, not generated."""
    x, gamma, beta = draw(2, 5, 3), draw(3, seed=1), draw(3, seed=2)
    expected = np.stack([[gamma.numpy() * token + beta.numpy() for token in example] for example in x.numpy()])
    equal(film(x, gamma, beta, axis=-1), expected)


def test_sigmoid_gate() -> None:
    """Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, eq. 4: every map times a number between 0 and 1."""
    x, code = draw(2, 3, 4, 4), draw(2, 3, seed=1)
    values = Sites([Site("gate", 3, form="sigmoid")]).from_residuals(code)["gate"]
    expected = film_numpy.film(x.numpy(), 1 / (1 + np.exp(-code.numpy())), np.zeros((2, 3)))
    equal(film(x, *values), expected)
    equal(film(x, values.gamma), expected)


def test_tanh_gate() -> None:
    """Alayrac et al., "Flamingo", NeurIPS 2022, section 2.2: x + tanh(alpha) * attention, alpha = 0 at the start."""
    x, branch, alpha = draw(2, 5, 3), draw(2, 5, 3, seed=1), draw(1, 3, seed=2)
    sites = Sites([Site("gate", 3, form="tanh")])
    expected = x.numpy() + np.tanh(alpha.numpy()) * branch.numpy()
    equal(x + film(branch, *sites.from_residuals(alpha)["gate"], axis=-1), expected)
    assert torch.equal(x + film(branch, *sites.from_residuals(0 * alpha)["gate"], axis=-1), x)


def test_ada_layer_norm() -> None:
    x, scale, shift = draw(2, 5, 3), draw(2, 3, seed=1), draw(2, 3, seed=2)
    found = film(F.layer_norm(x, (3,), eps=1e-6), 1 + scale, shift, axis=-1)
    equal(found, film_numpy.ada_layer_norm(x.numpy(), scale.numpy(), shift.numpy(), 1e-6))


def test_conditional_batch_norm() -> None:
    """The change of the pretrained gamma and beta is predicted, so they belong to FiLM and not to the norm."""
    x = draw(4, 3, 2, 5)
    norm = nn.BatchNorm2d(3, affine=False).double()
    gamma, beta, gamma_change, beta_change = draw(3, seed=1), draw(3, seed=2), draw(4, 3, seed=3), draw(4, 3, seed=4)
    found = film(norm(x), gamma + gamma_change, beta + beta_change)
    arguments = [part.numpy() for part in (x, gamma, beta, gamma_change, beta_change)]
    equal(found, film_numpy.conditional_batch_norm(*arguments, norm.eps))


def test_conditional_instance_norm() -> None:
    x, gammas, betas, styles = draw(4, 3, 4, 5), draw(6, 3, seed=1), draw(6, 3, seed=2), [5, 0, 5, 2]
    found = film(F.instance_norm(x), gammas[styles], betas[styles])
    equal(found, film_numpy.conditional_instance_norm(x.numpy(), gammas.numpy(), betas.numpy(), styles, 1e-5))


@pytest.mark.parametrize(
    ("form", "inputs"),
    [
        (lambda x, g, b: film(x, g, b, axis=-1), [(2, 3, 4), (2, 4), (2, 4)]),
        (film, [(2, 3, 2, 2), (2, 3, 2, 2), (2, 3, 2, 2)]),
        (film, [(2, 3, 2, 2), (2, 1, 2, 1), (2, 1, 2, 1)]),
        (lambda x, g: film(x, g), [(2, 3, 4), (1, 3)]),
        (lambda x, b: film(x, beta=b), [(2, 3, 4), (2, 3)]),
        (lambda x, r: film(x, *Sites([Site("a", 3, form="sigmoid")]).from_residuals(r)["a"]), [(2, 3, 4), (2, 3)]),
        (lambda x, r: film(x, *Sites([Site("a", 3, form="tanh")]).from_residuals(r)["a"]), [(2, 3, 4), (2, 3)]),
    ],
    ids=["tokens", "per position", "one map", "scale", "shift", "sigmoid", "tanh"],
)
def test_gradients(form: Callable[..., Tensor], inputs: list[tuple[int, ...]]) -> None:
    leaves = [draw(*shape, seed=i).requires_grad_() for i, shape in enumerate(inputs)]
    assert torch.autograd.gradcheck(form, leaves)
    assert torch.autograd.gradgradcheck(form, leaves)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch's own use of it
def test_function_transforms() -> None:
    x, gamma = draw(2, 5, 3), draw(4, 1, 3, seed=1)
    tasks = torch.func.vmap(lambda g: film(x, g, axis=-1))(gamma)
    torch.testing.assert_close(tasks, torch.stack([film(x, g, axis=-1) for g in gamma]))


def test_what_does_not_fit_is_refused() -> None:
    x = torch.zeros(2, 3, 4)
    for values, message in [
        (torch.ones(2, 3, 5), "shape (2, 3, 5) for features (2, 3, 4), expected (3,), (1, 3) or (2, 3); generate"),
        (torch.ones(3, 3, 4), "shape (3, 3, 4) for features (2, 3, 4)"),
    ]:
        with pytest.raises(ShapeError, match=re.escape(message)):
            film(x, values)
    with pytest.raises(ShapeError, match=re.escape("shape (2, 3) for features (2, 3, 4), expected (4,), (1, 4)")):
        film(x, torch.ones(2, 3), axis=-1)
    with pytest.raises(ShapeError, match="got neither gamma nor beta, expected one of them or both"):
        film(x)
    for axis in (0, 3, -3, -4):
        message = f"channels on axis {axis} of features (2, 3, 4), expected 1 to 2 or -1: axis 0 is the batch"
        with pytest.raises(ShapeError, match=re.escape(message)):
            film(x, torch.ones(4), axis=axis)


def test_the_layer_on_tokens() -> None:
    layer, x = FiLM(3, axis=-1), draw(2, 5, 3)
    values = Modulation(draw(2, 3, seed=1), draw(2, 3, seed=2))
    assert torch.equal(layer(x, values), film(x, *values, axis=-1))
    assert str(layer) == "FiLM(3, axis=-1)"
    message = "FiLM(3): features have shape (2, 3, 5), expected 3 channels on axis -1; build the layer with the width"
    with pytest.raises(ShapeError, match=re.escape(message)):
        layer(draw(2, 3, 5))
    per_position = Modulation(draw(2, 5, 3, seed=1), draw(2, 5, 3, seed=2))
    assert torch.equal(layer(x, per_position), per_position.gamma * x + per_position.beta)


MIXED = Sites(
    [Site("a", 2), Site("b", 3, form="scale"), Site("c", 1, form="shift"), Site("d", 2, form="gate"), Site("e", 1)]
)


def test_forms_take_the_numbers_they_need() -> None:
    flat = torch.arange(12.0)[None]
    assert MIXED.flat_dim == 12
    values = MIXED.split(flat)
    expected = {
        "a": ([0, 1], [2, 3]),
        "b": ([4, 5, 6], [0, 0, 0]),
        "c": ([1], [7]),
        "d": ([8, 9], [0, 0]),
        "e": ([10], [11]),
    }
    assert {name: tuple(part[0].tolist() for part in pair) for name, pair in values.items()} == expected
    assert torch.equal(MIXED.flatten(values), flat)
    residuals = MIXED.from_residuals(flat)
    assert residuals["a"].gamma.tolist() == [[1, 2]]
    assert residuals["b"].gamma.tolist() == [[5, 6, 7]]
    assert residuals["c"].beta.tolist() == [[7]]
    assert residuals["d"].gamma.tolist() == [[8, 9]]


def test_a_fresh_generator_starts_where_the_form_says() -> None:
    sites = Sites(Site(form, 2, form=form) for form in ("film", "scale", "shift", "gate", "tanh", "sigmoid"))
    values = LinearGenerator(3, sites, init="zero")(torch.randn(4, 3))
    starts = {name: (gamma.unique().item(), beta.unique().item()) for name, (gamma, beta) in values.items()}
    identity, closed = (1, 0), (0, 0)
    assert starts == {
        "film": identity, "scale": identity, "shift": identity, "gate": closed, "tanh": closed, "sigmoid": (0.5, 0),
    }  # fmt: skip


def test_forms_that_do_not_exist_or_cannot_be_generated_are_refused() -> None:
    with pytest.raises(SiteError, match="site 'a' has the form 'mul', expected one of film, scale, shift, gate"):
        Sites([Site("a", 2, form="mul")])
    for generator in (lambda: ResidualGenerator(3, MIXED), lambda: TemplateGenerator(3, MIXED, 2)):
        with pytest.raises(SiteError, match=r"for sites of the form 'film', and 'b' has the form 'scale'; use Linear"):
            generator()
    with pytest.raises(ShapeError, match="flatten: got one value per position, expected one per channel"):
        Sites([Site("a", 2)]).flatten({"a": Modulation(torch.ones(1, 2, 3), torch.zeros(1, 2, 3))})


class TransformerBlock(nn.Module):
    """As a ViT has it: two residual branches behind LayerNorms without affine parts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False, eps=1e-6) for _ in range(2))
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attn(normed, normed, normed)[0]
        return x + self.mlp(self.norm2(x))


def ada_ln_zero(width: int = 4) -> list[str | Site]:
    """Sites that make a transformer block a DiT block."""
    return ["norm1", Site("attn", width, form="gate"), "norm2", Site("mlp", width, axis=-1, form="gate")]


def test_ada_ln_zero() -> None:
    """Peebles and Xie, "Scalable Diffusion Models with Transformers", ICCV 2023, section 3.2 and figure 3."""
    block, x, code = TransformerBlock(4).double(), draw(3, 5, 4), draw(3, 6, seed=1)
    filmed = inject_film(block, ada_ln_zero())
    generator = LinearGenerator(6, filmed.sites, init="zero").double()
    assert torch.equal(filmed(x, generator(code)), x), "a fresh block is the identity"
    nn.init.normal_(generator.linear.weight)
    values = generator(code)
    gate = {name: values[name].gamma[:, None] for name in ("attn", "mlp")}
    norm = {name: [part.detach().numpy() for part in values[name]] for name in ("norm1", "norm2")}
    normed = torch.from_numpy(film_numpy.ada_layer_norm(x.numpy(), norm["norm1"][0] - 1, norm["norm1"][1], 1e-6))
    hidden = x + gate["attn"] * block.attn(normed, normed, normed)[0]
    scale, shift = norm["norm2"][0] - 1, norm["norm2"][1]
    normed = torch.from_numpy(film_numpy.ada_layer_norm(hidden.detach().numpy(), scale, shift, 1e-6))
    torch.testing.assert_close(filmed(x, values), hidden + gate["mlp"] * block.mlp(normed), **EXACT)


def test_a_layer_that_returns_a_tuple_is_modulated_in_a_trace_too() -> None:
    filmed, x = inject_film(TransformerBlock(4).double(), [Site("attn", 4)]), draw(3, 5, 4)
    values = random_modulations(filmed.sites, 3, dtype=torch.float64)
    expected = filmed(x, values)
    assert (expected - filmed(x)).abs().max() > 0.1
    torch.testing.assert_close(torch.fx.symbolic_trace(filmed)(x, values), expected, **EXACT)


def test_values_per_position_in_an_injected_network() -> None:
    filmed = inject_film(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double().eval(), ["1"])
    x, values = draw(2, 3, 5, 5), Modulation(draw(2, 4, 5, 5, seed=1), draw(2, 4, 5, 5, seed=2))
    torch.testing.assert_close(filmed(x, {"1": values}), values.gamma * filmed(x) + values.beta, **EXACT)


def test_a_site_can_say_where_its_channels_are() -> None:
    network = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU())).double()
    filmed, x = inject_film(network, [Site("0", 4, axis=-1)]), draw(2, 5, 3)
    values = random_modulations(filmed.sites, 2, dtype=torch.float64)
    gamma, beta = (part[:, None] for part in values["0"])
    torch.testing.assert_close(filmed(x, values), gamma * network(x) + beta, **EXACT)
