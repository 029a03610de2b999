"""Networks of torchvision and timm as backbones: what they read, their weights, their way through a classifier."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.inputs import read_images
from fewshot_film.classifier.pretrained import ModelNotFoundError
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.errors import ConfigError
from fewshot_film.extras import MissingExtraError
from fewshot_film.learners import (
    WeightsError,
    WrappedBackbone,
    build_backbone,
    build_learner,
    libraries,
    load_learner,
    save_learner,
)
from fewshot_film.learners.backbone import plain_preprocessing
from fewshot_film.learners.registry import UnsavableError, learner_of
from fewshot_film.run.model_folder import load_model
from tests.extras import needs_timm

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)).resize((400, 250))
SUPPORT = [PHOTO, PHOTO.rotate(90), PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT), PHOTO.rotate(180)]
LABELS = ["a", "b", "a", "b"]


def checkpoint(path: Path, network: nn.Module, wrapped: bool = False) -> Path:
    state = network.state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}} if wrapped else state, path)
    return path


@pytest.mark.parametrize(
    ("name", "weights"), [("resnet50", "IMAGENET1K_V1"), ("resnet50", "IMAGENET1K_V2"), ("vit_b_16", "IMAGENET1K_V1")]
)
def test_torchvision_states_what_its_weights_were_trained_to_see(name: str, weights: str) -> None:
    found = libraries.torchvision_preprocessing(name, weights)
    transform = torchvision.models.get_model_weights(name)[weights].transforms()
    pixels = read_images(PHOTO, **found.pixels)[0].float() / 255
    expected = transform(PHOTO)
    normalised = (pixels - torch.tensor(found.mean).view(3, 1, 1)) / torch.tensor(found.std).view(3, 1, 1)
    torch.testing.assert_close(normalised, expected, rtol=0, atol=1e-5)


@needs_timm
@pytest.mark.parametrize("name", ["resnet50", "test_vit", "tf_efficientnet_lite0", "convnext_atto", "volo_d1_224"])
def test_timm_states_what_its_weights_were_trained_to_see(name: str) -> None:
    import timm

    found = libraries.timm_preprocessing(name)
    settings = timm.data.resolve_data_config({}, pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
    expected = timm.data.create_transform(**settings)(PHOTO)
    pixels = read_images(PHOTO, **found.pixels)[0].float() / 255
    normalised = (pixels - torch.tensor(found.mean).view(3, 1, 1)) / torch.tensor(found.std).view(3, 1, 1)
    torch.testing.assert_close(normalised, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_crop_keeps_the_middle(resize: Any) -> None:
    whole = np.asarray(read_images(PHOTO, 40, 3, resize)[0])
    middle = np.asarray(read_images(PHOTO, 20, 3, resize, "bilinear", 0.5)[0])
    assert middle.shape == (3, 20, 20)
    assert np.abs(middle.astype(int) - whole[:, 10:30, 10:30]).mean() < (6 if resize == "crop" else 1)


@needs_timm
@torch.no_grad()
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_features_of_timm_are_what_its_classifier_reads(name: str, tmp_path: Path) -> None:
    import timm

    plain = timm.create_model(name, num_classes=7).eval()
    config = BackboneConfig(f"timm:{name}", weights=str(checkpoint(tmp_path / "plain.pt", plain, wrapped=True)))
    backbone = build_backbone(config).eval()
    assert (backbone.preprocessing.size, backbone.preprocessing.crop) == (160, 0.95)
    x = torch.rand(2, 3, 160, 160)
    mean, std = (
        torch.tensor(each).view(3, 1, 1) for each in (plain.pretrained_cfg["mean"], plain.pretrained_cfg["std"])
    )
    features = plain.forward_head(plain.forward_features((x - mean) / std), pre_logits=True)
    torch.testing.assert_close(backbone(x), features, rtol=1e-5, atol=1e-5)


@needs_timm
def test_a_transformer_is_built_for_another_size() -> None:
    backbone = build_backbone(BackboneConfig("timm:test_vit", image_size=96))
    assert backbone.preprocessing.size == 96
    assert backbone(torch.rand(1, 3, 96, 96)).shape == (1, 64)


@needs_timm
def test_a_classifier_of_a_timm_network_goes_through_every_door(tmp_path: Path) -> None:
    import timm

    file = checkpoint(tmp_path / "plain.pt", timm.create_model("test_resnet", num_classes=3))
    classifier = FewShotClassifier(f"timm/test_resnet@{file}").fit(SUPPORT, LABELS)
    assert classifier.preprocessing == libraries.timm_preprocessing("test_resnet")
    classifier.save_pretrained(tmp_path / "model")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "model")
    assert loaded.preprocessing == classifier.preprocessing
    assert (loaded.predict_proba(SUPPORT) == classifier.predict_proba(SUPPORT)).all()
    assert FewShotClassifier(f"timm:test_resnet@{file}").image_size == 160


@needs_timm
@pytest.mark.slow
def test_a_classifier_of_a_timm_network_is_exported(tmp_path: Path) -> None:
    import timm

    onnxruntime = pytest.importorskip("onnxruntime")
    file = checkpoint(tmp_path / "plain.pt", timm.create_model("test_vit", num_classes=3))
    classifier = FewShotClassifier(f"timm/test_vit@{file}").fit(SUPPORT, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = onnxruntime.InferenceSession(classifier.export_onnx(tmp_path / "classifier.onnx"))
    settings = session.get_modelmeta().custom_metadata_map
    assert (settings["resize"], settings["interpolation"], settings["crop"]) == ("crop", "bicubic", "0.95")
    x = read_images(SUPPORT, **classifier.preprocessing.pixels).float() / 255
    probabilities = session.run(["probabilities"], {"images": x.numpy()})[0]
    np.testing.assert_allclose(probabilities, classifier.predict_proba(SUPPORT), atol=1e-3)


@needs_timm
def test_film_in_a_timm_network_is_saved_and_loaded(tmp_path: Path) -> None:
    config = PrototypesConfig(
        backbone=BackboneConfig("timm:test_efficientnet", image_size=32),
        adaptation="film",
        sites=("blocks.*.*.bn*",),
        set_encoder_layers=3,
    )
    torch.manual_seed(0)
    learner = build_learner(config).eval()
    with torch.no_grad():
        for name, parameter in learner.generator.named_parameters():
            if "regulariser" in name:
                parameter.normal_(std=0.3)
    save_learner(tmp_path / "model", learner, {}, "")
    support, labels, query = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = learner.adapt(support, labels)(query)
        assert torch.equal(load_learner(tmp_path / "model").adapt(support, labels)(query), expected)
        assert not torch.equal(learner.features(query, learner.modulations(support)), learner.backbone(query))


def test_torchvision_by_name_at_the_classifier(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "plain.pt", torchvision.models.mobilenet_v3_small(num_classes=3))
    for name in ("mobilenet_v3_small", "torchvision/mobilenet_v3_small", "torchvision:mobilenet_v3_small"):
        classifier = FewShotClassifier(f"{name}@{file}")
        assert classifier.preprocessing == libraries.torchvision_preprocessing("mobilenet_v3_small", "")
    classifier.fit(SUPPORT, LABELS).save_pretrained(tmp_path / "model")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "model")
    assert (loaded.predict_proba(SUPPORT) == classifier.predict_proba(SUPPORT)).all()


def test_a_network_of_ones_own_states_what_it_reads(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
    stated = Preprocessing(24, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "bicubic", "crop", 0.8)
    classifier = FewShotClassifier(WrappedBackbone(network, stated)).fit(SUPPORT, LABELS)
    assert (classifier.preprocessing, classifier.image_size) == (stated, 24)
    assert classifier.predict_proba(SUPPORT).shape == (4, 2)
    with pytest.raises(UnsavableError, match=r"could not be loaded again.* Nothing was written"):
        classifier.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(ModelNotFoundError, match=r"a Sequential does not say what it reads; wrap it: WrappedBackbone"):
        FewShotClassifier(network).fit(SUPPORT, LABELS)


def test_a_stated_preprocessing_is_saved(tmp_path: Path) -> None:
    stated = Preprocessing(20, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), crop=0.9)
    learner = build_learner(PrototypesConfig(backbone=BackboneConfig(width=8, blocks=(1, 1), preprocessing=stated)))
    save_learner(tmp_path / "model", learner, {}, "")
    loaded = load_learner(tmp_path / "model")
    assert loaded.backbone.preprocessing == stated
    x = torch.rand(1, 3, 20, 20)
    torch.testing.assert_close(loaded.backbone.normalize(x)[0, 0], (x[0, 0] - 0.1) / 0.5)


def test_a_model_saved_before_it_stated_what_it_reads(tmp_path: Path) -> None:
    """Everything was stretched to a square then, and had ImageNet's mean and deviation."""
    backbone = BackboneConfig("torchvision:shufflenet_v2_x0_5", image_size=32)
    save_learner(tmp_path / "model", build_learner(PrototypesConfig(backbone=backbone)), {}, "")
    saved = load_model(tmp_path / "model")
    assert learner_of(saved).backbone.preprocessing.resize == "crop"
    del saved.config["learner"]["backbone"]["preprocessing"]
    assert learner_of(saved).backbone.preprocessing == plain_preprocessing(32)


