"""torch.fx, torchvision's feature extractors and recomputed activations, on networks with FiLM."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.fx import symbolic_trace
from torch.utils.checkpoint import checkpoint
from torchvision.models.feature_extraction import create_feature_extractor

from fewshot_film.film import FiLM, FiLMedNetwork, Modulation, ShapeError, SiteError, film, inject_film
from tests.film.networks import RESNET_SITES, TINY_SITES, images, random_modulations, randomise_norms, tiny


class WithLayer(nn.Module):
    """A network whose author wrote the FiLM layer into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.film = FiLM(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.film(self.conv(x)).relu()


@pytest.mark.parametrize("kept", [False, True], ids=["identity", "kept values"])
def test_a_network_with_film_layers_is_traced(kept: bool) -> None:
    network, x = WithLayer(), images(2, dtype=torch.float32)
    if kept:
        network.film.modulation = Modulation(torch.full((1, 4), 2.0), torch.ones(1, 4))
    assert torch.equal(symbolic_trace(network)(x), network(x))
    assert torch.equal(
        create_feature_extractor(network, {"film": "features"})(x)["features"], network.film(network.conv(x))
    )


def test_a_traced_layer_still_refuses_another_width() -> None:
    traced = symbolic_trace(nn.Sequential(FiLM(4)))
    with pytest.raises(ShapeError, match=r"FiLM\(4\): features have shape \(1, 3\)"):
        traced(torch.ones(1, 3))


def test_an_injected_network_is_traced_with_values_as_an_input() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(2)
    traced = symbolic_trace(filmed)
    for seed in range(2):
        values = random_modulations(filmed.sites, seed=seed, dtype=torch.float64)
        torch.testing.assert_close(traced(x, values), filmed(x, values))
        some = dict(list(values.items())[:1])
        torch.testing.assert_close(traced(x, some), filmed(x, some))
    assert not torch.equal(traced(x, values), filmed(x))
    torch.testing.assert_close(traced(x, None), filmed(x))
    torch.testing.assert_close(pickle.loads(pickle.dumps(traced))(x, values), filmed(x, values))


def test_tracing_leaves_the_network_as_it_was() -> None:
    filmed = inject_film(tiny(), [TINY_SITES])
    kinds = [type(module) for module in filmed.modules()]
    symbolic_trace(filmed)
    assert [type(module) for module in filmed.modules()] == kinds


def test_channels_last_sites_are_traced() -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6)).double()
    filmed, x = inject_film(network, ["1"]), torch.randn(2, 5, 4, dtype=torch.float64)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    torch.testing.assert_close(symbolic_trace(filmed)(x, values), filmed(x, values))


@torch.no_grad()
def test_torchvisions_feature_extractor_gives_filmed_features() -> None:
    network = randomise_norms(torchvision.models.resnet18(num_classes=10).eval())
    filmed, x = inject_film(network, [RESNET_SITES]), images(2, size=32, dtype=torch.float32)
    values = random_modulations(filmed.sites)
    extractor = create_feature_extractor(filmed, {"network.layer2": "features"})
    features = {}
    handle = network.layer2.register_forward_hook(lambda module, args, output: features.update(hooked=output))
    filmed(x, values)
    handle.remove()
    torch.testing.assert_close(extractor(x, values)["features"], features["hooked"])
    of_network = create_feature_extractor(network, {"layer2": "features"})
    with filmed.modulated(values):
        torch.testing.assert_close(of_network(x)["features"], features["hooked"])


class Recomputing(nn.Module):
    """A network that checkpoints a part of itself, as many large ones can be told to."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.body, x, use_reentrant=self.use_reentrant)  # type: ignore[no-any-return]


def recomputing(use_reentrant: bool) -> FiLMedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return inject_film(randomise_norms(Recomputing(use_reentrant).double().eval()), ["body.1"])


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_inside_the_network_is_refused(use_reentrant: bool) -> None:
    filmed = recomputing(use_reentrant)
    x = images(2).requires_grad_()
    loss = filmed(x, random_modulations(filmed.sites, dtype=torch.float64)).square().sum()
    with pytest.raises(SiteError, match=r"run again by the backward pass.*checkpoint\(filmed, x, modulations"):
        loss.backward()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_values_of_another_call_do_not_serve_a_checkpoint_inside(use_reentrant: bool) -> None:
    filmed = recomputing(use_reentrant)
    first, second = (random_modulations(filmed.sites, seed=seed, dtype=torch.float64) for seed in range(2))
    loss = filmed(images(2).requires_grad_(), first).square().sum()
    with filmed.modulated(second), pytest.raises(SiteError, match="run again by the backward pass"):
        loss.backward()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_inside_a_network_that_never_had_values_works(use_reentrant: bool) -> None:
    filmed = recomputing(use_reentrant)
    x = images(2).requires_grad_()
    plain = copy.deepcopy(filmed.network.body)
    filmed(x).square().sum().backward()
    (expected,) = torch.autograd.grad(plain(x).square().sum(), x)
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_around_the_call_gives_the_gradients_of_plain_autograd(use_reentrant: bool) -> None:
    filmed = short_network()
    x = images(2).requires_grad_()
    flat = filmed.sites.flatten(random_modulations(filmed.sites, dtype=torch.float64)).requires_grad_()

    def run(x: Tensor, flat: Tensor) -> Tensor:
        return filmed(x, filmed.sites.split(flat))  # type: ignore[no-any-return]

    loss = checkpoint(run, x, flat, use_reentrant=use_reentrant).square().sum()
    loss.backward()
    found = (x.grad, flat.grad)
    conv, norm, relu = filmed.network
    gamma, beta = filmed.sites.split(flat)["1"]
    expected = torch.autograd.grad(relu(film(norm(conv(x)), gamma, beta)).square().sum(), (x, flat))
    torch.testing.assert_close(found, expected)


def short_network() -> FiLMedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return inject_film(
            randomise_norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).double().eval()), ["1"]
        )
