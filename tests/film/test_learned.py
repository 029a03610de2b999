from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from fewshot_film.errors import InvalidValueError
from fewshot_film.film import (
    LearnedModulations,
    LinearGenerator,
    Modulation,
    ShapeError,
    Site,
    SiteError,
    Sites,
    film_parameters,
    inject_film,
)
from tests.film.networks import TINY_SITES, images, seeded, tiny

SITES = Sites([Site("a", 3), Site("b", 2, form="scale"), Site("c", 2, form="gate")])


def filled(num_rows: int, sites: Sites = SITES) -> LearnedModulations:
    learned = LearnedModulations(sites, num_rows).double()
    nn.init.normal_(learned.residuals, generator=seeded(0))
    return learned


def test_it_starts_where_the_forms_say() -> None:
    values = LearnedModulations(SITES)()
    assert [values[name].gamma.unique().tolist() for name in "abc"] == [[1], [1], [0]]
    assert not any(values[name].beta.any() for name in "abc")


def test_rows_are_chosen_by_index() -> None:
    learned, rows = filled(5), torch.tensor([4, 0, 4])
    chosen, every = learned(rows), learned()
    for name in SITES.names:
        for part, table in zip(chosen[name], every[name], strict=True):
            assert torch.equal(part, table[rows])
    assert str(learned) == "LearnedModulations(5 x 10)"


def test_gradients_reach_the_chosen_rows_alone() -> None:
    learned, rows = filled(4), torch.tensor([2, 0, 2])

    def flat(residuals: torch.Tensor) -> torch.Tensor:
        values = torch.func.functional_call(learned, {"residuals": residuals}, (rows,))
        return SITES.flatten(values)

    assert torch.autograd.gradcheck(flat, learned.residuals)
    flat(learned.residuals).sum().backward()
    assert learned.residuals.grad[[1, 3]].abs().sum() == 0
    torch.testing.assert_close(learned.residuals.grad[2], 2 * learned.residuals.grad[0])


def test_many_tasks_in_one_batch_equal_one_by_one() -> None:
    """1,000 tasks' values: one gather of rows from the flat layout serves a batch of any of them."""
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(6)
    table = filmed.sites.flatten(filled(1000, filmed.sites)())
    tasks = torch.tensor([999, 3, 3, 512, 0, 77])
    together = filmed(x, filmed.sites.split(table[tasks]))
    singles = [filmed(x[i, None], filmed.sites.split(table[task, None])) for i, task in enumerate(tasks)]
    torch.testing.assert_close(together, torch.cat(singles), rtol=1e-12, atol=1e-12)


def test_the_penalty_is_the_squared_distance_from_the_start() -> None:
    learned = filled(3)
    assert LearnedModulations(SITES).penalty() == 0
    torch.testing.assert_close(learned.penalty(), learned.residuals.square().sum() / 3)


def test_what_does_not_fit_is_refused() -> None:
    learned = LearnedModulations(SITES, 2)
    for rows in (torch.tensor(1), torch.tensor([[1]]), torch.tensor([1.0]), torch.tensor([True])):
        message = f"rows have shape {tuple(rows.shape)} and dtype {rows.dtype}, expected (B,) of int64"
        with pytest.raises(ShapeError, match=re.escape(message)):
            learned(rows)
    with pytest.raises(InvalidValueError, match="num_rows is 0, expected at least 1"):
        LearnedModulations(SITES, 0)
    with pytest.raises(SiteError, match="there are no sites, expected at least one"):
        LearnedModulations(Sites([]))


class Model(nn.Module):
    """A network, a generator, and values of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.filmed = inject_film(tiny(), [TINY_SITES])
        self.generator = LinearGenerator(4, self.filmed.sites).double()
        self.values = LearnedModulations(self.filmed.sites).double()
        self.same_again = self.values


def test_film_parameters_are_those_of_generators_and_learned_values() -> None:
    model = Model()
    found = film_parameters(model)
    expected = [*model.generator.parameters(), *model.values.parameters()]
    assert {id(parameter) for parameter in found} == {id(parameter) for parameter in expected}
    assert len(found) == len(expected)
    assert all(parameter.requires_grad for parameter in model.parameters())
    film_parameters(model, freeze_others=True)
    assert not any(parameter.requires_grad for parameter in model.filmed.parameters())
    assert all(parameter.requires_grad for parameter in expected)
    with pytest.raises(SiteError, match=r"FiLMedNetwork holds no generator and no LearnedModulations, .* of the model"):
        film_parameters(model.filmed)


def test_fine_tuning_film_alone_finds_the_values_of_another_network() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(16)
    with torch.no_grad():
        wanted = filmed(x, {"layer1.bn2": Modulation(torch.full((1, 4), 1.5), torch.full((1, 4), -0.3))})
    values = LearnedModulations(filmed.sites).double()
    before = {name: tensor.clone() for name, tensor in filmed.network.state_dict().items()}
    optimizer = torch.optim.Adam(film_parameters(nn.ModuleList([filmed, values]), freeze_others=True), 0.02)
    losses = []
    for _ in range(150):
        loss = (filmed(x, values()) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in filmed.network.state_dict().items())
