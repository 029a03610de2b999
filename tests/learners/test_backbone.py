"""Backbones: published sizes, plain weights in and out, and errors that help."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation, fold_film
from fewshot_film.learners.backbone import L2Norm
from fewshot_film.learners.networks import WeightsError, build_backbone

SMALL = BackboneConfig(width=4, blocks=(1, 1), channels=1, image_size=12)


def test_published_architecture():
    backbone = build_backbone(BackboneConfig()).eval()
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 11_171_904
    maps, sides = torch.zeros(1, 3, 84, 84), []
    for module in (*backbone.stem_modules(), *map(backbone.get_submodule, backbone.stage_names)):
        maps = module(maps)
        sides.append(maps.shape[-1])
    assert sides == [84, 41, 41, 41, 41, 21, 11, 6]  # images, stem's three layers, four stages
    assert maps.shape[1] == backbone.feature_dim == 512


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_torchvision_backbone_gives_torchvision_features(name):
    torch.manual_seed(0)
    plain = getattr(torchvision.models, name)().eval()
    plain.fc = torch.nn.Identity()
    backbone = build_backbone(BackboneConfig(name=name)).eval()
    backbone.load_state_dict(plain.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), plain(backbone.normalize(images)))


def test_images_are_normalised():
    backbone = build_backbone(SMALL)
    torch.testing.assert_close(
        backbone.normalize(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)).flatten(), torch.tensor([-1.0, 0.0, 1.0])
    )
    assert not [key for key in backbone.state_dict() if "normalize" in key]


def test_features_of_a_given_length_keep_their_direction():
    torch.manual_seed(0)
    plain = build_backbone(SMALL).eval()
    scaled = build_backbone(replace(SMALL, feature_norms=(4.0,))).eval()
    scaled.load_state_dict(plain.state_dict())
    images = torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(scaled(images).norm(dim=1), torch.full((3,), 4.0))
        torch.testing.assert_close(F.normalize(scaled(images)), F.normalize(plain(images)))
    with pytest.raises(ConfigError, match=r"backbone.feature_norms is \[-1.0\]; expected at least 0"):
        BackboneConfig(feature_norms=(-1.0,))


def test_features_joined_from_the_last_stages_have_a_length_each():
    torch.manual_seed(0)
    config = replace(SMALL, blocks=(1, 1, 1))
    plain, joined = build_backbone(config).eval(), build_backbone(replace(config, feature_norms=(3, 0))).eval()
    joined.load_state_dict(plain.state_dict())
    images = torch.rand(2, 1, 12, 12)
    with torch.no_grad():
        middle = plain.layer2(plain.layer1(torch.relu(plain.bn1(plain.conv1(plain.normalize(images))))))
        expected = [3 * F.normalize(middle.mean((2, 3))), plain.layer3(middle).mean((2, 3))]
        torch.testing.assert_close(joined(images), torch.cat(expected, 1))
    assert (plain.feature_dim, joined.feature_dim) == (16, 8 + 16)
    with pytest.raises(ConfigError, match=r"feature_norms is \[1, 1, 1, 1\]; expected at most 3, one for each stage"):
        build_backbone(replace(config, feature_norms=(1, 1, 1, 1)))


def test_features_raised_to_a_power():
    vectors = torch.tensor([[16.0, -9.0, 0.0]])
    torch.testing.assert_close(L2Norm(3, 0.0, 0.5)(vectors), torch.tensor([[4.0, -3.0, 0.0]]))
    torch.testing.assert_close(L2Norm(3, 10.0, 0.5)(vectors), torch.tensor([[8.0, -6.0, 0.0]]))
    vectors = torch.tensor([[0.0, 1e-9, 0.3, -2.0]], dtype=torch.double, requires_grad=True)
    L2Norm(4, 2.0, 0.5)(vectors).sum().backward()
    assert vectors.grad.isfinite().all()
    torch.manual_seed(0)
    plain = build_backbone(SMALL).eval()
    raised = build_backbone(replace(SMALL, tukey_power=0.5, feature_norms=(4.0,))).eval()
    raised.load_state_dict(plain.state_dict())
    images = torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(raised(images), 4 * F.normalize(plain(images).sqrt()), atol=1e-3, rtol=1e-3)


def test_features_averaged_over_mirror_images():
    torch.manual_seed(0)
    plain, mirrored = build_backbone(SMALL), build_backbone(replace(SMALL, flip_tta=True))
    mirrored.load_state_dict(plain.state_dict())
    images = torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(mirrored(images), plain(images))  # while training
        plain.eval(), mirrored.eval()
        torch.testing.assert_close(mirrored(images), (plain(images) + plain(images.flip(3))) / 2)
        torch.testing.assert_close(mirrored(images), mirrored(images.flip(3)))
        filmed = mirrored.inject(["layer2.*.bn2"])
        identity = filmed.sites.identity()
        values = {name: Modulation(value.gamma * 1.5, value.beta - 0.1) for name, value in identity.items()}
        torch.testing.assert_close(fold_film(filmed, values)(images), filmed(images, values))


def test_what_is_made_of_the_maps_can_be_changed_afterwards():
    torch.manual_seed(0)
    changed = build_backbone(SMALL).eval()
    made = build_backbone(replace(SMALL, tukey_power=0.5, flip_tta=True)).eval()
    made.load_state_dict(changed.state_dict())
    images = torch.rand(3, 1, 12, 12)
    changed.set_features(power=0.5)
    changed.set_features(flip_tta=True)
    with torch.no_grad():
        torch.testing.assert_close(changed(images), made(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_widths_of_torchvision_s_stages(name):
    backbone = build_backbone(BackboneConfig(name=name, feature_norms=(1, 1, 1, 1))).eval()
    with torch.no_grad():
        assert backbone(torch.rand(1, 3, 32, 32)).shape[1] == backbone.feature_dim


def test_film_on_joined_features_is_a_metric_and_folds():
    torch.manual_seed(0)
    backbone = build_backbone(replace(SMALL, feature_norms=(2, 4))).eval()
    filmed = backbone.inject(["layer2.*.bn2", "feature_norms.*"])
    assert [(site.name, site.stage) for site in filmed.sites] == [
        ("layer2.0.bn2", "layer2"),
        ("feature_norms.layer1", "layer1"),
        ("feature_norms.layer2", "layer2"),
    ]
    values = filmed.sites.identity()
    scale, shift = torch.rand(1, 8), torch.rand(1, 8)
    values["feature_norms.layer2"] = Modulation(scale, shift)
    images = torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        before, after = backbone(images), filmed(images, values)
        torch.testing.assert_close(after, torch.cat([before[:, :4], before[:, 4:] * scale + shift], 1))
        torch.testing.assert_close(fold_film(filmed, values)(images), after)
        torch.testing.assert_close(backbone(images), before)


@pytest.mark.parametrize(("width", "by_pixel"), [(8, False), (16, True)])
def test_narrow_networks_are_not_laid_out_by_pixel(width, by_pixel):
    normalize = build_backbone(BackboneConfig(width=width, blocks=(1, 1))).normalize
    images = torch.rand(2, 3, 12, 12).contiguous(memory_format=torch.channels_last)
    assert normalize(images).is_contiguous(memory_format=torch.channels_last) == by_pixel
    assert normalize(images).is_contiguous() != by_pixel


@pytest.mark.parametrize("kind", ["model.safetensors", "weights.safetensors", "weights.pt"])
def test_weights_from_a_file_or_folder(tmp_path: Path, kind):
    state = {f"backbone.{key}": value for key, value in build_backbone(SMALL).state_dict().items()}
    path = tmp_path / kind
    if path.suffix == ".pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    where = tmp_path if kind == "model.safetensors" else path
    loaded = build_backbone(BackboneConfig(**{**vars(SMALL), "weights": str(where)}))
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, state[f"backbone.{key}"])


def with_weights(weights: object, **settings) -> BackboneConfig:
    return BackboneConfig(**{**vars(SMALL), "weights": str(weights), **settings})


def test_weights_of_another_network_are_refused(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(build_backbone(SMALL).state_dict(), path)
    with pytest.raises(WeightsError, match=r"not of this backbone \(cnaps-resnet18, width 8\): 0 keys are missing"):
        build_backbone(with_weights(path, width=8))
    with pytest.raises(WeightsError, match=r"\d+ keys are missing \(such as \['layer3"):
        build_backbone(with_weights(path, blocks=(1, 1, 1)))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_damaged_file_is_refused(tmp_path: Path, name):
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(
        WeightsError, match=rf"{name} cannot be read as weights \(\w+\); expected a \.safetensors file, or"
    ):
        build_backbone(with_weights(tmp_path / name))


def test_unknown_weights_name_what_there_is():
    with pytest.raises(WeightsError, match="no such file or folder, and no library has any for cnaps-resnet18"):
        build_backbone(with_weights("nowhere"))
    with pytest.raises(WeightsError, match="torchvision's weights for resnet18 are IMAGENET1K_V1"):
        build_backbone(BackboneConfig(name="resnet18", weights="nowhere"))


def test_without_a_network_the_message_says_how_to_go_on(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nowhere")
    monkeypatch.setattr("torch.hub.os.makedirs", lambda *args, **kwargs: None)
    with pytest.raises(
        WeightsError, match=r"could not download IMAGENET1K_V1 .*Without a network: download https://.*resnet18"
    ):
        build_backbone(BackboneConfig(name="resnet18", weights="IMAGENET1K_V1"))


def test_torchvision_sizes_are_fixed():
    with pytest.raises(ValueError, match="resnet18 has width 64 and 3 channels, not width 32 and 3 channels"):
        build_backbone(BackboneConfig(name="resnet18", width=32))
