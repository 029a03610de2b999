"""The generator that all channels share, and the statistics that it reads."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from fewshot_film.film import (
    ChannelGenerator,
    ShapeError,
    Site,
    Sites,
    channel_statistics,
    inject_film,
    remove_film,
    site_moments,
)
from fewshot_film.film.channelwise import NUM_STATISTICS, SiteMoments
from tests.film.networks import seeded

SITES = Sites([Site("a", 3), Site("b", 2)])


def generator(sites: Sites = SITES, width: int = 4) -> ChannelGenerator:
    made = ChannelGenerator(sites, width).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(generator=seeded(parameter.numel()))
    return made


def statistics(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.randn(5, NUM_STATISTICS, generator=seeded(seed), dtype=torch.float64)
    return values, torch.tensor([1.0, 2, 3, 4, 5], dtype=torch.float64)


def test_begins_at_the_identity():
    values, units = statistics()
    found = ChannelGenerator(SITES, 4).double()(values, units)
    for name, expected in SITES.identity(dtype=torch.float64).items():
        assert torch.equal(found[name].gamma, expected.gamma)
        assert torch.equal(found[name].beta, expected.beta)


def layer_by_hand(x: list[float], layer: nn.Linear, *, relu: bool) -> list[float]:
    rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    found = [sum(w * v for w, v in zip(row, x, strict=True)) + bias for row, bias in rows]
    return [max(value, 0.0) for value in found] if relu else found


def test_each_channel_by_the_same_small_network():
    made, (values, units) = generator(), statistics()
    hidden = []
    for row, site in zip(values.tolist(), [[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 2, strict=True):
        first = layer_by_hand([*row, *site], made.channel[0], relu=True)
        hidden.append(layer_by_hand(first, made.channel[2], relu=True))
    mean = [sum(column) / 5 for column in zip(*hidden, strict=True)]
    summary = layer_by_hand(mean, made.summary[0], relu=True)
    found = made(values, units)
    channels = [(name, place) for name, width in (("a", 3), ("b", 2)) for place in range(width)]
    for number, (name, place) in enumerate(channels):
        first = layer_by_hand([*hidden[number], *summary], made.change[0], relu=True)
        scale, shift = layer_by_hand(first, made.change[2], relu=False)
        assert found[name].gamma[0, place].item() == pytest.approx(1 + scale, rel=1e-12)
        assert found[name].beta[0, place].item() == pytest.approx(shift * float(units[number]), rel=1e-12)


def test_the_order_of_a_sites_channels_has_no_meaning():
    made, (values, units) = generator(), statistics()
    order = torch.tensor([2, 0, 1, 3, 4])
    one, other = made(values, units), made(values[order], units[order])
    torch.testing.assert_close(other["a"].gamma, one["a"].gamma[:, order[:3]])
    torch.testing.assert_close(other["a"].beta, one["a"].beta[:, order[:3]])
    torch.testing.assert_close(other["b"], one["b"])


def test_its_size_does_not_depend_on_the_number_of_channels():
    wide = Sites([Site("a", 300), Site("b", 20)])
    count, of_wide = (sum(p.numel() for p in ChannelGenerator(sites, 8).parameters()) for sites in (SITES, wide))
    assert count == of_wide
    assert ChannelGenerator(SITES).state_dict().keys() == dict(ChannelGenerator(SITES).named_parameters()).keys()


def test_gradients():
    made, (values, units) = generator(), statistics()

    def run(values: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        named = dict(zip(dict(made.named_parameters()), parameters, strict=True))
        return SITES.flatten(torch.func.functional_call(made, named, (values, units)))

    parameters = [parameter.detach().requires_grad_() for parameter in made.parameters()]
    assert torch.autograd.gradcheck(run, (values.requires_grad_(), *parameters))


def test_the_penalty_is_of_the_last_layer():
    made = ChannelGenerator(SITES, 4, penalty_weight=0.5)
    assert made.penalty() == 0
    with torch.no_grad():
        made.change[2].weight.fill_(3.0)
    assert made.penalty() == 0.5 * 2 * 4 * 9


def test_what_does_not_fit_is_refused():
    values, units = statistics()
    message = "statistics have shapes (4, 5) and (5,), expected (5, 5) and (5,): a row for each channel of its 2 sites"
    with pytest.raises(ShapeError, match=re.escape(message)):
        generator()(values[:4], units)
    with pytest.raises(ShapeError, match="width is 0, expected at least 1"):
        ChannelGenerator(SITES, 0)


def network() -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))
    with torch.no_grad():
        for norm in (made[1], made[4]):
            norm.weight.uniform_(-2, 2)
            norm.bias.normal_()
    return made.double().eval()


@torch.no_grad()
def test_statistics_are_those_of_the_layers_outputs_in_units_of_home():
    plain, images = network(), torch.randn(5, 2, 9, 9, generator=seeded(1), dtype=torch.float64)
    filmed = inject_film(plain, after=["1", "4"])
    moments = site_moments(filmed, lambda: [plain(part) for part in images.split(2)])
    values, units = channel_statistics(filmed, moments)
    row = 0
    for depth in (2, 5):
        norm, output = plain[depth - 1], plain[:depth](images)
        for channel in range(output.shape[1]):
            unit, centre = abs(float(norm.weight[channel])), float(norm.bias[channel])
            maps = [(output[image, channel].flatten() - centre) / unit for image in range(5)]
            means = torch.stack([one.mean() for one in maps])
            spreads = torch.stack([(one - one.mean()).square().mean().sqrt() for one in maps])
            expected = [means.mean(), (means - means.mean()).square().mean().sqrt()]
            expected += [spreads.mean(), (spreads - spreads.mean()).square().mean().sqrt(), torch.tensor(5**-0.5)]
            # moments are kept in single precision
            torch.testing.assert_close(values[row].double(), torch.stack(expected).double(), rtol=1e-4, atol=1e-5)
            assert float(units[row]) == pytest.approx(unit, rel=1e-6)
            row += 1
    assert row == len(values)


@torch.no_grad()
@pytest.mark.parametrize("layer", [nn.Conv2d(4, 4, 1), nn.Linear(4, 4)])
def test_layers_that_are_no_norms_have_no_home(layer):
    """Their weights say nothing of what they return."""
    filmed = inject_film(nn.Sequential(layer, nn.ReLU()), after=[Site("0", 4, axis=1)])
    images = torch.randn(5, 4, 4, 4, generator=seeded(1))
    values, units = channel_statistics(filmed, site_moments(filmed, lambda: filmed.network(images)))
    assert torch.equal(units, torch.ones(4))
    torch.testing.assert_close(values[:, 0], layer(images).mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_training_data_are_home():
    """Of a BatchNorm in training mode the statistics of its own batch are 0 and, together, 1."""
    plain = network()[:2].train()
    filmed = inject_film(plain, after=["1"])
    images = torch.randn(50, 2, 9, 9, generator=seeded(1), dtype=torch.float64)
    values, _ = channel_statistics(filmed, site_moments(filmed, lambda: plain(images)))
    torch.testing.assert_close(values[:, 0], torch.zeros(3), atol=1e-5, rtol=0)
    moments = site_moments(filmed, lambda: plain(images))["1"]
    total = moments.mean.var(0, correction=0) + moments.std.square().mean(0)
    torch.testing.assert_close(total, plain[1].weight.square().float(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_statistics_are_of_the_plain_network():
    plain, images = network(), torch.randn(3, 2, 9, 9, generator=seeded(2), dtype=torch.float64)
    filmed = inject_film(plain, after=["1", "4"])
    expected = site_moments(filmed, lambda: plain(images))
    values = filmed.sites.identity(dtype=torch.float64)
    values["1"] = values["1"]._replace(gamma=torch.full((1, 3), 7.0, dtype=torch.float64))
    with filmed.modulated(values):
        found = site_moments(filmed, lambda: plain(images))
    torch.testing.assert_close(found, expected)
    before = plain(images)
    remove_film(plain)
    assert torch.equal(plain(images), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in plain.modules())


def test_threads_note_their_own_images_alone():
    plain, images = network(), torch.randn(2, 2, 2, 9, 9, generator=seeded(4), dtype=torch.float64)
    filmed = inject_film(plain, after=["1", "4"])
    expected = [site_moments(filmed, lambda part=part: plain(part)) for part in images]
    barrier = threading.Barrier(2)

    def work(part: torch.Tensor) -> dict[str, SiteMoments]:
        def run() -> None:
            for step in (barrier.wait, lambda: plain(part), barrier.wait):
                step()

        return site_moments(filmed, run)

    with ThreadPoolExecutor(2) as pool:
        torch.testing.assert_close(list(pool.map(work, images)), expected, rtol=0, atol=0)


class Inside(nn.BatchNorm2d):
    """A norm with its activation, as timm has it."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(super().forward(x))


