"""Networks side by side as one backbone: their features, FiLM in them, what reads their maps, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.heads_features import split_features
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.commands.pretrain import whiten
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.errors import ConfigError, InvalidValueError, SavedModelError
from fewshot_film.learners import DN4, LDA, JoinedBackbone, SimpleCNAPS, build_backbone, save_learner
from fewshot_film.learners.prefix import without_prefix
from fewshot_film.learners.whitened_vgg import WhitenedConv2d
from tests.learners.small import SMALL, noisy_classes

NORMED = dataclasses.replace(SMALL.backbone, feature_norms=(4.0,), flip_tta=True)


def two_networks(config=SMALL.backbone) -> JoinedBackbone:
    torch.manual_seed(0)
    wider = dataclasses.replace(config, width=12)
    return JoinedBackbone({"one": build_backbone(config), "other": build_backbone(wider)}).eval()


def test_joined_networks_give_the_features_of_both():
    joined, images = two_networks(), torch.rand(3, 1, 16, 16)
    one, other = joined.backbones
    torch.testing.assert_close(joined(images), torch.cat([one(images), other(images)], 1))
    assert joined.feature_dim == one.feature_dim + other.feature_dim


@pytest.mark.parametrize("adaptation", ["film", "channelwise"])
def test_film_in_joined_networks(adaptation: str):
    """A classifier folds it, and passes images through what comes before it once."""
    sites = ("one.layer*.*.bn[12]", "other.layer2.*.bn[12]")
    learner = SimpleCNAPS(dataclasses.replace(SMALL, adaptation=adaptation, sites=sites), two_networks()).eval()
    with torch.no_grad():
        for parameter in learner.generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pixels, labels = torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8), torch.tensor([0, 0, 1, 1, 2, 2])
    expected = learner.adapt(pixels / 255, labels)(pixels / 255).detach()
    found = FewShotClassifier(learner, temperature=1.0).fit(pixels, labels).logits(pixels)
    torch.testing.assert_close(torch.as_tensor(found).float(), expected, rtol=1e-3, atol=1e-3)
    rest, prefix = without_prefix(learner)
    maps = prefix(pixels / 255)
    torch.testing.assert_close(rest.adapt(maps, labels)(maps).detach(), expected, rtol=1e-4, atol=1e-4)


def test_the_first_layer_of_every_network_is_whitened():
    config = BackboneConfig(name="whitened-vgg", width=4, blocks=(1,), image_size=16, channels=1, networks=2)
    joined = build_backbone(config)
    before = [layer.weight.clone() for layer in joined.modules() if isinstance(layer, WhitenedConv2d)]
    whiten(joined, noisy_classes(4, 3))
    after = [layer.weight for layer in joined.modules() if isinstance(layer, WhitenedConv2d)]
    assert len(after) == 2
    assert torch.equal(*after)  # by the same images
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_local_descriptors_hold_the_features_of_all():
    learner, images = DN4(backbone=two_networks()), torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(learner.features(images), learner.backbone(images)[:, None])


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_stored_features_can_be_raised_to_a_power(power: float):
    learner = LDA(backbone=two_networks(NORMED))
    images = noisy_classes(4, 3)
    found = split_features(learner, images, "").at_power(power)
    learner.backbone.set_features(power)
    torch.testing.assert_close(found, learner.backbone(images.get(np.arange(12)) / 255), rtol=1e-4, atol=1e-5)


def test_networks_of_other_sizes_are_not_joined():
    other = dataclasses.replace(SMALL.backbone, image_size=20)
    networks = {"one": build_backbone(SMALL.backbone), "other": build_backbone(other)}
    with pytest.raises(ConfigError, match="joined networks read one 1 x 16 x 16, other 1 x 20 x 20; expected images"):
        JoinedBackbone(networks)
    with pytest.raises(ConfigError, match="joined networks read nothing; expected"):
        JoinedBackbone({})


def test_networks_of_several_kinds_are_no_model_folder(tmp_path: Path):
    with pytest.raises(SavedModelError, match="this model could not be loaded again"):
        save_learner(tmp_path / "model", LDA(backbone=two_networks()), {}, "")


def test_there_are_no_common_stages():
    with pytest.raises(InvalidValueError, match="networks side by side have no common stages; use adaptation film"):
        SimpleCNAPS(dataclasses.replace(SMALL, adaptation="film+ar", sites=("one.layer*.*.bn1",)), two_networks())
