from __future__ import annotations

import pickle
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.film import Modulation, ShapeError, Site, SiteError, Sites, film
from tests.film.networks import random_modulations, seeded

TWO = Sites([Site("a", 2, "s"), Site("b", 1, "t")])

some_sites = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(
    lambda widths: Sites(Site(f"site{i}", width) for i, width in enumerate(widths))
)


def test_flat_layout_by_hand() -> None:
    """Site after site, gamma before beta: what CLEVR's FiLM generator calls its output."""
    values = TWO.split(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
    assert [v.tolist() for v in values["a"]] == [[[1, 2]], [[3, 4]]]
    assert [v.tolist() for v in values["b"]] == [[[5]], [[6]]]
    assert TWO.flat_dim == 6
    assert TWO.num_channels == 3


@given(sites=some_sites, batch=st.integers(1, 4), seed=st.integers(0, 99))
def test_split_and_flatten_are_inverse(sites: Sites, batch: int, seed: int) -> None:
    flat = torch.randn(batch, sites.flat_dim, generator=seeded(seed))
    values = sites.split(flat)
    assert list(values) == list(sites.names)
    assert torch.equal(sites.flatten(values), flat)
    shuffled = dict(reversed(values.items()))
    assert torch.equal(sites.flatten(shuffled), flat)


def test_flatten_repeats_single_rows() -> None:
    one, three = random_modulations(TWO, 1), random_modulations(TWO, 3, seed=1)
    flat = TWO.flatten({"a": one["a"], "b": three["b"]})
    assert flat.shape == (3, 6)
    assert torch.equal(flat[:, :2], one["a"].gamma.expand(3, 2))


@given(sites=some_sites, batch=st.integers(1, 3))
def test_identity_changes_nothing(sites: Sites, batch: int) -> None:
    values = sites.identity(batch, dtype=torch.float64)
    for site in sites:
        x = torch.randn(batch, site.num_channels, 3, dtype=torch.float64, generator=seeded(0))
        assert values[site.name].gamma.shape == (batch, site.num_channels)
        assert torch.equal(film(x, *values[site.name]), x)


def test_sites_are_a_sequence_and_a_value() -> None:
    assert TWO[0] == Site("a", 2, "s")
    assert TWO[1:] == Sites([Site("b", 1, "t")])
    assert len(TWO) == 2
    assert Site("b", 1, "t") in TWO
    assert Sites(list(TWO)) == TWO
    assert Sites(reversed(TWO)) != TWO
    assert len({TWO, Sites(list(TWO))}) == 1
    assert pickle.loads(pickle.dumps(TWO)) == TWO
    assert repr(TWO) == "Sites([a: 2, b: 1])"


def test_by_stage_keeps_the_order() -> None:
    sites = Sites([Site("a", 1, "s"), Site("b", 2, "t"), Site("c", 3, "s")])
    assert {stage: members.names for stage, members in sites.by_stage().items()} == {
        "s": ("a", "c"),
        "t": ("b",),
    }


def test_sites_refuse_bad_lists() -> None:
    with pytest.raises(SiteError, match="site 'a' is listed twice, expected distinct names; drop one"):
        Sites([Site("a", 1), Site("a", 2)])
    with pytest.raises(SiteError, match="site 'a' has 0 channels, expected at least 1"):
        Sites([Site("a", 0)])


@pytest.mark.parametrize("shape", [(6,), (2, 5), (1, 2, 6)])
def test_split_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    message = f"the flat vector has shape {shape}, expected (B, 6): the values of 3 channels at 2 sites"
    with pytest.raises(ShapeError, match=re.escape(message)):
        TWO.split(torch.zeros(shape))


def test_flatten_refuses_incomplete_and_uneven_values() -> None:
    values = random_modulations(TWO, 2)
    with pytest.raises(
        SiteError, match=re.escape("1 of 2 sites have no values, the first is 'b'; start from sites.ide")
    ):
        TWO.flatten({"a": values["a"]})
    with pytest.raises(ShapeError, match=re.escape("sites have [2, 3] rows, expected one row count (or 1)")):
        TWO.flatten(values | {"b": random_modulations(TWO, 3)["b"]})


def test_check_names_what_does_not_fit() -> None:
    TWO.check({"a": Modulation(torch.ones(4, 2), torch.ones(1, 2))})
    with pytest.raises(SiteError, match="there is no site 'layer1'; the sites are: a, b"):
        TWO.check({"layer1": Modulation(torch.ones(1, 2), torch.ones(1, 2))})
    for gamma, beta in (((1, 3), (1, 2)), ((1, 2), (2,))):
        message = f"site 'a': gamma has shape {gamma} and beta {beta}, expected (B, 2) or (1, 2) each"
        with pytest.raises(ShapeError, match=re.escape(message)):
            TWO.check({"a": Modulation(torch.ones(gamma), torch.ones(beta))})
