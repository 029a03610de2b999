from __future__ import annotations

import copy
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import Permute

from fewshot_film.film import (
    FiLM,
    FiLMedNetwork,
    Modulation,
    Modulations,
    ShapeError,
    Site,
    SiteError,
    film,
    fold_film,
    inject_film,
    load_modulations,
    remove_film,
    save_modulations,
)
from tests.film.networks import TINY_SITES, images, random_modulations, tiny


def with_film_layers(network: nn.Module, values: Modulations) -> nn.Module:
    """The same network built the plain way: every norm replaced by [norm, FiLM layer with kept values]."""
    explicit = copy.deepcopy(network)
    remove_film(explicit)
    for name, modulation in values.items():
        norm, layer = explicit.get_submodule(name), FiLM(modulation.gamma.shape[1])
        layer.modulation = modulation
        last = type(norm) is nn.LayerNorm
        steps = [norm, Permute([0, 3, 1, 2]), layer, Permute([0, 2, 3, 1])] if last else [norm, layer]
        explicit.set_submodule(name, nn.Sequential(*steps))
    return explicit


def filmed_tiny() -> tuple[FiLMedNetwork, Tensor, Modulations]:
    filmed = inject_film(tiny(), [TINY_SITES])
    return filmed, images(3), random_modulations(filmed.sites, dtype=torch.float64)


def test_sites_are_read_off_the_network() -> None:
    filmed, _, _ = filmed_tiny()
    assert list(filmed.sites) == [
        Site("layer1.bn1", 4, "layer1"),
        Site("layer1.bn2", 4, "layer1"),
        Site("layer2.bn1", 8, "layer2"),
        Site("layer2.bn2", 8, "layer2"),
    ]
    assert "Sites([layer1.bn1: 4, layer1.bn2: 4, layer2.bn1: 8, layer2.bn2: 8])" in repr(filmed)


def test_names_and_patterns_mix_and_count_once() -> None:
    filmed = inject_film(tiny(), ["layer2.bn2", "layer2.*", Site("stem.0", 4)], stage_of=lambda name: name[-1])
    assert list(filmed.sites) == [Site("layer2.bn2", 8, "2"), Site("layer2.bn1", 8, "1"), Site("stem.0", 4)]


def test_a_site_can_stand_for_all_layers_that_fit_its_name() -> None:
    filmed = inject_film(
        tiny(), ["layer1.bn1", Site("layer1.bn*", 4, form="scale"), Site("layer2.conv*", 8, "s", 1, "gate")]
    )
    assert list(filmed.sites) == [
        Site("layer1.bn1", 4, "layer1"),
        Site("layer1.bn2", 4, "layer1", form="scale"),
        Site("layer2.conv1", 8, "s", 1, "gate"),
        Site("layer2.conv2", 8, "s", 1, "gate"),
    ]


def test_without_values_it_is_the_plain_network() -> None:
    network, x = tiny(), images(3)
    expected = network(x)
    filmed = inject_film(network, [TINY_SITES])
    assert torch.equal(filmed(x), expected)
    assert torch.equal(network(x), expected)
    torch.testing.assert_close(filmed(x, filmed.sites.identity(dtype=x.dtype)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 3])
def test_with_values_it_is_the_network_with_film_layers(batch: int) -> None:
    filmed, x, _ = filmed_tiny()
    values = random_modulations(filmed.sites, batch, dtype=torch.float64)
    out = filmed(x, values)
    torch.testing.assert_close(out, with_film_layers(filmed.network, values)(x), rtol=1e-12, atol=1e-12)
    assert (out - filmed(x)).abs().max() > 0.1


def test_a_batch_equals_one_by_one() -> None:
    filmed, x, _ = filmed_tiny()
    values = random_modulations(filmed.sites, 3, dtype=torch.float64)
    rows = [
        filmed(x[i : i + 1], {name: Modulation(g[i : i + 1], b[i : i + 1]) for name, (g, b) in values.items()})
        for i in range(3)
    ]
    torch.testing.assert_close(filmed(x, values), torch.cat(rows), rtol=1e-12, atol=1e-12)


