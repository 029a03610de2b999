from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot_film.film import (
    AutoregressiveGenerator,
    Modulations,
    ShapeError,
    Site,
    Sites,
    StagedRun,
    inject_film,
)
from tests.film.networks import TINY_SITES, images, random_modulations, seeded, tiny
from tests.film.test_generators import (
    assert_values_of_site_equal_the_oracle,
    code,
    enlarge_regularisers,
    layers,
)
from tests.reference import film_numpy

SITES = Sites([Site("a", 3, "s"), Site("b", 5, "s"), Site("c", 2, "t")])
FEATURES = [torch.randn(6, width, generator=seeded(width), dtype=torch.float64) for width in (7, 4)]


class Recorder:
    """A stage runner that returns given features and remembers what it was asked."""

    def __init__(self, features: list[Tensor]) -> None:
        self.features = features
        self.asked: list[tuple[int, list[str]]] = []

    def __call__(self, segment: int, modulations: Modulations) -> Tensor:
        self.asked.append((segment, list(modulations)))
        return self.features[segment]


def make() -> AutoregressiveGenerator:
    return enlarge_regularisers(AutoregressiveGenerator(4, SITES, (7, 4)))


def test_equals_the_oracle() -> None:
    generator = make()
    values = generator(code(1), Recorder(FEATURES))
    for stage, members in enumerate(([0, 1], [2])):
        first, *residual = layers(generator.local_codes[stage].per_example)
        (last,) = layers(generator.local_codes[stage].pooled)
        local = film_numpy.local_code(FEATURES[stage].numpy(), first, residual, last)
        assert local.shape == (1, (5, 2)[stage]), "as wide as the stage's last site"
        hidden = np.concatenate([local, code(1).numpy()], axis=1)
        for i in members:
            assert_values_of_site_equal_the_oracle(generator.values[i], hidden, values[SITES[i].name])


def test_runs_the_stem_and_then_each_stage_but_the_last_with_its_own_values() -> None:
    recorder = Recorder(FEATURES)
    values = make()(code(1), recorder)
    assert recorder.asked == [(0, []), (1, ["a", "b"])]
    assert list(values) == ["a", "b", "c"]


def test_the_order_of_the_set_does_not_matter() -> None:
    generator, order = make(), torch.tensor([3, 1, 5, 0, 2, 4])
    straight = SITES.flatten(generator(code(1), Recorder(FEATURES)))
    shuffled = SITES.flatten(generator(code(1), Recorder([f[order] for f in FEATURES])))
    torch.testing.assert_close(straight, shuffled, rtol=1e-12, atol=1e-12)


def test_a_fresh_one_is_near_the_identity() -> None:
    for gamma, beta in AutoregressiveGenerator(4, SITES, (7, 4)).double()(code(1), Recorder(FEATURES)).values():
        assert gamma.shape[0] == 1
        assert 0 < (gamma - 1).abs().max() < 0.05
        assert 0 < beta.abs().max() < 0.05


def test_a_later_stage_depends_on_the_values_of_an_earlier_one() -> None:
    """What makes it auto-regressive: the set runs through stages that are already modulated."""
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(5)
    network = filmed.network
    segments = [network.stem, network.layer1, network.layer2]
    generator = enlarge_regularisers(AutoregressiveGenerator(4, filmed.sites, (4, 4)))
    values = generator(code(1), StagedRun(filmed, segments, x))

    stage1 = {name: value for name, value in values.items() if name.startswith("layer1")}
    with filmed.modulated(stage1):
        features = network.layer1(network.stem(x)).mean(dim=(2, 3))
    by_hand = generator(code(1), Recorder([network.stem(x).mean(dim=(2, 3)), features]))
    torch.testing.assert_close(filmed.sites.flatten(values), filmed.sites.flatten(by_hand))

    unmodulated = generator(
        code(1),
        Recorder([network.stem(x).mean(dim=(2, 3)), network.layer1(network.stem(x)).mean(dim=(2, 3))]),
    )
    assert (values["layer2.bn1"].gamma - unmodulated["layer2.bn1"].gamma).abs().max() > 1e-3
    loss = sum(part.sum() for value in values.values() for part in value)
    loss.backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


def test_a_staged_run_equals_the_whole_network() -> None:
    filmed, x = inject_film(tiny(), [TINY_SITES]), images(3)
    network, values = filmed.network, random_modulations(filmed.sites, dtype=torch.float64)
    run = StagedRun(filmed, [network.stem, network.layer1, network.layer2], x)
    run(0, {})
    run(1, {name: value for name, value in values.items() if name.startswith("layer1")})
    features = run(2, {name: value for name, value in values.items() if name.startswith("layer2")})
    torch.testing.assert_close(features, filmed(x, values))


def test_a_staged_run_takes_features_without_positions_as_they_are() -> None:
    filmed = inject_film(tiny(), [TINY_SITES])
    assert StagedRun(filmed, [filmed.network], images(3))(0, {}).shape == (3, 8)


def test_a_staged_run_goes_forward_only() -> None:
    filmed = inject_film(tiny(), [TINY_SITES])
    run = StagedRun(filmed, [filmed.network.stem], images(3))
    with pytest.raises(
        ShapeError, match="segment 1 of 1 was asked for, expected number 0: segments run in order, each"
    ):
        run(1, {})
    run(0, {})
    for segment in (0, 1):
        with pytest.raises(ShapeError, match=f"segment {segment} of 1 was asked for, expected number 1"):
            run(segment, {})


def test_errors() -> None:
    with pytest.raises(ShapeError, match="feature_dims has 1 entries, expected one for each of the 2 stages: s, t"):
        AutoregressiveGenerator(4, SITES, (7,))
    with pytest.raises(ShapeError, match="the code has 2 rows, expected 1: a set of examples is one task"):
        make()(code(2), Recorder(FEATURES))
    with pytest.raises(ShapeError, match=re.escape("the code has shape (1, 3), expected (B, 4)")):
        make()(code(1, 3), Recorder(FEATURES))
    with pytest.raises(
        ShapeError, match=re.escape("segment 1 returned features of shape (6, 7), expected (N, 4); pool")
    ):
        make()(code(1), Recorder([FEATURES[0], FEATURES[0]]))
