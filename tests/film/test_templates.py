"""The generator that blends templates."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_film.film import ShapeError, Site, SiteError, Sites, TemplateGenerator
from tests.film.networks import random_modulations, seeded

SITES = Sites([Site("a", 2), Site("b", 1)])


def generator(count: int = 3) -> TemplateGenerator:
    torch.manual_seed(0)
    found = TemplateGenerator(4, SITES, count).double()
    with torch.no_grad():
        found.templates.normal_()
    return found


def codes(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 4, generator=seeded(seed), dtype=torch.float64)


def test_a_blend_by_hand():
    made = TemplateGenerator(1, SITES, 2).double()
    with torch.no_grad():
        made.templates.copy_(torch.tensor([[1.0, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60]]))
        made.blend.weight.copy_(torch.tensor([[0.0], [1.0], [0.0]]))
        made.blend.bias.zero_()
    values = made(torch.log(torch.tensor([[3.0]], dtype=torch.float64)))  # 1/5, 3/5, and 1/5 of the identity
    assert values["a"].gamma.tolist() == [[pytest.approx(1 + 6.2), pytest.approx(1 + 12.4)]]
    assert values["a"].beta.tolist() == [[pytest.approx(18.6), pytest.approx(24.8)]]
    assert values["b"].gamma.tolist() == [[pytest.approx(1 + 31)]]
    assert values["b"].beta.tolist() == [[pytest.approx(37.2)]]


def test_begins_at_the_identity():
    fresh = TemplateGenerator(4, SITES, 3)
    for values in (fresh(codes(2).float()), fresh.template(1)):
        assert all(torch.equal(each.gamma, torch.ones_like(each.gamma)) for each in values.values())
        assert all(torch.equal(each.beta, torch.zeros_like(each.beta)) for each in values.values())
    assert fresh.penalty() == 0


def test_the_penalty_is_the_mean_squared_distance_from_the_identity():
    made = TemplateGenerator(1, Sites([Site("a", 1)]), 2, penalty_weight=0.5)
    with torch.no_grad():
        made.templates.copy_(torch.tensor([[1.0, 2.0], [-3.0, 0.0]]))
    assert made.penalty() == 0.5 * (1 + 4 + 9) / 2


def test_a_sure_code_gives_its_template_or_the_identity():
    made = generator()
    for index, expected in ((1, made.template(1)), (3, SITES.identity(dtype=torch.float64))):
        with torch.no_grad():
            made.blend.bias.copy_(1000.0 * (torch.arange(4) == index))
        for name, values in made(codes(1)).items():
            torch.testing.assert_close(values, expected[name])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_every_value_lies_between_those_of_the_templates_and_the_identity(seed, count):
    made = generator(count)
    lowest, highest = 1 + made.templates.amin(0).clamp(max=0), 1 + made.templates.amax(0).clamp(min=0)
    for name, (gamma, _) in made(codes(4, seed)).items():
        low, high = (SITES.split(each[None])[name].gamma for each in (lowest, highest))
        assert ((gamma >= low - 1e-12) & (gamma <= high + 1e-12)).all()


def test_gradients():
    made = generator()
    names = [name for name, _ in made.named_parameters()]

    def flat(code, *values):
        found = torch.func.functional_call(made, dict(zip(names, values, strict=True)), (code,))
        return SITES.flatten(found)

    assert torch.autograd.gradcheck(flat, (codes(2).requires_grad_(), *made.parameters()))
    sum(each.sum() for each in made.template(2)["a"]).backward()
    assert made.templates.grad.abs().sum(1).gt(0).tolist() == [False, False, True]


def test_wrong_use():
    with pytest.raises(ValueError, match=re.escape("num_templates is 0; expected at least 1")):
        TemplateGenerator(4, SITES, 0)
    with pytest.raises(ShapeError, match=re.escape("the code has shape (4,), expected (B, 4)")):
        generator()(codes(1)[0])


def test_the_last_weight_is_of_values_found_otherwise():
    made, code = generator(), codes(2)
    otherwise = random_modulations(SITES, dtype=torch.float64)
    weights = made.scores(code).softmax(1)
    choices = [made.template(0), made.template(1), made.template(2), otherwise]
    values = made(code, otherwise)
    for name in SITES.names:
        for part in (0, 1):
            expected = sum(weights[:, index, None] * each[name][part] for index, each in enumerate(choices))
            torch.testing.assert_close(values[name][part], expected)
    torch.testing.assert_close(made(code, SITES.identity(dtype=torch.float64)), made(code))
    with pytest.raises(SiteError, match="flatten: 1 of 2 sites have no values, the first is 'b'"):
        made(code, {"a": otherwise["a"]})
