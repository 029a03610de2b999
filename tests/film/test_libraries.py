"""FiLM in networks of timm and torchvision with random weights: put in, folded, fused, exported."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from fewshot_film.film import (
    FiLMedNetwork,
    FoldError,
    Modulation,
    Modulations,
    SiteError,
    find_conv_norm_pairs,
    fold_film,
    fuse_conv_norm,
    inject_film,
)
from tests.extras import needs_timm
from tests.film.networks import random_modulations, seeded

# library, network, side of the images
FAST = [
    ("timm", "test_resnet", 32),
    ("timm", "resnet10t", 32),
    ("timm", "tf_efficientnet_lite0", 32),
    ("timm", "lcnet_035", 32),
    ("timm", "test_efficientnet_gn", 32),
    ("timm", "test_vit", 160),
    ("timm", "test_convnext", 32),
    ("torchvision", "mobilenet_v3_small", 32),
    ("torchvision", "shufflenet_v2_x0_5", 32),
    ("torchvision", "mnasnet0_5", 32),
]
SLOW = [
    ("timm", "resnet26d", 32),
    ("timm", "seresnet18", 32),
    ("timm", "resnext26ts", 64),
    ("timm", "resnetv2_50", 32),
    ("timm", "resnetv2_50d_gn", 32),
    ("timm", "efficientnet_lite0", 32),
    ("timm", "tf_efficientnetv2_b0", 32),
    ("timm", "mobilenetv3_small_050", 32),
    ("timm", "mobilenetv4_conv_small_035", 32),
    ("timm", "fbnetv3_b", 32),
    ("timm", "ghostnet_050", 32),
    ("timm", "mixnet_s", 32),
    ("timm", "rexnet_100", 32),
    ("timm", "regnetx_002", 32),
    ("timm", "regnety_002", 32),
    ("timm", "convnext_atto", 32),
    ("timm", "convnextv2_atto", 32),
    ("timm", "inception_next_atto", 32),
    ("timm", "poolformer_s12", 32),
    ("timm", "caformer_s18", 64),
    ("timm", "mambaout_femto", 32),
    ("timm", "edgenext_xx_small", 32),
    ("timm", "mobilevit_xxs", 64),
    ("timm", "levit_128s", 224),
    ("timm", "efficientformer_l1", 224),
    ("timm", "fastvit_t8", 64),
    ("timm", "repvit_m0_9", 32),
    ("timm", "efficientvit_b0", 32),
    ("timm", "vit_tiny_patch16_224", 224),
    ("timm", "deit_tiny_patch16_224", 224),
    ("timm", "swin_tiny_patch4_window7_224", 224),
    ("timm", "densenet121", 32),
    ("timm", "hrnet_w18_small", 64),
    ("torchvision", "resnet18", 32),
    ("torchvision", "mobilenet_v2", 32),
    ("torchvision", "efficientnet_b0", 32),
    ("torchvision", "regnet_y_400mf", 32),
    ("torchvision", "convnext_tiny", 32),
    ("torchvision", "vit_b_32", 224),
    ("torchvision", "swin_t", 64),
]
NETWORKS = [
    pytest.param(*row, id=f"{row[0]}:{row[1]}", marks=([needs_timm] if row[0] == "timm" else []) + marks)
    for rows, marks in ((FAST, []), (SLOW, [pytest.mark.slow]))
    for row in rows
]
EXPORTED = [row for row in NETWORKS if row.values[1] in ("tf_efficientnet_lite0", "test_vit", "test_convnext")]
TOLERANCE = 1e-4


def build(library: str, name: str) -> nn.Module:
    """A network with random weights from a seed, whose norms are far from the identity but keep values in bounds."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        torch.manual_seed(0)
        if library == "timm":
            network = importlib.import_module("timm").create_model(name, num_classes=0)
        else:
            network = getattr(torchvision.models, name)(num_classes=10)
    generator = seeded(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # residual branches of some begin at 0
            module.weight.data.copy_(0.8 + 0.4 * torch.rand(module.weight.shape, generator=generator))
            module.running_mean.copy_(0.2 * torch.rand(module.running_mean.shape, generator=generator))
        elif isinstance(module, nn.Linear) and not module.weight.any():  # as the classifiers of some begin
            module.weight.data.copy_(torch.rand(module.weight.shape, generator=generator))
    return network.eval()


def small_modulations(filmed: FiLMedNetwork) -> Modulations:
    values = random_modulations(filmed.sites)
    return {name: Modulation(1 + 0.3 * (gamma - 1), 0.3 * beta) for name, (gamma, beta) in values.items()}


def assert_near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))


@pytest.mark.parametrize(("library", "name", "size"), NETWORKS)
@torch.no_grad()
def test_film_goes_in_and_becomes_weights(library: str, name: str, size: int) -> None:
    network, x = build(library, name), torch.rand(2, 3, size, size, generator=seeded(2))
    plain = network(x)
    filmed = inject_film(network, ["**"])
    assert torch.equal(filmed(x), plain)
    assert_near(filmed(x, filmed.sites.identity()), plain)
    values = small_modulations(filmed)
    expected = filmed(x, values)
    assert (expected - plain).abs().max() > 0.01 * plain.abs().max()
    folded = fold_film(filmed, values)
    assert_near(folded(x), expected)
    with contextlib.suppress(FoldError):  # torch.fx cannot trace some
        assert_near(fuse_conv_norm(folded)(x), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name", "size"), EXPORTED)
@torch.no_grad()
def test_what_is_folded_is_exported(library: str, name: str, size: int, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    filmed, x = inject_film(build(library, name), ["**"]), torch.rand(2, 3, size, size, generator=seeded(2))
    values = small_modulations(filmed)
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
    network, x = build("timm", "tf_efficientnet_lite0"), torch.rand(1, 3, 32, 32)
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
