from __future__ import annotations

import re
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from fewshot_film.film import (
    FoldError,
    Modulation,
    ShapeError,
    Site,
    SiteError,
    find_conv_norm_pairs,
    fold_film,
    fuse_conv_norm,
    inject_film,
)
from fewshot_film.film.fold import trace_layers
from tests.film.networks import TINY_SITES, TinyResNet, images, random_modulations, randomise_norms, tiny
from tests.film.test_inject import norm_and_input
from tests.reference import film_numpy


@given(seed=st.integers(0, 999), batch=st.integers(1, 3))
@settings(max_examples=25)
def test_folded_and_fused_equal_filmed(seed: int, batch: int) -> None:
    filmed, x = inject_film(tiny(seed), [TINY_SITES]), images(batch, seed=seed)
    values = random_modulations(filmed.sites, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        expected = filmed(x, values)
        folded = fold_film(filmed, values)
        torch.testing.assert_close(folded(x), expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(fuse_conv_norm(folded)(x), expected, rtol=1e-10, atol=1e-10)
        assert any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
        assert fuse_conv_norm(folded, in_place=True) is folded
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
        torch.testing.assert_close(folded(x), expected, rtol=1e-10, atol=1e-10)


def test_batch_norm_film_and_fold_equal_the_oracle() -> None:
    norm = randomise_norms(nn.BatchNorm2d(4)).eval().double()
    filmed = inject_film(nn.Sequential(norm), ["0"])
    values, x = random_modulations(filmed.sites, dtype=torch.float64), torch.randn(2, 4, 3, 3).double()
    parts = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    normalised = film_numpy.batch_norm(x.numpy(), *(part.detach().numpy() for part in parts), norm.eps)
    expected = film_numpy.film(normalised, *(part.numpy() for part in values["0"]))
    np.testing.assert_allclose(filmed(x, values).detach(), expected, rtol=1e-12)
    np.testing.assert_allclose(fold_film(filmed, values)(x).detach(), expected, rtol=1e-12)


def test_a_fold_is_plain_and_leaves_the_original_alone() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(2)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    values["layer1.bn1"].gamma.requires_grad_()
    before, keys = filmed(x), list(filmed.network.state_dict())
    folded = fold_film(filmed, values)
    assert type(folded) is TinyResNet
    assert list(folded.state_dict()) == keys
    assert not any(module._forward_hooks for module in folded.modules())
    assert all(parameter.is_leaf for parameter in folded.parameters())
    with filmed.modulated(values):
        torch.testing.assert_close(folded(x), filmed(x))
    for parameter in folded.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(filmed(x), before)


def test_a_fold_can_share_what_film_does_not_change() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(2)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    before = filmed(x)
    folded = fold_film(filmed, values, share_weights=True)
    assert torch.equal(folded(x), fold_film(filmed, values)(x))
    assert torch.equal(filmed(x), before)
    assert folded.layer1.conv1.weight is filmed.network.layer1.conv1.weight
    assert folded.layer1.bn1.weight is not filmed.network.layer1.bn1.weight
    fused = fuse_conv_norm(folded)
    assert torch.equal(filmed(x), before)
    assert torch.equal(folded(x), fold_film(filmed, values)(x))
    shared = {p.data_ptr() for p in filmed.network.parameters()} & {p.data_ptr() for p in fused.parameters()}
    assert not shared, "a fused network is on its own again"


def test_a_fold_of_some_sites_leaves_the_others() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(2)
    some = {"layer2.bn1": random_modulations(filmed.sites, dtype=torch.float64)["layer2.bn1"]}
    torch.testing.assert_close(fold_film(filmed, some)(x), filmed(x, some))
    assert torch.equal(fold_film(filmed, {})(x), filmed(x))


def test_a_fold_keeps_parameters_frozen_and_their_dtype() -> None:
    network = tiny(dtype=torch.float32).requires_grad_(False)
    filmed = inject_film(network, [TINY_SITES])
    folded = fold_film(filmed, random_modulations(filmed.sites, dtype=torch.float64))
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.float32}


def test_a_fold_works_in_training_mode_too() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]).train(), images(4)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    torch.testing.assert_close(fold_film(filmed, values)(x), filmed(x, values))


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "GroupNorm", "LayerNorm"])
@pytest.mark.parametrize("affine", [False, True])
def test_kinds_of_norms(kind: str, affine: bool) -> None:
    """Norms without an affine part (CLEVR's BatchNorm, InstanceNorm by default) get one."""
    norm, x = norm_and_input(kind)
    options = {"affine": affine} if "Norm" in kind and kind != "LayerNorm" else {"elementwise_affine": affine}
    arguments = (2, 4) if kind == "GroupNorm" else (4,)
    norm = randomise_norms(type(norm)(*arguments, **options)).eval()
    filmed = inject_film(nn.Sequential(norm), ["0"])
    values = random_modulations(filmed.sites)
    folded = fold_film(filmed, values)
    torch.testing.assert_close(folded(x), filmed(x, values), rtol=1e-5, atol=1e-5)
    assert str(folded) == str(nn.Sequential(type(norm)(*arguments, **dict.fromkeys(options, True))))


