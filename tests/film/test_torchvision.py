"""The core on networks it was not written for: FiLM in, weights in and out, folded, fused."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from fewshot_film.film import FiLMedNetwork, find_conv_norm_pairs, fold_film, fuse_conv_norm, inject_film
from tests.film.networks import images, random_modulations, randomise_norms
from tests.film.test_inject import with_film_layers

# network, where FiLM goes, number of sites, of channels, of convolutions that fuse
NETWORKS = {
    "resnet18": (["layer*.*.bn[12]"], 16, 3840, 20),
    "resnet34": (["layer*.*.bn[12]"], 32, 7552, 36),
    "resnet50": (["layer*.*.bn[123]"], 48, 22656, 53),
    "mobilenet_v2": (["features.*.1", "features.*.conv.*.1"], 35, 15552, 52),
    "efficientnet_b0": (["features.*.*.block.*.1"], 47, 19696, 49),
    "convnext_tiny": (["features.*.*.block.2"], 18, 6624, 0),
}

DEEP = [
    pytest.param(name, marks=pytest.mark.slow) if name in ("resnet34", "efficientnet_b0") else name for name in NETWORKS
]


def build(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(torchvision.models, name)(num_classes=10)
    # Norms within 10 % of the identity: random ones would make 50 layers explode.
    randomise_norms(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.mul_(0.2).add_(0.8)
    return network.eval().to(dtype)


def inject(name: str, dtype: torch.dtype = torch.float64) -> FiLMedNetwork:
    return inject_film(build(name, dtype), NETWORKS[name][0])


@pytest.mark.parametrize("name", NETWORKS)
def test_sites_and_state_dict(name: str) -> None:
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
    keys = list(network.state_dict())
    filmed = inject_film(network, NETWORKS[name][0])
    assert (len(filmed.sites), filmed.sites.num_channels) == NETWORKS[name][1:3]
    assert list(filmed.network.state_dict()) == keys


@pytest.mark.parametrize("name", DEEP)
def test_equals_the_network_with_film_layers(name: str) -> None:
    filmed, x = inject(name), images(2, size=33)
    values = random_modulations(filmed.sites, 2, dtype=torch.float64)
    with torch.no_grad():
        out = filmed(x, values)
        expected = with_film_layers(filmed.network, values)(x)
        torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
        assert (out - filmed(x)).abs().max() > 1e-6


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_folded_and_fused_equal_filmed(name: str, dtype: torch.dtype, tolerance: float) -> None:
    filmed, x = inject(name, dtype), images(2, size=33, dtype=dtype)
    values = random_modulations(filmed.sites, dtype=dtype)
    with torch.no_grad():
        expected = filmed(x, values)
        folded = fold_film(filmed, values)
        torch.testing.assert_close(folded(x), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))
        assert list(folded.state_dict()) == list(filmed.network.state_dict())
        fused = fuse_conv_norm(folded)
        torch.testing.assert_close(fused(x), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))
    assert len(find_conv_norm_pairs(folded)) == NETWORKS[name][3]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in fused.modules()) == 0
