"""The whitened VGG: its sizes by hand, its first layer by its definition, FiLM in it, and pre-training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation, fold_film
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.whitened_vgg import PooledBlock, WhitenedConv2d, whitening_filters

SMALL = BackboneConfig(name="whitened-vgg", width=4, blocks=(2, 3))


def test_sizes_at_32_pixels():
    backbone = build_backbone(BackboneConfig(name="whitened-vgg", blocks=(2, 2, 2))).eval()
    maps, shapes = torch.zeros(1, 3, 32, 32), []
    for module in (*backbone.stem_modules(), *map(backbone.get_submodule, backbone.stage_names)):
        maps = module(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(3, 32, 32), (24, 31, 31), (24, 31, 31), (64, 15, 15), (256, 7, 7), (256, 3, 3)]
    first = 24 * 13
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    norms = 2 * (2 * 64 + 4 * 256)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == first + convolutions + norms


def test_responses_of_a_whitened_layer_have_unit_variance_and_no_correlation():
    torch.manual_seed(0)
    smooth = F.avg_pool2d(torch.randn(200, 3, 20, 20), 5, 1)  # neighbours are alike, as in images
    images = smooth * torch.tensor([5.0, 4.0, 6.0]).view(3, 1, 1)
    filters = whitening_filters(images)
    assert filters.shape == (24, 3, 2, 2)
    torch.testing.assert_close(filters[12:], -filters[:12])
    responses = F.conv2d(images.double(), filters[:12].double()).transpose(0, 1).flatten(1)
    second_moments = responses @ responses.T / responses.shape[1]
    torch.testing.assert_close(second_moments, torch.eye(12).double(), atol=0.02, rtol=0)


def test_whitening_by_hand_of_one_channel():
    # every patch is +-(1, 1, 1, 1) or +-(1, 1, -1, -1): two directions of variance 4 and 4, the others silent
    even, split = torch.ones(2, 2), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    images = torch.stack([even, -even, split, -split])[:, None]
    filters = whitening_filters(images)[:4].flatten(1)
    by_size = filters[filters.norm(dim=1).argsort()]
    variance = 2.0  # of each direction: half of the patches lie along it, of squared length 4
    torch.testing.assert_close(by_size[:2].norm(dim=1), torch.full((2,), (variance + 5e-4) ** -0.5))
    torch.testing.assert_close(by_size[2:].norm(dim=1), torch.full((2,), 5e-4**-0.5))
    torch.testing.assert_close(by_size[2:] @ torch.stack([even.flatten(), split.flatten()]).T, torch.zeros(2, 2))


def test_the_first_layer_is_whitened_and_not_trained():
    images, backbone = torch.rand(8, 3, 32, 32), build_backbone(SMALL)
    first = backbone.get_submodule("conv1")
    assert isinstance(first, WhitenedConv2d)
    first.whiten(backbone.normalize(images))
    torch.testing.assert_close(backbone.state_dict()["conv1.weight"], whitening_filters(backbone.normalize(images)))
    assert not backbone.get_parameter("conv1.weight").requires_grad
    assert backbone.state_dict()["conv1.bias"].eq(0).all()


def test_from_three_convolutions_on_the_first_is_added():
    torch.manual_seed(0)
    block = PooledBlock(2, 4, 3).eval()
    x = torch.randn(1, 2, 5, 5)
    first = block.relu1(block.bn1(block.pool(block.conv1(x))))
    last = block.relu3(block.bn3(block.conv3(block.relu2(block.bn2(block.conv2(first))))))
    torch.testing.assert_close(block(x), first + last)
    assert block(x).shape == (1, 4, 2, 2)


def test_film_goes_in_and_folds():
    torch.manual_seed(0)
    backbone = build_backbone(SMALL).eval()
    filmed = backbone.inject(["layer*.*.bn[12]"])
    assert [site.name for site in filmed.sites] == ["layer1.0.bn1", "layer1.0.bn2", "layer2.0.bn1", "layer2.0.bn2"]
    values = {
        site.name: Modulation(1 + 0.3 * torch.randn(1, site.num_channels), 0.3 * torch.randn(1, site.num_channels))
        for site in filmed.sites
    }
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = filmed(images, values)
        torch.testing.assert_close(fold_film(filmed, values)(images), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("side", "stages"), [(4, 1), (8, 2), (9, 3), (32, 4), (33, 5)])
def test_as_many_stages_as_the_side_can_be_halved(side, stages):
    config = BackboneConfig(name="whitened-vgg", width=2, blocks=(1,) * stages, channels=1, image_size=side)
    with torch.no_grad():
        assert build_backbone(config).eval()(torch.rand(2, 1, side, side)).shape == (2, 8 if stages > 1 else 2)
    with pytest.raises(ConfigError, match=f"has {stages + 1} stages.*{side} pixels has room for at most {stages}"):
        build_backbone(replace(config, blocks=(1,) * (stages + 1)))