def test_sites_without_values_stay_the_identity() -> None:
    filmed, x, values = filmed_tiny()
    one = {"layer1.bn2": values["layer1.bn2"]}
    torch.testing.assert_close(filmed(x, one), filmed(x, filmed.sites.identity(dtype=x.dtype) | one))


def test_state_dicts_go_both_ways() -> None:
    plain, other = tiny(seed=1), tiny(seed=2)
    keys, weights = list(plain.state_dict()), copy.deepcopy(plain.state_dict())
    filmed = inject_film(other, [TINY_SITES])
    assert list(filmed.network.state_dict()) == keys
    filmed.network.load_state_dict(weights, strict=True)
    assert torch.equal(filmed(images(2)), plain(images(2)))
    fresh = tiny(seed=3)
    fresh.load_state_dict(filmed.network.state_dict(), strict=True)
    assert torch.equal(fresh(images(2)), plain(images(2)))


def test_gradients_reach_the_values_and_the_input() -> None:
    filmed, x, _ = filmed_tiny()
    flat = filmed.sites.flatten(random_modulations(filmed.sites, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda flat: filmed(x[:1], filmed.sites.split(flat)), flat)


def test_modulated_serves_many_batches_and_single_stages() -> None:
    filmed, x, values = filmed_tiny()
    network = filmed.network
    with filmed.modulated(values) as same:
        assert same is filmed
        assert torch.equal(filmed(x), filmed(x, values))
        assert torch.equal(filmed(x[:1]), filmed(x[:1], values))
        staged = network.layer2(network.layer1(network.stem(x))).mean(dim=(2, 3))
    assert torch.equal(staged, filmed(x, values))


def test_nested_calls_restore_the_outer_values() -> None:
    filmed, x, values = filmed_tiny()
    other = random_modulations(filmed.sites, seed=5, dtype=torch.float64)
    with filmed.modulated(values):
        inner = filmed(x, other)
        outer = filmed(x)
        identity = filmed(x, {})
    assert torch.equal(inner, filmed(x, other))
    assert torch.equal(outer, filmed(x, values))
    assert torch.equal(identity, filmed(x))


def test_no_values_leak_out_of_a_call_that_fails() -> None:
    filmed, x, values = filmed_tiny()
    expected = filmed(x)
    three_rows = random_modulations(filmed.sites, 3, dtype=torch.float64)
    with pytest.raises(ShapeError, match="3 rows for a batch of 2"):
        filmed(x[:2], three_rows)
    assert torch.equal(filmed(x), expected)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    handle = filmed.network.layer2.conv1.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        filmed(x, values)
    handle.remove()
    assert torch.equal(filmed(x), expected)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch's own use of it
def test_many_tasks_at_once_by_vmap() -> None:
    filmed, x, _ = filmed_tiny()
    tasks = random_modulations(filmed.sites, 5, dtype=torch.float64)
    flat = filmed.sites.flatten(tasks)
    together = torch.func.vmap(lambda row: filmed(x, filmed.sites.split(row[None])))(flat)
    singles = [filmed(x, filmed.sites.split(row[None])) for row in flat]
    torch.testing.assert_close(together, torch.stack(singles))


def test_autocast_keeps_values_in_full_precision() -> None:
    filmed, x = inject_film(tiny(dtype=torch.float32), [TINY_SITES]), images(3, dtype=torch.float32)
    values = random_modulations(filmed.sites)
    with torch.autocast("cpu", torch.bfloat16):
        low = filmed(x, values)
    torch.testing.assert_close(low.float(), filmed(x, values), rtol=0.05, atol=0.05)


def test_threads_do_not_see_each_others_values() -> None:
    filmed, x, _ = filmed_tiny()
    tasks = [random_modulations(filmed.sites, seed=seed, dtype=torch.float64) for seed in range(4)]
    expected = [filmed(x, task) for task in tasks]
    results: list[list[Tensor]] = [[] for _ in tasks]
    barrier = threading.Barrier(len(tasks))

    def work(i: int) -> None:
        with filmed.modulated(tasks[i]):
            barrier.wait()
            results[i] += [filmed(x) for _ in range(5)]
            barrier.wait()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(
        len(outs) == 5 and all(torch.equal(o, e) for o in outs) for outs, e in zip(results, expected, strict=True)
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda filmed: pickle.loads(pickle.dumps(filmed))])
def test_copies_are_independent(duplicate: object) -> None:
    filmed, x, values = filmed_tiny()
    expected, modulated = filmed(x), filmed(x, values)
    with filmed.modulated(values):
        twin = duplicate(filmed)
        assert torch.equal(twin(x), expected), "a copy starts without the values of the call in progress"
        assert torch.equal(filmed(x), modulated)
    assert torch.equal(twin(x, values), modulated)
    with twin.modulated(values):
        assert torch.equal(filmed(x), expected)
    nn.init.zeros_(twin.network.stem[0].weight)
    assert torch.equal(filmed(x, values), modulated)


