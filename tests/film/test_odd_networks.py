"""What people do to a network with FiLM, or have in it, that once changed its answers without an error."""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from fewshot_film.film import FiLMedNetwork, ShapeError, Site, SiteError, inject_film
from tests.film.networks import TINY_SITES, images, random_modulations, tiny


def filmed_tiny() -> FiLMedNetwork:
    return inject_film(tiny(), after=[TINY_SITES])


def test_values_for_a_layer_that_was_exchanged_are_refused() -> None:
    """Its hook went with it: the values would have acted nowhere."""
    filmed, x = filmed_tiny(), images(2)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(filmed).eval()
    with pytest.raises(SiteError, match=r"the layer at site 'layer1\.bn1' was exchanged after inject_film"):
        synced(x, values)
    filmed = filmed_tiny()
    filmed.network = copy.deepcopy(filmed.network)  # its hooks are those of another FiLMedNetwork
    with pytest.raises(SiteError, match="was exchanged"):
        filmed(x, values)


def test_a_layer_may_be_wrapped() -> None:
    filmed, x = filmed_tiny(), images(2)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    expected = filmed(x, values)
    filmed.network.layer1.bn1 = nn.Sequential(filmed.network.layer1.bn1, nn.Identity())
    assert torch.equal(filmed(x, values), expected)


class Found(NamedTuple):
    features: Tensor
    rest: int


class Returning(nn.Module):
    """Gives its input back in whatever ``make`` makes of it, and ``take`` takes it out again behind FiLM."""

    def __init__(self, make: nn.Module, take: str | int) -> None:
        super().__init__()
        self.block, self.take = make, take

    def forward(self, x: Tensor) -> Tensor:
        found = self.block(x)
        return getattr(found, self.take) if isinstance(self.take, str) else found[self.take]


class Named(nn.Module):
    def forward(self, x: Tensor) -> Found:
        return Found(x, 1)


class Listed(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


def test_a_named_tuple_stays_one() -> None:
    filmed = inject_film(Returning(Named(), "features"), after=[Site("block", 3)])
    values = random_modulations(filmed.sites)
    assert torch.equal(filmed(torch.ones(2, 3), values), (values["block"].gamma + values["block"].beta).expand(2, 3))


def test_what_is_no_tensor_is_refused() -> None:
    filmed = inject_film(Returning(Listed(), 0), after=[Site("block", 3)])
    with pytest.raises(SiteError, match="site 'block': a Listed returned a list, expected features, or a tuple of"):
        filmed(torch.ones(2, 3), filmed.sites.identity())


@pytest.mark.parametrize("layer", [nn.Conv1d(4, 4, 1), nn.InstanceNorm1d(4)])
def test_an_example_without_a_batch_is_refused_where_it_would_fit(layer: nn.Module) -> None:
    """Torch takes (C, T) too, where axis 1 is that of the positions."""
    filmed = inject_film(nn.Sequential(layer), after=[Site("0", 4)])
    values = random_modulations(filmed.sites)
    with pytest.raises(ShapeError, match=r"returned \(4, 4\), expected 3 axes, the first of which is the batch"):
        filmed(torch.ones(4, 4), values)
    assert filmed(torch.ones(1, 4, 4), values).shape == (1, 4, 4)