@torch.no_grad()
def test_where_norm_and_activation_are_one_layer_statistics_are_of_what_lies_between():
    plain = nn.Sequential(Inside(2)).eval()
    filmed = inject_film(plain, after=["0"])
    moments = site_moments(filmed, lambda: plain(torch.full((1, 2, 2, 2), -3.0)))
    torch.testing.assert_close(moments["0"].mean, torch.full((1, 2), -3.0), rtol=1e-4, atol=0)


@torch.no_grad()
def test_channels_that_come_last_and_features_without_positions():
    plain = nn.Sequential(nn.LayerNorm(3))
    filmed = inject_film(plain, after=["0"])
    tokens = torch.randn(2, 7, 3, generator=seeded(3))
    moments = site_moments(filmed, lambda: plain(tokens))["0"]
    torch.testing.assert_close(moments.mean, plain(tokens).mean(1))
    one = site_moments(filmed, lambda: plain(tokens[:, 0]))["0"]
    torch.testing.assert_close(one.mean, plain(tokens[:, 0]))
    assert not one.std.any()


@torch.no_grad()
def test_statistics_are_bounded_and_a_single_image_has_no_spread_over_images():
    plain = nn.Sequential(nn.BatchNorm2d(2)).eval()
    with torch.no_grad():
        plain[0].weight.copy_(torch.tensor([1e-9, 1.0]))
        plain[0].bias.copy_(torch.tensor([0.0, 0.0]))
    filmed = inject_film(plain, after=["0"])
    found = channel_statistics(filmed, site_moments(filmed, lambda: plain(torch.full((1, 2, 2, 2), 1e6))))
    assert found.values.abs().max() == 10
    assert found.values[:, 1].tolist() == [0, 0]
    assert found.values[:, 4].tolist() == [1, 1]
    assert found.units[0] == pytest.approx(1e-3)