def test_layer_norm_without_bias_and_layer_norm_2d() -> None:
    for norm, x in (
        (nn.LayerNorm(4, bias=False), torch.randn(2, 3, 4)),
        (LayerNorm2d(4), torch.randn(2, 4, 3, 3)),
    ):
        filmed = inject_film(nn.Sequential(randomise_norms(norm)), ["0"])
        values = random_modulations(filmed.sites)
        torch.testing.assert_close(fold_film(filmed, values)(x), filmed(x, values), rtol=1e-5, atol=1e-5)


class BatchNormThenReLU(nn.BatchNorm2d):
    """As timm has it: FiLM acts after the ReLU, so it cannot become part of the BatchNorm before it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x))


@pytest.mark.parametrize(
    ("layer", "kind"),
    [(BatchNormThenReLU(4), "BatchNormThenReLU"), (nn.RMSNorm(4), "RMSNorm"), (nn.Embedding(9, 4), "Embedding")],
)
def test_fold_refuses_layers_without_an_affine_end(layer: nn.Module, kind: str) -> None:
    filmed = inject_film(nn.Sequential(layer), [Site("0", 4)])
    message = f"'0' is a {kind}, expected a BatchNorm, InstanceNorm, GroupNorm, LayerNorm, Linear or Conv: there"
    with pytest.raises(FoldError, match=re.escape(message)):
        fold_film(filmed, filmed.sites.identity())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear, (2, 3)),
        (nn.Linear, (2, 5, 3)),
        (nn.Conv1d, (2, 3, 5)),
        (nn.Conv2d, (2, 3, 5, 5)),
        (nn.Conv3d, (2, 3, 5, 5, 5)),
    ],
    ids=str,
)
def test_film_becomes_part_of_linear_layers_and_convolutions(layer: type, shape: tuple[int, ...], bias: bool) -> None:
    """SSF's re-parameterisation: Lian et al., "Scaling & Shifting Your Features", NeurIPS 2022, section 3.3."""
    layer = layer(3, 4, bias=bias) if layer is nn.Linear else layer(3, 4, 3, bias=bias)
    network, x = nn.Sequential(layer).double(), torch.randn(shape, dtype=torch.float64)
    filmed = inject_film(network, [Site("0", 4)])
    values = random_modulations(filmed.sites, dtype=torch.float64)
    expected = filmed(x, values)
    before = network(x)
    assert (expected - before).abs().max() > 0.1
    torch.testing.assert_close(fold_film(filmed, values)(x), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(network(x), before)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_fold_refuses_a_weight_that_is_computed_anew() -> None:
    for weight_norm in (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm):
        filmed = inject_film(nn.Sequential(weight_norm(nn.Linear(3, 4))), [Site("0", 4)])
        with torch.no_grad():
            filmed(torch.ones(1, 3))  # the weight is a leaf then, without which torch cannot copy it
        with pytest.raises(
            FoldError, match=r"'0' is a \w*Linear.*, expected .* there is no scale and shift at its end"
        ):
            fold_film(filmed, filmed.sites.identity())


class QuantizedLinear(nn.Module):
    """Eight-bit weights, as libraries have them: no parameter that FiLM could be folded into."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = (linear.weight.detach() / self.scale).round().to(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight.to(x) * self.scale).T


class Positive(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.abs()

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def test_fold_refuses_a_norm_whose_weight_is_computed_anew() -> None:
    """What was written there would not stay: a negative scale would have become a positive one."""
    network = nn.Sequential(nn.BatchNorm1d(3)).eval()
    nn.utils.parametrize.register_parametrization(network[0], "weight", Positive())
    filmed = inject_film(network, after=["0"])
    with pytest.raises(FoldError, match="'0' is a ParametrizedBatchNorm1d with a weight that is quantised or computed"):
        fold_film(filmed, filmed.sites.identity())


def test_fuse_refuses_a_convolution_whose_weight_is_computed_anew() -> None:
    network = nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(1, 2, 3)), nn.BatchNorm2d(2)).eval()
    assert find_conv_norm_pairs(network) == []
    with pytest.raises(FoldError, match="cannot fuse '0' and '1': a hook computes the weight anew in every call"):
        fuse_conv_norm(network, [("0", "1")])


def test_fold_refuses_a_hook_between_the_layer_and_film() -> None:
    network, x = nn.Sequential(nn.BatchNorm1d(3)).eval(), torch.linspace(-1, 1, 12).view(4, 3)

    def absolute(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
        return output.abs()

    hook = network[0].register_forward_hook(absolute)
    filmed = inject_film(network, after=["0"])
    values = random_modulations(filmed.sites)
    with pytest.raises(FoldError, match="site '0': a forward hook acts between the layer and FiLM"):
        fold_film(filmed, values)
    hook.remove()
    network[0].register_forward_hook(absolute)
    torch.testing.assert_close(fold_film(filmed, values)(x), filmed(x, values))


def test_film_follows_a_quantised_layer_and_is_not_folded_into_it() -> None:
    QuantizedLinear.__name__ = "Linear"  # as torch calls its own
    filmed = inject_film(nn.Sequential(QuantizedLinear(nn.Linear(3, 4)), nn.LayerNorm(4)), [Site("0", 4, axis=-1), "1"])
    values, x = random_modulations(filmed.sites), torch.randn(2, 5, 3)
    assert (filmed(x, values) - filmed(x)).abs().max() > 0.1
    with pytest.raises(FoldError, match="'0' is a Linear with a weight that is quantised or computed anew, expected"):
        fold_film(filmed, values)
    of_norm = {"1": values["1"]}
    torch.testing.assert_close(fold_film(filmed, of_norm)(x), filmed(x, of_norm), rtol=1e-5, atol=1e-5)


def test_layers_that_share_a_weight_are_folded_one_by_one() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).double()
    network[2].weight = network[0].weight
    filmed, x = inject_film(network, [Site("0", 4)]), torch.randn(2, 4, dtype=torch.float64)
    values = random_modulations(filmed.sites, dtype=torch.float64)
    torch.testing.assert_close(fold_film(filmed, values)(x), filmed(x, values), rtol=1e-12, atol=1e-12)
    assert network[2].weight is network[0].weight


def test_fold_refuses_values_per_position_and_another_axis() -> None:
    filmed = inject_film(nn.Sequential(nn.BatchNorm2d(4)), [Site("0", 4)])
    with pytest.raises(FoldError, match="site '0' has one value per position, expected one per channel"):
        fold_film(filmed, {"0": Modulation(torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2))})
    filmed = inject_film(nn.Sequential(nn.BatchNorm2d(4)), [Site("0", 4, axis=-1)])
    with pytest.raises(FoldError, match="'0' has its channels on axis -1, expected 1, where those of a BatchNorm2d"):
        fold_film(filmed, filmed.sites.identity())


def test_fold_refuses_values_per_example_and_for_other_sites() -> None:
    filmed = inject_film(tiny(), [TINY_SITES])
    with pytest.raises(FoldError, match=r"site 'layer1.bn1' has 3 rows of values, expected 1: weights can"):
        fold_film(filmed, filmed.sites.identity(3))
    with pytest.raises(SiteError, match="there is no site 'bn'"):
        fold_film(filmed, {"bn": filmed.sites.identity()["layer1.bn1"]})
    with pytest.raises(ShapeError, match=re.escape("expected (B, 4) or (1, 4) each")):
        fold_film(filmed, {"layer1.bn1": Modulation(torch.ones(1, 3), torch.ones(1, 3))})


def test_pairs_are_found_by_data_flow() -> None:
    assert find_conv_norm_pairs(tiny()) == [
        ("stem.0", "stem.1"),
        *((f"layer{i}.conv{j}", f"layer{i}.bn{j}") for i in (1, 2) for j in (1, 2)),
    ]


class Awkward(nn.Module):
    """Convolutions and norms that look like pairs and are none."""

    def __init__(self) -> None:
        super().__init__()
        self.used_twice = nn.Conv2d(3, 3, 1)
        self.shared_norm = nn.BatchNorm2d(3)
        self.output_kept, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.conv, self.stateless = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)
        self.group_conv, self.group_norm = nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3)
        self.read_conv, self.read_norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.good_conv, self.good_norm = (
            nn.Conv2d(3, 3, 1, groups=3, bias=False),
            nn.BatchNorm2d(3, affine=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared_norm(self.used_twice(self.used_twice(x)))
        kept = self.output_kept(x)
        x = self.norm(kept) + kept
        x = self.group_norm(self.group_conv(self.stateless(self.conv(x))))
        x = self.read_norm(self.read_conv(x)) + self.read_conv.weight.sum()
        return self.good_norm(self.good_conv(x))


def test_only_sound_pairs_are_fused() -> None:
    network, x = randomise_norms(Awkward()).eval().double(), images(2)
    assert find_conv_norm_pairs(network) == [("good_conv", "good_norm")]
    fused = fuse_conv_norm(network)
    torch.testing.assert_close(fused(x), network(x))
    assert isinstance(fused.good_norm, nn.Identity)
    assert isinstance(network.good_norm, nn.BatchNorm2d)


def test_a_layer_with_two_names_is_replaced_under_both() -> None:
    class Aliased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.alias = self.norm

        def forward(self, x: Tensor) -> Tensor:
            return self.alias(self.conv(x))

    network, x = randomise_norms(Aliased()).eval().double(), images(2)
    torch.testing.assert_close(fuse_conv_norm(network)(x), network(x))


class Branching(nn.Module):
    """A shape check, which torch.fx cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 100:
            raise ValueError
        return self.norm(self.conv(x))


def test_pairs_can_be_named_where_fx_cannot_trace() -> None:
    network, x = randomise_norms(Branching()).eval(), torch.randn(2, 3, 9)
    message = r'torch.fx cannot trace this Branching \(.*\), which is how .* yourself: pairs=\[\("conv1", "bn1"\)'
    with pytest.raises(FoldError, match=message):
        fuse_conv_norm(network)
    fused = fuse_conv_norm(network, [("conv", "norm")])
    torch.testing.assert_close(fused(x), network(x), rtol=1e-5, atol=1e-5)
    assert isinstance(fused.norm, nn.Identity)


def test_fuse_refuses_pairs_that_are_none() -> None:
    network = tiny()
    with pytest.raises(FoldError, match=r"'stem.0' and 'stem.2': they are Conv2d and ReLU, expected Conv1d"):
        fuse_conv_norm(network, [("stem.0", "stem.2")])
    with pytest.raises(
        FoldError, match="BatchNorm uses the statistics of its batch, expected running ones; call netwo"
    ):
        fuse_conv_norm(tiny().train(), [("stem.0", "stem.1")])
    inject_film(network, ["layer1.bn1"])
    with pytest.raises(
        FoldError, match="a forward hook acts between or after them; remove it, and fold FiLM with fold"
    ):
        fuse_conv_norm(network, [("layer1.conv1", "layer1.bn1")])
    assert ("layer1.conv1", "layer1.bn1") not in find_conv_norm_pairs(network)


def test_other_threads_may_run_networks_while_one_is_traced():
    began, other = threading.Event(), nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    found: list[object] = []

    class Slow(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            began.set()
            thread.join(60)
            return super().forward(x)

    def run() -> None:
        began.wait(60)
        try:
            found.append(other(torch.ones(1, 1, 4, 4)).shape)
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    trace_layers(nn.Sequential(Slow(nn.ReLU()), nn.ReLU()))
    assert found == [(1, 2, 2, 2)]


def test_networks_are_traced_one_at_a_time():
    """torch.fx exchanges nn.Module.__call__ as it traces: of two at once, the last would leave the other's there."""
    call = nn.Module.__call__
    first, second = threading.Event(), threading.Event()

    class Waiting(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            first.set()
            second.wait(0.5)  # the other trace, which waits in its turn
            return super().forward(x)

    class Late(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            second.set()
            other.join(60)
            return super().forward(x)

    other = threading.Thread(target=lambda: trace_layers(nn.Sequential(Waiting(nn.ReLU()), nn.ReLU())))
    other.start()
    first.wait(60)
    trace_layers(nn.Sequential(Late(nn.ReLU()), nn.ReLU()))
    assert nn.Module.__call__ is call