def test_checkpointing_the_whole_call_gives_the_same_gradients() -> None:
    filmed, x, _ = filmed_tiny()
    flat = filmed.sites.flatten(random_modulations(filmed.sites, dtype=torch.float64)).requires_grad_()

    def run(flat: Tensor) -> Tensor:
        return filmed(x, filmed.sites.split(flat)).square().sum()

    (plain,) = torch.autograd.grad(run(flat), flat)
    (recomputed,) = torch.autograd.grad(checkpoint(run, flat, use_reentrant=False), flat)
    torch.testing.assert_close(plain, recomputed)


def test_remove_film_gives_the_network_back() -> None:
    filmed, x, values = filmed_tiny()
    plain, modulated = filmed(x), filmed(x, values)
    calls = []
    filmed.network.layer1.bn1.register_forward_hook(lambda *_: calls.append(1))
    remove_film(filmed.network)
    assert torch.equal(filmed(x), plain)
    assert calls, "other hooks stay"
    for stale in (filmed, copy.deepcopy(filmed)):
        with pytest.raises(SiteError, match=r"remove_film took FiLM out of this network; inject it again"):
            stale(x, values)
    assert torch.equal(inject_film(filmed.network, [TINY_SITES])(x, values), modulated)


def norm_and_input(kind: str) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = {
        "LayerNorm": (2, 5, 5, 4),
        "RMSNorm": (2, 7, 4),
        "BatchNorm1d": (2, 4),
        "InstanceNorm1d": (2, 4, 9),
    }
    layers = {
        "BatchNorm1d": nn.BatchNorm1d(4).eval(),
        "BatchNorm2d": nn.BatchNorm2d(4, affine=False).eval(),
        "InstanceNorm1d": nn.InstanceNorm1d(4),
        "GroupNorm": nn.GroupNorm(2, 4),
        "LayerNorm": nn.LayerNorm(4),
        "RMSNorm": nn.RMSNorm(4),
    }
    return layers[kind], torch.randn(shape.get(kind, (2, 4, 5, 5)), generator=generator)


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "GroupNorm", "LayerNorm", "RMSNorm"])
def test_kinds_of_norms(kind: str) -> None:
    norm, x = norm_and_input(kind)
    filmed = inject_film(nn.Sequential(norm), ["0"])
    values = random_modulations(filmed.sites, 2)
    gamma, beta = values["0"]
    axis = -1 if kind in ("LayerNorm", "RMSNorm") else 1
    channels_first = norm(x).movedim(axis, 1)
    by_channel = [
        gamma[:, c].view(2, *[1] * (x.ndim - 2)) * channels_first[:, c] + beta[:, c].view(2, *[1] * (x.ndim - 2))
        for c in range(4)
    ]
    torch.testing.assert_close(filmed(x, values), torch.stack(by_channel, dim=axis))


