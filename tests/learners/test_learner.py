"""A learner is built from its settings, or from some of them by name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import GradientConfig, LearnerConfig, PrototypesConfig, SimpleCNAPSConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners import LEARNERS, FiT, PrototypicalNetworks, SimpleCNAPS, build_backbone
from fewshot_film.learners.backbone import plain_preprocessing
from tests.extras import needs_learn2learn

SMALL = BackboneConfig(width=4, blocks=(1, 1), channels=1, image_size=16)


@pytest.mark.parametrize(
    "config_class",
    [pytest.param(each, marks=needs_learn2learn if issubclass(each, GradientConfig) else ()) for each in LEARNERS],
)
def test_settings_by_name_are_those_of_the_configuration(config_class: type[LearnerConfig]):
    torch.manual_seed(0)
    one = LEARNERS[config_class](config_class(backbone=SMALL, chunk=7))
    torch.manual_seed(0)
    other = LEARNERS[config_class](backbone=SMALL, chunk=7)
    assert type(other.config) is config_class
    assert other.config == one.config
    assert other.config.chunk == 7
    expected = one.state_dict()
    assert other.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())


def test_settings_by_name_replace_those_of_a_configuration():
    config = SimpleCNAPSConfig(backbone=SMALL, code_dim=8, penalty=0.5)
    learner = SimpleCNAPS(config, penalty=0.25)
    assert learner.config == replace(config, penalty=0.25)
    assert config.penalty == 0.5


def test_a_backbone_by_name_by_settings_or_as_a_network():
    config = PrototypesConfig(backbone=SMALL)
    stated = PrototypicalNetworks(backbone="resnet18").config.backbone
    assert stated == BackboneConfig(name="resnet18", preprocessing=plain_preprocessing())
    renamed = PrototypicalNetworks(config, backbone="cnaps-resnet18")
    assert renamed.config.backbone == replace(config.backbone, name="cnaps-resnet18")
    network = build_backbone(SMALL)
    learner = PrototypicalNetworks(backbone=network, scale=3.0)
    assert learner.backbone is network
    assert learner.config.scale == 3.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SimpleCNAPS(adaptaton="none"), "SimpleCNAPS has no setting 'adaptaton' (did you mean 'adaptation'?)"),
        (lambda: FiT(xyz=1), "FiT has no setting 'xyz'; it has backbone, chunk, head, sites, "),
        (lambda: SimpleCNAPS(method="fit"), "SimpleCNAPS has no setting 'method'"),
        (
            lambda: SimpleCNAPS(adaptation="flim"),
            "learner.adaptation is flim; expected one of film, film+ar, templates, channelwise, none",
        ),
        (lambda: SimpleCNAPS(penalty=-1.0), "learner.penalty is -1.0; expected "),
        (lambda: SimpleCNAPS(backbone="resnet19"), "backbone.name is resnet19; expected cnaps-resnet18, resnet18, "),
        (
            lambda: SimpleCNAPS("resnet18"),
            "the settings of a SimpleCNAPS are 'resnet18'; expected a SimpleCNAPSConfig, or settings by name, such as "
            "SimpleCNAPS(backbone='resnet18')",
        ),
    ],
)
def test_mistakes_are_named(build, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build()
