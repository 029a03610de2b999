from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fewshot_film.errors import InvalidValueError
from fewshot_film.film import (
    AutoregressiveGenerator,
    Generator,
    LinearGenerator,
    Modulations,
    ResidualGenerator,
    ShapeError,
    SharedGenerator,
    Site,
    SiteError,
    Sites,
    film,
    identity_distance,
)
from tests.film.networks import seeded
from tests.reference import film_numpy

SITES = Sites([Site("a", 3, "s"), Site("b", 3, "s"), Site("c", 5, "s"), Site("d", 5, "t")])
RESNET18 = Sites(
    Site(f"layer{stage}.{block}.bn{norm}", width, f"layer{stage}")
    for stage, width in enumerate((64, 128, 256, 512), start=1)
    for block in (0, 1)
    for norm in (1, 2)
)
GENERATORS = {
    "linear": LinearGenerator,
    "low rank": partial(LinearGenerator, rank=8),
    "shared": SharedGenerator,
    "residual": ResidualGenerator,
}


def code(rows: int, width: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=seeded(seed), dtype=torch.float64)


def enlarge_regularisers(generator: nn.Module) -> nn.Module:
    """A fresh generator is so near the identity that a wrong net would hide behind it."""
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("regulariser"):
                parameter.mul_(1000)
    return generator.double()


def layers(net: nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (module.weight.detach().double().numpy(), module.bias.detach().double().numpy())
        for module in net.modules()
        if isinstance(module, nn.Linear)
    ]


def assert_values_of_site_equal_the_oracle(values: nn.Module, hidden: np.ndarray, got: tuple) -> None:
    gamma, beta = film_numpy.values_of_site(
        hidden,
        layers(values.gamma_net),
        layers(values.beta_net),
        values.gamma_regulariser.detach().numpy(),
        values.beta_regulariser.detach().numpy(),
    )
    np.testing.assert_allclose(got[0].detach(), gamma, rtol=1e-12)
    np.testing.assert_allclose(got[1].detach(), beta, rtol=1e-12)


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_fresh_generator_is_near_the_identity_but_not_at_it(kind: str) -> None:
    values = GENERATORS[kind](64, RESNET18)(torch.randn(2, 64, generator=seeded(0)))
    assert list(values) == list(RESNET18.names)
    for site in RESNET18:
        gamma, beta = values[site.name]
        assert gamma.shape == beta.shape == (2, site.num_channels)
        assert 0 < (gamma - 1).abs().max() < 0.05
        assert 0 < beta.abs().max() < 0.05


