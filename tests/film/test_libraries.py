"""FiLM in networks of other libraries with random weights: put in, folded, fused, exported."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import film_networks
from fewshot_film.film import (
    FiLMedNetwork,
    Modulation,
    Modulations,
    SiteError,
    find_conv_norm_pairs,
    fold_film,
    fuse_conv_norm,
    inject_film,
)
from tests.extras import needs_timm
from tests.film.networks import seeded

FAST = {
    "test_resnet",
    "resnet10t",
    "tf_efficientnet_lite0",
    "lcnet_035",
    "test_efficientnet_gn",
    "test_vit",
    "test_convnext",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
}
NETWORKS = [
    pytest.param(library, name, id=f"{library}:{name}", marks=[] if name in FAST else pytest.mark.slow)
    for library, name in film_networks.names()
]
EXPORTED = ["tf_efficientnet_lite0", "test_vit", "test_convnext"]


def assert_near(found: Tensor, expected: Tensor) -> None:
    assert film_networks.near(found, expected)


@pytest.mark.parametrize(("library", "name"), NETWORKS)
def test_film_goes_in_and_becomes_weights(library: str, name: str) -> None:
    found = film_networks.examine(film_networks.build(library, name))
    assert found.sites > 0
    assert not found.injected
    assert not found.folded or any("RMSNorm" in norm or norm.startswith("T5") for norm in found.norms)


@pytest.mark.slow
@needs_timm
@pytest.mark.parametrize("name", EXPORTED)
@torch.no_grad()
def test_what_is_folded_is_exported(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    case = film_networks.build("timm", name)
    filmed, (x,) = inject_film(case.network, ["**"]), case.inputs
    values = film_networks.small_values(filmed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(fold_film(filmed, values), (x,), tmp_path / "network.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = filmed(x, values).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(np.abs(expected).max()))


@needs_timm
@pytest.mark.parametrize("kind", ["BatchNormAct2d", "GroupNormAct", "GroupNorm1Act", "LayerNormAct", "LayerNormAct2d"])
@torch.no_grad()
def test_film_acts_between_norm_and_activation(kind: str) -> None:
    layers = importlib.import_module("timm.layers")
    layer = getattr(layers, kind)(4, **({"num_groups": 2} if kind == "GroupNormAct" else {})).eval()
    last = kind == "LayerNormAct"
    x = torch.randn(2, 3, 3, 4) if last else torch.randn(2, 4, 3, 3)
    filmed = inject_film(nn.Sequential(layer), ["0"])
    modulation = Modulation(torch.tensor([[2.0, -1.0, 0.5, 1.0]]), torch.tensor([[0.1, 0.2, -0.3, 0.0]]))
    shape = (1, 1, 1, 4) if last else (1, 4, 1, 1)
    plain = getattr(layers, kind)(4, apply_act=False, **({"num_groups": 2} if kind == "GroupNormAct" else {})).eval()
    expected = torch.relu(modulation.gamma.view(shape) * plain(x) + modulation.beta.view(shape))
    torch.testing.assert_close(filmed(x, {"0": modulation}), expected)
    torch.testing.assert_close(fold_film(filmed, {"0": modulation})(x), expected, rtol=1e-5, atol=1e-6)


@needs_timm
def test_pairs_with_an_activation_inside_are_found_and_fused() -> None:
    network, x = film_networks.build("timm", "tf_efficientnet_lite0").network, torch.rand(1, 3, 32, 32)
    assert len(find_conv_norm_pairs(network)) == 49
    fused = fuse_conv_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    with torch.no_grad():
        assert_near(fused(x), network(x))


class NormThenReLU(nn.BatchNorm2d):
    """A norm and an activation in the manner of timm, for where it is not installed."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.drop, self.act = nn.Identity(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)
        return self.act(self.drop(x))


def norm_then_relu() -> tuple[FiLMedNetwork, Tensor, Modulations]:
    filmed = inject_film(nn.Sequential(nn.Conv2d(3, 4, 1), NormThenReLU(4)).eval(), ["1"])
    values = {"1": Modulation(torch.tensor([[2.0, -1.0, 0.5, -2.0]]), torch.tensor([[0.1, 0.2, -0.3, 0.0]]))}
    return filmed, torch.randn(2, 3, 5, 5, generator=seeded(0)), values


def test_film_comes_before_the_activation_inside_a_norm() -> None:
    filmed, x, values = norm_then_relu()
    conv, norm = filmed.network
    gamma, beta = (part.view(1, 4, 1, 1) for part in values["1"])
    expected = torch.relu(gamma * nn.BatchNorm2d.forward(norm, conv(x)) + beta)
    torch.testing.assert_close(filmed(x, values), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(filmed)(x, values), expected)
    with pytest.raises(SiteError, match="'1' carries FiLM already"):
        inject_film(filmed.network, ["1"])


def test_a_tracer_that_takes_such_a_norm_whole_is_refused() -> None:
    class Whole(torch.fx.Tracer):
        def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
            return isinstance(m, NormThenReLU) or super().is_leaf_module(m, module_qualified_name)

    filmed, _, _ = norm_then_relu()
    with pytest.raises(SiteError, match=r"FiLM acts inside '1', .* takes the layer as one step; .* leave NormThenReLU"):
        Whole().trace(filmed)
    assert type(filmed.network[1]) is NormThenReLU


class Returning(nn.Module):
    """A network in which a fault of FiLM can be staged."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


def test_the_examination_tells_faults_from_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    def case(network: nn.Module) -> film_networks.Case:
        return film_networks.Case("own", "network", network, (torch.rand(2, 4),))

    assert film_networks.examine(case(Returning())).folded == ""
    assert "no norm fits it" in film_networks.examine(case(nn.Linear(4, 4))).injected
    refused = film_networks.examine(case(nn.Sequential(nn.RMSNorm(4))))
    assert "expected a BatchNorm" in refused.folded
    assert refused.sites == 1
    monkeypatch.setattr(film_networks, "fold_film", lambda filmed, _values: filmed.network)
    monkeypatch.setattr(film_networks, "near", lambda found, expected, *_: torch.equal(found, expected))
    with pytest.raises(AssertionError, match="folded, the result is another"):
        film_networks.examine(case(Returning()))


def test_the_table_has_a_row_for_every_network() -> None:
    table = film_networks.as_table()
    assert {f"| {library} | `{name}` |" for library, name in film_networks.names()} <= {
        re.match(r"\| \w+ \| `\w+` \|", line).group() for line in table.splitlines()[2:]
    }
    assert "| transformers | `LlamaModel` | `LlamaRMSNorm` | 5 | no: no shift |" in table