class LlamaRMSNorm(nn.Module):
    """As transformers writes it: derived from no norm of torch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class ConvNextLayerNorm(nn.LayerNorm):
    """As ConvNeXt's authors and transformers have it: an attribute says where the channels are."""

    def __init__(self, width: int, data_format: str) -> None:
        super().__init__(width)
        self.data_format = data_format

    def forward(self, x: Tensor) -> Tensor:
        if self.data_format == "channels_last":
            return super().forward(x)
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def test_norms_of_other_libraries() -> None:
    tokens, maps = torch.randn(2, 5, 4), torch.randn(2, 4, 5, 4)
    layers = [
        (LlamaRMSNorm(4), tokens, -1),
        (ConvNextLayerNorm(4, "channels_last"), tokens, -1),
        (ConvNextLayerNorm(4, "channels_first"), maps, 1),
    ]
    for layer, x, axis in layers:
        filmed = inject_film(nn.Sequential(layer), ["**"])
        values = random_modulations(filmed.sites, 2)
        expected = film(layer(x).detach(), *values["0"], axis=axis)
        torch.testing.assert_close(filmed(x, values), expected)
        if isinstance(layer, ConvNextLayerNorm):
            row = random_modulations(filmed.sites)
            torch.testing.assert_close(fold_film(filmed, row)(x), filmed(x, row), rtol=1e-5, atol=1e-5)
    with pytest.raises(SiteError, match="fits no norm, only 0, 1"):
        inject_film(nn.Sequential(nn.Sequential(LlamaRMSNorm(4)), nn.Linear(4, 4)), ["*"])


def test_film_after_a_layer_that_is_no_norm() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(4, 5, 1)).double()
    filmed = inject_film(network, [Site("0", 4), Site("1", 5)])
    values, x = random_modulations(filmed.sites, dtype=torch.float64), images(2)
    hidden = network[0](x) * values["0"].gamma[:, :, None, None] + values["0"].beta[:, :, None, None]
    expected = network[1](hidden) * values["1"].gamma[:, :, None, None] + values["1"].beta[:, :, None, None]
    torch.testing.assert_close(filmed(x, values), expected)


def test_a_norm_used_twice_is_modulated_twice() -> None:
    norm = nn.BatchNorm2d(3).eval()
    filmed = inject_film(nn.Sequential(norm, nn.ReLU(), norm), ["0"])
    values = {"0": Modulation(torch.full((1, 3), 2.0), torch.zeros(1, 3))}
    x = torch.ones(1, 3, 2, 2)
    torch.testing.assert_close(filmed(x, values), 4 * filmed(x))


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (
            ["layer1.bn3"],
            "no layer is named 'layer1.bn3' and no norm fits it (did you mean 'layer1.bn2'?); the norms are: ",
        ),
        (["layer9.**"], "no layer is named 'layer9.**' and no norm fits it"),
        ([Site("layer9.*", 4)], "no layer is named 'layer9.*' and no norm fits it"),
        (
            ["stem.0"],
            "cannot read a number of channels off 'stem.0', a Conv2d; expected a normalisation layer",
        ),
        (
            ["layer1.conv*"],
            "'layer1.conv*' fits no norm, only layer1.conv1, layer1.conv2 (a Conv2d); expected a Site, which states "
            "the number of channels, behind other layers: Site('layer1.conv*', num_channels)",
        ),
        (
            [Site("layer1.conv1", 8)],
            "the site 'layer1.conv1' is given 8 channels, expected 4, the width that its Conv2d states; write "
            "Site('layer1.conv1', 4)",
        ),
        ("layer1.bn1", "after is the string 'layer1.bn1', expected a list of names; write ['layer1.bn1']"),
        ([], "no layer is named, expected at least one"),
    ],
)
def test_inject_refuses_names_that_do_not_fit(after: list[str], message: str) -> None:
    with pytest.raises(SiteError, match=re.escape(message)):
        inject_film(tiny(), after)


def test_inject_refuses_widths_it_cannot_read() -> None:
    for norm, name in ((nn.LayerNorm((4, 4)), "LayerNorm"), (nn.LazyBatchNorm2d(), "LazyBatchNorm2d")):
        message = f"off '0', a {name}; expected a normalisation layer over one channel axis; name another, or"
        with pytest.raises(SiteError, match=re.escape(message)):
            inject_film(nn.Sequential(norm), ["0"])