@pytest.mark.parametrize("kind", GENERATORS)
@given(rows=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_a_batch_of_codes_equals_one_by_one(kind: str, rows: int, seed: int) -> None:
    generator = enlarge_regularisers(GENERATORS[kind](4, SITES))
    codes = code(rows, seed=seed)
    together = SITES.flatten(generator(codes))
    singles = torch.cat([SITES.flatten(generator(row[None])) for row in codes])
    torch.testing.assert_close(together, singles, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_parameter_and_the_code_get_a_gradient(kind: str) -> None:
    wide = Sites([Site("a", 16, "s"), Site("b", 16, "t")])  # in narrow ones all ReLUs may rest
    generator, codes = enlarge_regularisers(GENERATORS[kind](4, wide)), code(8).requires_grad_()
    wide.flatten(generator(codes)).square().sum().backward()
    for name, parameter in [*generator.named_parameters(), ("code", codes)]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", GENERATORS)
def test_generators_refuse_codes_of_another_shape(kind: str) -> None:
    generator = GENERATORS[kind](4, SITES)
    for shape in ((4,), (2, 5)):
        message = f"{type(generator).__name__}: the code has shape {shape}, expected (B, 4); a code for one task"
        with pytest.raises(ShapeError, match=re.escape(message)):
            generator(torch.zeros(shape))
    with pytest.raises(ShapeError, match="needs a code and sites, got code_dim=0 and 4 sites"):
        GENERATORS[kind](0, SITES)
    with pytest.raises(ShapeError, match="needs a code and sites, got code_dim=4 and 0 sites"):
        GENERATORS[kind](4, Sites([]))


def test_a_low_rank_weight_is_a_product_of_two() -> None:
    generator = LinearGenerator(64, RESNET18, rank=4, init="kaiming_uniform").double()
    assert sum(p.numel() for p in generator.parameters()) == 4 * 64 + (4 + 1) * RESNET18.flat_dim
    full = LinearGenerator(64, RESNET18).double()
    full.linear.weight.data = generator.linear.weight @ generator.compress.weight
    full.linear.bias.data = generator.linear.bias
    codes = code(3, 64)
    torch.testing.assert_close(RESNET18.flatten(generator(codes)), RESNET18.flatten(full(codes)))
    with pytest.raises(InvalidValueError, match="rank is 0, expected at least 1, or None for full rank"):
        LinearGenerator(64, RESNET18, rank=0)


def test_a_shared_generator_has_one_layer_per_width_and_form() -> None:
    """PixArt-alpha's adaLN-single: what all blocks share, plus an embedding of each."""
    sites = Sites([Site("a", 3), Site("b", 3), Site("gate", 3, form="gate"), Site("c", 5)])
    generator = SharedGenerator(4, sites).double()
    assert sum(p.numel() for p in generator.parameters()) == 4 * (6 + 3 + 10) + sites.flat_dim
    nn.init.normal_(generator.offsets)
    for layer in generator.shared:
        nn.init.normal_(layer.weight)
    codes, offsets = code(2), iter(generator.offsets.split([6, 6, 3, 10]))
    expected = torch.cat([codes @ generator.shared[i].weight.T + next(offsets) for i in (0, 0, 1, 2)], 1)
    values = generator(codes)
    torch.testing.assert_close(values["gate"].gamma, expected[:, 12:15])
    expected[:, [*range(3), *range(6, 9), *range(15, 20)]] += 1
    torch.testing.assert_close(sites.flatten(values), expected)


def test_the_distance_from_the_identity() -> None:
    values = LinearGenerator(4, SITES, init="kaiming_uniform").double()(code(3))
    flat, identity = SITES.flatten(values), SITES.flatten(SITES.identity(dtype=torch.float64))
    expected = (flat - identity).square().sum() / (3 * SITES.num_channels)
    torch.testing.assert_close(identity_distance(values), expected)
    assert identity_distance(SITES.identity(2)) == 0
    with pytest.raises(SiteError, match="there are no values, expected those of at least one site"):
        identity_distance({})


def test_linear_generator_is_one_linear_layer_in_the_flat_layout() -> None:
    generator = LinearGenerator(4, SITES, init="kaiming_uniform").double()
    assert sum(p.numel() for p in generator.parameters()) == 5 * SITES.flat_dim
    out = film_numpy.linear(code(3).numpy(), layers(generator)[0])
    start = 0
    for site in SITES:
        gamma, beta = generator(code(3))[site.name]
        np.testing.assert_allclose(gamma.detach(), 1 + out[:, start : start + site.num_channels])
        start += site.num_channels
        np.testing.assert_allclose(beta.detach(), out[:, start : start + site.num_channels])
        start += site.num_channels


def test_clevr_generator_has_the_published_size() -> None:
    """Four blocks of 128 maps from a GRU of 4096."""
    with torch.device("meta"):
        generator = LinearGenerator(4096, Sites(Site(f"block{i}", 128) for i in range(4)))
    assert sum(p.numel() for p in generator.parameters()) == 4_195_328


@pytest.mark.parametrize(
    ("init", "bound"), [("kaiming_uniform", (6 / 100) ** 0.5), ("xavier_uniform", (6 / (100 + 32)) ** 0.5)]
)
def test_linear_generator_can_start_as_clevr_did(init: str, bound: float) -> None:
    weight = LinearGenerator(100, SITES, init=init).linear.weight
    assert weight.shape == (32, 100)
    assert 0.99 * bound < weight.abs().max() <= bound


def test_a_linear_generator_learns_to_pick_the_map_that_the_code_names() -> None:
    """FiLM's use in one line: the code decides which feature map counts."""
    sites = Sites([Site("a", 3)])
    generator = LinearGenerator(3, sites)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.05)
    x, which = torch.randn(256, 3, generator=seeded(0)), torch.arange(256) % 3
    for _ in range(150):
        values = generator(torch.eye(3)[which])["a"]
        loss = (film(x, *values).sum(dim=1) - x[torch.arange(256), which]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-3
    torch.testing.assert_close(generator(torch.eye(3))["a"].gamma, torch.eye(3), rtol=0, atol=0.05)


def test_linear_generator_refuses_an_unknown_start() -> None:
    with pytest.raises(ValueError, match="init is 'zeros', expected one of near_identity, kaiming_uniform, xavier_un"):
        LinearGenerator(4, SITES, init="zeros")


def test_linear_generator_has_no_penalty() -> None:
    assert LinearGenerator(4, SITES).penalty() == 0


def test_cnaps_generators_have_the_published_sizes() -> None:
    with torch.device("meta"):
        plain = ResidualGenerator(64, RESNET18)
        autoregressive = AutoregressiveGenerator(64, RESNET18, (64, 64, 128, 256))
    assert sum(p.numel() for p in plain.parameters()) == 8_448_960
    assert sum(p.numel() for p in autoregressive.parameters()) == 13_244_608


def test_residual_generator_equals_the_oracle() -> None:
    generator = enlarge_regularisers(ResidualGenerator(4, SITES))
    values = generator(code(2))
    assert len(generator.shared) == 3, "one for the two narrow sites of s, one for its wide site, one for t"
    for site, site_values, group in zip(SITES, generator.values, (0, 0, 1, 2), strict=True):
        hidden = film_numpy.relu(film_numpy.linear(code(2).numpy(), layers(generator.shared[group])[0]))
        assert_values_of_site_equal_the_oracle(site_values, hidden, values[site.name])


@pytest.mark.parametrize("make", [ResidualGenerator, lambda d, s: AutoregressiveGenerator(d, s, (2, 2))])
def test_penalty_is_the_weighted_sum_of_squared_regularisers(make: type[ResidualGenerator]) -> None:
    generator = make(4, SITES)
    squares = [p.square().sum() for n, p in generator.named_parameters() if n.endswith("regulariser")]
    assert len(squares) == 2 * len(SITES)
    torch.testing.assert_close(generator.penalty(), 0.001 * sum(squares))
    generator.penalty_weight = 2.0
    generator.penalty().backward()
    regulariser = generator.values[0].gamma_regulariser
    torch.testing.assert_close(regulariser.grad, 4 * regulariser.detach())


@pytest.mark.parametrize("make", [ResidualGenerator, lambda d, s: AutoregressiveGenerator(d, s, (2, 2))])
def test_every_regulariser_is_its_own(make: type[ResidualGenerator]) -> None:
    """In the reference those of a block share a storage, which safetensors refuses and a GPU copy unties."""
    parameters = list(make(4, SITES).parameters())
    assert len({p.untyped_storage().data_ptr() for p in parameters}) == len(parameters)


def test_regularisers_start_at_a_thousandth() -> None:
    generator = ResidualGenerator(4, Sites([Site("a", 500)]))
    for regulariser in (generator.values[0].gamma_regulariser, generator.values[0].beta_regulariser):
        assert 0.0008 < regulariser.std() < 0.0012
        assert regulariser.mean().abs() < 0.0003


@pytest.mark.parametrize(
    "make",
    [
        lambda d, s, std: ResidualGenerator(d, s, regulariser_std=std),
        lambda d, s, std: AutoregressiveGenerator(d, s, (2, 2), regulariser_std=std),
    ],
)
def test_regularisers_start_as_far_out_as_asked_for(make: Callable[..., ResidualGenerator]) -> None:
    torch.manual_seed(0)
    near = make(4, SITES, 0.001)
    torch.manual_seed(0)
    far = make(4, SITES, 0.1)
    for one, other in zip(near.values, far.values, strict=True):
        torch.testing.assert_close(100 * one.gamma_regulariser, other.gamma_regulariser)
        torch.testing.assert_close(100 * one.beta_regulariser, other.beta_regulariser)


def test_generators_can_be_copied_and_stored() -> None:
    generator = ResidualGenerator(4, SITES).double()
    other = ResidualGenerator(4, SITES).double()
    other.load_state_dict(generator.state_dict())
    expected = SITES.flatten(generator(code(1)))
    for twin in (other, copy.deepcopy(generator)):
        assert torch.equal(SITES.flatten(twin(code(1))), expected)


def test_a_generator_of_ones_own() -> None:
    class Constant(Generator):
        def forward(self, code: Tensor) -> Modulations:
            return self.sites.identity(len(code))

        def penalty(self) -> Tensor:
            return torch.zeros(())

    assert Constant(4, SITES)(code(2))["a"].gamma.shape == (2, 3)
    with pytest.raises(TypeError, match="abstract"):
        Generator(4, SITES)