def test_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backbone.image_size is 32; expected 20, as preprocessing.size says"):
        BackboneConfig(image_size=32, preprocessing=Preprocessing(20, (0.5,) * 3, (0.5,) * 3))
    with pytest.raises(ConfigError, match=r"preprocessing.std is \[0.5\]; expected as many numbers as mean has \(3\)"):
        Preprocessing(20, (0.5,) * 3, (0.5,))
    with pytest.raises(ConfigError, match=r"preprocessing.crop is 0; expected a number from 0.1 to 1"):
        Preprocessing(20, (0.5,) * 3, (0.5,) * 3, crop=0)
    with pytest.raises(ConfigError, match=r"torchvision has no classifier 'efficientnet_b9'"):
        FewShotClassifier("torchvision/efficientnet_b9").fit(SUPPORT, LABELS)
    with pytest.raises(ModelNotFoundError, match=r"no model 'mobilenet_v3_smal' \(did you mean 'mobilenet_v3_s"):
        FewShotClassifier("mobilenet_v3_smal").fit(SUPPORT, LABELS)
    with pytest.raises(ModelNotFoundError, match=r"there is no file '.*none.pt' with weights for torchvision:resnet50"):
        FewShotClassifier(f"torchvision/resnet50@{tmp_path / 'none.pt'}").fit(SUPPORT, LABELS)
    with pytest.raises(ValueError, match=r"the network cannot take an image of 3 x 100 x 100 .*state its size"):
        build_backbone(BackboneConfig("torchvision:vit_b_32", image_size=100))

    def hidden(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("fewshot_film.extras.importlib.import_module", hidden)
    with pytest.raises(MissingExtraError, match=r"timm:resnet18 needs the extra `timm` .*fewshot-film\[timm\]"):
        build_backbone(BackboneConfig("timm:resnet18"))


@needs_timm
def test_errors_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"timm has no network 'resnet51'"):
        FewShotClassifier("timm/resnet51").fit(SUPPORT, LABELS)
    with pytest.raises(ConfigError, match=r"timm has no weights for 'resnet50.none': Invalid pretrained tag"):
        build_backbone(BackboneConfig("timm:resnet50.none"))
    with pytest.raises(WeightsError, match=r"no weights at 'IMAGENET1K_V1': .*timm's own are called `pretrained`"):
        build_backbone(BackboneConfig("timm:test_resnet", weights="IMAGENET1K_V1"))

    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("Name or service not known")

    monkeypatch.setattr(libraries.socket, "create_connection", unreachable)
    monkeypatch.setattr(libraries, "getproxies", dict)
    message = r"timm did not get the weights of test_resnet \(Name or .* without a network connection .*lite0 work"
    with pytest.raises(WeightsError, match=message):
        FewShotClassifier("timm/test_resnet").fit(SUPPORT, LABELS)


def test_torchvision_without_a_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(WeightsError, match=r"torchvision could not .* without a network connection .*lite0 work"):
        FewShotClassifier("mobilenet_v3_small").fit(SUPPORT, LABELS)