def test_the_call_refuses_to_guess_where_the_channels_are() -> None:
    """As many tokens as channels: the wrong axis would fit."""
    network, x = nn.Sequential(nn.GRU(4, 6, batch_first=True)), torch.randn(2, 6, 4)
    filmed = inject_film(network, [Site("0", 6)])
    message = (
        "site '0': a GRU returned (2, 6, 6), where axis 1 and axis 2 have 6 each; expected a site that says which "
        "holds the channels: Site('0', 6, axis=-1) for tokens, axis=1 for sequences (B, C, T)"
    )
    with pytest.raises(SiteError, match=re.escape(message)):
        filmed(x, filmed.sites.identity())
    with pytest.raises(ShapeError, match=re.escape("site '0', channels on axis 1: film: gamma and beta have shape")):
        filmed(x[:, :5], filmed.sites.identity())
    remove_film(network)
    gamma = torch.randn(2, 6)
    filmed = inject_film(network, [Site("0", 6, axis=-1, form="scale")])
    expected = gamma[:, None] * network(x)[0]
    torch.testing.assert_close(filmed(x, {"0": Modulation(gamma, torch.zeros(2, 6))})[0], expected)


def test_a_norm_with_its_activation_inside_says_where_its_channels_are() -> None:
    """FiLM acts before the activation, which itself says nothing of an axis."""

    class NormAct(nn.LayerNorm):
        def __init__(self) -> None:
            super().__init__(4)
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(super().forward(x))

    layer, x, gamma = NormAct(), torch.randn(2, 4, 4), torch.randn(2, 4)
    filmed = inject_film(nn.Sequential(layer), ["0"])
    expected = torch.relu(gamma[:, None] * nn.LayerNorm.forward(layer, x))
    torch.testing.assert_close(filmed(x, {"0": Modulation(gamma, torch.zeros(2, 4))}), expected)


def test_functions_that_need_film_refuse_a_plain_network(tmp_path: Path) -> None:
    network: Any = tiny()
    calls = {
        "fold_film": lambda: fold_film(network, {}),
        "save_modulations": lambda: save_modulations(tmp_path / "a", network, {}),
        "load_modulations": lambda: load_modulations(tmp_path / "a", network),
    }
    for name, call in calls.items():
        with pytest.raises(SiteError, match=rf"{name} got a \w+, expected the FiLMedNetwork that inject_film returned"):
            call()


def test_inject_refuses_a_layer_that_attention_never_calls() -> None:
    network = nn.TransformerEncoderLayer(8, 2, 16)
    message = r"'self_attn.out_proj' is part of an nn.MultiheadAttention, .* itself: Site\('self_attn', 8\)"
    with pytest.raises(SiteError, match=message):
        inject_film(network, [Site("self_attn.out_proj", 8)])


@pytest.mark.parametrize("norm_first", [False, True])
@torch.no_grad()
def test_torchs_transformer_runs_film_in_evaluation_too(norm_first: bool) -> None:
    """Its fused path for evaluation would call no norm; torch leaves it where there are hooks."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first, dropout=0)
    filmed = inject_film(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), ["**"])
    values, x = random_modulations(filmed.sites, 2), torch.randn(2, 5, 8)
    expected = filmed.train()(x, values)
    torch.testing.assert_close(filmed.eval()(x, values), expected)
    assert (expected - filmed(x)).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage:UserWarning")
@torch.no_grad()
def test_nested_tensors_are_refused() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()
    filmed = inject_film(encoder, ["**"])
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with filmed.modulated(filmed.sites.identity()), pytest.raises(ShapeError, match="are a nested tensor, expected a"):
        encoder(torch.randn(2, 5, 8), src_key_padding_mask=padding)


def test_inject_refuses_a_second_film() -> None:
    network = tiny()
    inject_film(network, ["layer1.bn1"])
    with pytest.raises(SiteError, match=r"'layer1.bn1' carries FiLM already; take it out first with remove"):
        inject_film(network, [TINY_SITES])


def test_the_call_refuses_values_for_other_sites() -> None:
    filmed, x, values = filmed_tiny()
    with pytest.raises(
        SiteError,
        match=r"there is no site 'layer1.bn' \(did you mean 'layer1.bn2' or 'layer2.bn2'\?\); the sites are: ",
    ):
        filmed(x, {"layer1.bn": values["layer1.bn1"]})
    with pytest.raises(ShapeError, match=re.escape("site 'layer1.bn1': gamma has shape (1, 8)")):
        filmed(x, {"layer1.bn1": values["layer2.bn1"]})
