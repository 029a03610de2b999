"""Features evened out by the spread that a support set shows of them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners import SimpleCNAPS, load_learner
from fewshot_film.learners.film_learner import feature_scales
from fewshot_film.learners.registry import save_learner
from tests.learners.small import SMALL, small_learner

SITES = ("layer*.*.bn[12]", "feature_norms.*")
TWO_PARTS = dataclasses.replace(SMALL.backbone, feature_norms=(2.0, 3.0))
IMAGES = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def learner(feature_scaling: float = 0.5, sure_of: int | None = None) -> SimpleCNAPS:
    """A learner with two templates; ``sure_of`` is the weight of the blend that is nearly 1, the last one of none."""
    made = small_learner(
        adaptation="templates", templates=("a", "b"), feature_scaling=feature_scaling, sites=SITES, backbone=TWO_PARTS
    )
    with torch.no_grad():
        made.generator.templates.normal_(std=0.3)
        if sure_of is not None:
            made.generator.blend.weight.zero_()
            made.generator.blend.bias.copy_(100.0 * (torch.arange(3) == sure_of))
    return made.eval()


def test_scales_by_hand():
    features = torch.tensor([[0.0, 0.0], [2.0, 8.0]], dtype=torch.float64)  # variances 2 and 32: spreads 1 to 4
    scales = feature_scales(features, 0.5)
    assert scales[0] / scales[1] == pytest.approx(2.0)
    # divided by sqrt(spread) the variances would be sqrt(2) and sqrt(32): 5 sqrt(2) in all, of 34
    assert scales[0] == pytest.approx(2**-0.25 * (34 / (5 * 2**0.5)) ** 0.5)


@given(power=st.floats(0, 1), seed=st.integers(0, 1000))
def test_total_variance_stays_and_rank_of_spreads_too(power: float, seed: int):
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed)).double() * torch.arange(1.0, 6.0)
    scaled = features * feature_scales(features, power)
    before, after = features.var(0), scaled.var(0)
    np.testing.assert_allclose(after.sum(), before.sum())
    assert after.max() / after.min() <= before.max() / before.min() * (1 + 1e-9)
    if power == 0:
        torch.testing.assert_close(scaled, features)
    if power == 1:
        torch.testing.assert_close(after, torch.full_like(after, before.mean()))


def test_a_feature_that_hardly_varies_is_not_blown_up():
    features = torch.tensor([[0.0, 0.0, 3.0], [1.0, 1e-9, 3.0]], dtype=torch.float64)
    scales = feature_scales(features, 1.0)
    spread = features[:, 0].std()
    torch.testing.assert_close(scales[1] / scales[0], spread / (0.1 * spread / 3), rtol=1e-6, atol=0)
    assert scales[1] == scales[2]


@pytest.mark.parametrize("features", [torch.rand(1, 3), torch.ones(4, 3)])
def test_nothing_is_known_of_one_image_or_of_equal_ones(features: torch.Tensor):
    assert feature_scales(features, 0.5).tolist() == [1.0, 1.0, 1.0]


@torch.no_grad()
def test_images_of_no_source_are_scaled_and_nothing_else():
    made = learner(sure_of=2)
    values = made.modulations(IMAGES)
    features = made.backbone(IMAGES)
    torch.testing.assert_close(made.features(IMAGES, values), features * feature_scales(features, 0.5))
    for name, (gamma, beta) in values.items():
        torch.testing.assert_close(beta, torch.zeros_like(beta))
        assert name.startswith("feature_norms.") or gamma.sub(1).abs().max() < 1e-6


@torch.no_grad()
def test_images_of_a_source_get_its_template_and_are_not_scaled():
    made = learner(sure_of=1)
    expected = made.generator.template(1)
    for name, value in made.modulations(IMAGES).items():
        torch.testing.assert_close(value, expected[name])


@torch.no_grad()
def test_in_between_by_as_much_as_they_are_of_no_source():
    made, without = learner(), learner(feature_scaling=0.0)
    code = made.encode(IMAGES)
    of_none = made.generator.scores(code).softmax(1)[0, -1]
    assert 0.01 < of_none < 0.99
    scales = feature_scales(made.backbone(IMAGES), 0.5)
    found, blend = ({k: v.gamma[0] for k, v in each.modulations(IMAGES).items()} for each in (made, without))
    parts = [name for name in found if name.startswith("feature_norms.")]
    assert parts == ["feature_norms.layer1", "feature_norms.layer2"]
    whitened, plain = (torch.cat([each[name] for name in parts]) for each in (found, blend))
    torch.testing.assert_close(whitened, plain + of_none * (scales - 1))


def test_saved_and_loaded(tmp_path):
    made = learner()
    save_learner(tmp_path / "model", made, {}, "")
    loaded = load_learner(tmp_path / "model")
    assert loaded.config.feature_scaling == 0.5
    with torch.no_grad():
        torch.testing.assert_close(loaded.modulations(IMAGES), made.modulations(IMAGES))


def test_settings_that_do_not_fit():
    with pytest.raises(ConfigError, match=re.escape("learner.feature_scaling is 0.5; expected 0 with adaptation film")):
        SimpleCNAPSConfig(feature_scaling=0.5)
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=f"learner.feature_scaling is {wrong}; expected a number from 0 to 1"):
            SimpleCNAPSConfig(adaptation="templates", feature_scaling=wrong)
    message = "learner.feature_scaling is 0.5, which needs FiLM at feature_norms.layer2; expected feature_norms.* among"
    with pytest.raises(ConfigError, match=re.escape(message)):
        small_learner(adaptation="templates", templates=("a",), feature_scaling=0.5)
