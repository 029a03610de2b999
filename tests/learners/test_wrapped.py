"""Any network as a backbone, and learners over it."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import CNAPSConfig, FiTConfig, PrototypesConfig, SimpleCNAPSConfig
from fewshot_film.errors import ConfigError
from fewshot_film.film import SiteError
from fewshot_film.learners import WrappedBackbone, build_backbone, build_learner, load_learner, save_learner
from fewshot_film.learners.backbone import plain_preprocessing

SUPPORT, LABELS, QUERY = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]), torch.rand(2, 3, 32, 32)


class Separable(nn.Module):
    """A network in the manner of MobileNet, in one's own words."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "depth": nn.Conv2d(width, width, 3, padding=1, groups=width),
                    "norm": nn.GroupNorm(2, width),
                    "point": nn.Conv2d(width, width, 1),
                }
            )
            for _ in range(3)
        )

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block["point"](torch.relu(block["norm"](block["depth"](x))))
        return x


def awake(learner):
    with torch.no_grad():
        for name, parameter in learner.generator.named_parameters():
            if "regulariser" in name:
                parameter.normal_(std=0.3)
    return learner.eval()


def test_a_classifier_leaves_the_network_as_it_was():
    """It was frozen and set to evaluation mode, and a training that went on learned nothing."""
    network = Separable().train()
    classifier = FewShotClassifier(WrappedBackbone(network, plain_preprocessing(32)), device="cpu")
    pixels = (SUPPORT * 255).byte()
    expected = classifier.fit(pixels, LABELS).predict_proba(pixels)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        network.stem.weight.zero_()
    assert np.array_equal(classifier.fit(pixels, LABELS).predict_proba(pixels), expected)


def test_a_network_that_does_not_fit_stays_in_its_mode():
    network = Separable().train()
    with pytest.raises(ValueError, match="the network cannot take an image of 1 x 32 x 32"):
        WrappedBackbone(network, plain_preprocessing(32, 1))
    assert network.training


def test_a_network_of_ones_own():
    torch.manual_seed(0)
    network = Separable()
    backbone = WrappedBackbone(network, plain_preprocessing(32))
    assert backbone.feature_dim == 8
    images = torch.rand(2, 3, 20, 24)
    torch.testing.assert_close(backbone(images), network(backbone.normalize(images)).mean((2, 3)))
    learner = awake(build_learner(SimpleCNAPSConfig(sites=("blocks.*.norm",), set_encoder_layers=3), backbone))
    assert learner.filmed.sites.names == tuple(f"network.blocks.{index}.norm" for index in range(3))
    logits = learner.adapt(SUPPORT, LABELS)(QUERY)
    assert logits.shape == (2, 2)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in learner.generator.parameters())
    plain = copy.deepcopy(learner)
    with torch.no_grad():
        assert torch.equal(plain.adapt(SUPPORT, LABELS)(QUERY), learner.adapt(SUPPORT, LABELS)(QUERY))
        assert not torch.allclose(learner.features(QUERY, learner.modulations(SUPPORT)), learner.backbone(QUERY))


def test_torchvision_resnet_either_way():
    """As a staged network and as a wrapped one it gives the same logits, FiLM included."""
    config = CNAPSConfig(backbone=BackboneConfig(name="resnet18", image_size=32), set_encoder_layers=3)
    torch.manual_seed(0)
    staged = awake(build_learner(config))
    wrapped = build_learner(
        dataclasses.replace(config, backbone=BackboneConfig(name="torchvision:resnet18", image_size=32))
    ).eval()
    state = {
        f"backbone.network.{key.removeprefix('backbone.')}" if key.startswith("backbone.") else key: value
        for key, value in staged.state_dict().items()
    }
    wrapped.load_state_dict(state)
    assert [site.stage for site in wrapped.filmed.sites] == [site.stage for site in staged.filmed.sites]
    with torch.no_grad():
        expected = staged.adapt(SUPPORT, LABELS)(QUERY)
        torch.testing.assert_close(wrapped.adapt(SUPPORT, LABELS)(QUERY), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "sites", "width"),
    [
        ("mobilenet_v3_small", ("features.[23].block.*.1",), 1024),
        ("shufflenet_v2_x0_5", ("stage2.*.branch2.*",), 1024),
    ],
)
def test_torchvision_networks_with_film(name, sites, width, tmp_path):
    backbone = BackboneConfig(name=f"torchvision:{name}", image_size=32)
    config = PrototypesConfig(backbone=backbone, adaptation="film", sites=sites, set_encoder_layers=3)
    torch.manual_seed(0)
    learner = awake(build_learner(config))
    assert learner.backbone.feature_dim == width
    assert len(learner.filmed.sites) > 3
    save_learner(tmp_path / "model", learner, {}, "")
    with torch.no_grad():
        logits = learner.adapt(SUPPORT, LABELS)(QUERY)
        assert torch.equal(load_learner(tmp_path / "model").adapt(SUPPORT, LABELS)(QUERY), logits)


def test_layer_norm_channels_last():
    """ConvNeXt's blocks normalise with the channels last; FiT adapts them."""
    torch.manual_seed(0)
    network = torchvision.models.convnext.ConvNeXt(
        [torchvision.models.convnext.CNBlockConfig(8, 16, 1), torchvision.models.convnext.CNBlockConfig(16, None, 1)],
        num_classes=2,
    )
    network.classifier = nn.Flatten(1)
    config = FiTConfig(sites=("features.*.*.block.2",), steps=2)
    learner = build_learner(config, WrappedBackbone(network, plain_preprocessing(32)))
    adapted = learner.adapt(SUPPORT, LABELS)
    assert [gamma.shape for gamma, _ in adapted.modulations.values()] == [(1, 8), (1, 16)]
    assert adapted(QUERY).shape == (2, 2)


def test_torchvision_weights_fit(tmp_path):
    plain = torchvision.models.shufflenet_v2_x0_5()
    safetensors.torch.save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    config = BackboneConfig(name="torchvision:shufflenet_v2_x0_5", weights=str(tmp_path / "plain.safetensors"))
    backbone = build_backbone(config).eval()
    plain.fc = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(backbone(QUERY), plain.eval()(backbone.normalize(QUERY)))


def test_a_network_on_another_device():
    backbone = WrappedBackbone(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to("meta"))
    assert backbone.feature_dim == 8


def test_errors():
    with pytest.raises(ConfigError, match=r"backbone.name is resnet19; expected cnaps-.*n:NAME or timm:NAME"):
        BackboneConfig(name="resnet19")
    with pytest.raises(ConfigError, match=r"torchvision has no classifier 'resnet19' \(did you mean 'resnet1\d+'\?\)"):
        build_backbone(BackboneConfig(name="torchvision:resnet19"))
    with pytest.raises(ValueError, match="a SqueezeNet has no linear layer that could be its classifier; take"):
        build_backbone(BackboneConfig(name="torchvision:squeezenet1_1"))
    with pytest.raises(ValueError, match=r"returned \(12288,\) for one image; expected features \(1, D\) or"):
        WrappedBackbone(nn.Flatten(0), plain_preprocessing(64))
    stagewise = SimpleCNAPSConfig(adaptation="film+ar", sites=("blocks.*.norm",))
    with pytest.raises(ValueError, match="a wrapped network has no stages; use adaptation film"):
        build_learner(stagewise, WrappedBackbone(Separable()))
    with pytest.raises(SiteError, match="no norm fits it"):
        build_learner(SimpleCNAPSConfig(), WrappedBackbone(Separable()))
