"""Networks in 8-bit integers: exact arithmetic, answers near those of float32, refusals, and what is kept of them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fewshot_film import efficientnet_lite
from fewshot_film.classifier import FewShotClassifier, QuantizationError, adapting, quantized
from fewshot_film.classifier.adapting import Adapter
from fewshot_film.classifier.int8_layers import Dequantize, Quantize, QuantizedConv, Scale, is_exact
from fewshot_film.classifier.quantized import QuantizedNetwork
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import open_source
from fewshot_film.errors import ConfigError
from fewshot_film.learners import WrappedBackbone, build_backbone
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.learners.support import NonFiniteFeaturesError
from tests.classifier.small import film_learner, pictures_and_labels
from tests.extras import needs_int8
from tests.precision import double_by_default

pytestmark = needs_int8


def classifier(model: object, precision: str = "int8", **settings: object) -> FewShotClassifier:
    return FewShotClassifier(model, device="cpu", precision=precision, **settings)


def wrapped(*layers: nn.Module, size: int = 16) -> WrappedBackbone:
    torch.manual_seed(0)
    network = nn.Sequential(*layers).eval()
    return WrappedBackbone(network, Preprocessing(size, (0.5,), (0.5,)))


def textures(num_classes: int = 5, per_class: int = 8) -> tuple[np.ndarray, list[str]]:
    """Generated pictures of the classes of one domain."""
    source = open_source("textures", split="test")
    chosen = np.concatenate([np.flatnonzero(source.labels == label)[:per_class] for label in range(num_classes)])
    images = np.stack([np.asarray(source.load(int(index)).convert("RGB").resize((64, 64))) for index in chosen])
    return images, [source.class_names[source.labels[index]] for index in chosen]


@given(low=st.floats(-1e4, 1e4), high=st.floats(-1e4, 1e4))
def test_a_scale_represents_zero_and_both_ends(low: float, high: float):
    scale = Scale.of(min(low, high), max(low, high))
    assert 0 <= scale.zero <= 255
    ends = torch.tensor([[[[0.0, min(low, high), max(low, high)]]]])
    again = Dequantize(scale)(Quantize(scale)(ends))
    assert again[..., 0].item() == 0
    assert float((again - ends).abs().max()) <= 1.001 * scale.scale


@pytest.mark.parametrize(("conv", "side"), [
    (nn.Conv2d(8, 16, 1), 5),
    (nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), 9),
    (nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), 7),
    (efficientnet_lite.Conv2dSame(8, 8, 5, stride=2, groups=8), 8),
    (efficientnet_lite.Conv2dSame(8, 8, 3, stride=1, groups=8), 8),
])  # fmt: skip
@pytest.mark.parametrize("ceiling", [None, float("inf"), 6.0])
@pytest.mark.parametrize("as_integers", [True, False])
@torch.no_grad()
def test_a_convolution_is_exact(conv: nn.Conv2d, side: int, ceiling: float | None, as_integers: bool):
    """Beside the same sum of the same integers in double precision; the input's zero point fills the padding."""
    source, scale = Scale(0.02, 113), Scale.of(0.0 if ceiling else -3.0, min(ceiling or 4.0, 5.0))
    x = torch.randint(0, 256, (2, 8, side, side), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    layer = QuantizedConv(conv, source, scale if as_integers else None, ceiling)
    plain = copy.deepcopy(conv).double()
    plain.weight.copy_(layer.weight.double() * layer.weight_scale.double()[:, None, None, None])
    expected = plain((x.double() - source.zero) * source.scale)
    found = layer(x)
    if ceiling is not None:
        expected = expected.clamp(0, ceiling)
    if not as_integers:
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
        return
    assert found.dtype == torch.uint8
    integers = (expected / scale.scale + scale.zero).round().clamp(0, 255)
    assert float((found.double() - integers).abs().max()) <= 1  # where a half is rounded


def test_the_processor_is_judged_whatever_torch_makes_by_default():
    with double_by_default():
        assert is_exact.__wrapped__()


@torch.no_grad()
def test_an_addition_is_exact_and_leaves_what_is_added_alone():
    conv, source, scale, other = nn.Conv2d(8, 8, 1), Scale(0.02, 113), Scale.of(-4, 5), Scale(0.03, 90)
    x, added = (torch.randint(0, 256, (2, 8, 4, 4), dtype=torch.uint8) for _ in range(2))
    x, added = (each.contiguous(memory_format=torch.channels_last) for each in (x, added))
    before = added.clone()
    layer = QuantizedConv(conv, source, scale, other=other)
    found = layer(x, added)
    assert torch.equal(added, before)
    plain = copy.deepcopy(conv).double()
    plain.weight.copy_(layer.weight.double() * layer.weight_scale.double()[:, None, None, None])
    expected = plain((x.double() - 113) * 0.02) + (added.double() - 90) * 0.03
    integers = (expected / scale.scale + scale.zero).round().clamp(0, 255)
    assert float((found.double() - integers).abs().max()) <= 1


@pytest.mark.parametrize("config", [
    BackboneConfig("efficientnet-lite0", image_size=64),
    BackboneConfig(width=16, blocks=(1, 2), image_size=32, feature_norms=(1.0, 1.0), flip_tta=True),
    BackboneConfig("resnet18", image_size=64),
])  # fmt: skip
@torch.no_grad()
def test_features_are_near_those_of_float32(config: BackboneConfig):
    torch.manual_seed(0)  # of some random weights biases are corrected by less than a fifth
    backbone = build_backbone(config)
    network = Adapter(SimpleCNAPS(SimpleCNAPSConfig(adaptation="none"), backbone)).network({})
    size = backbone.preprocessing.size
    images = torch.rand(6, 3, 4, 4).repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)
    images = (images + 0.1 * torch.rand(6, 3, size, size)).clamp(0, 1).contiguous(memory_format=torch.channels_last)
    found, calibration = quantized.Quantizer(network).calibrated([images[:2], images[2:4]])
    expected, got = network(images), found(images)
    assert float((got - expected).norm() / expected.norm()) < 0.1
    _, uncorrected = quantized.Quantizer(network)._lowered(calibration.ranges)
    plain = torch.cat([layer.bias for layer in uncorrected])
    before = quantized.Quantizer(network).quantized(calibration._replace(biases=plain))(images)
    assert float((got - expected).mean(0).norm()) < 0.8 * float((before - expected).mean(0).norm())
    assert torch.equal(torch.cat([found(image[None]) for image in images]), got)  # integers do not care for batches
    again = quantized.Quantizer(network).quantized(calibration)
    assert torch.equal(again(images), got)


def test_sums_and_activations_are_part_of_the_convolutions():
    """Nothing but the images becomes integers by itself, and nothing goes back to float32 in between."""
    network = Adapter(SimpleCNAPS(SimpleCNAPSConfig(adaptation="none"), build_backbone(LITE))).network({})
    found, _ = quantized.Quantizer(network).calibrated([torch.rand(1, 3, 64, 64)])
    kinds = [type(layer) for layer in found.modules()]
    assert (kinds.count(QuantizedConv), kinds.count(Quantize), kinds.count(Dequantize)) == (49, 1, 0)
    assert sum(isinstance(layer, QuantizedConv) and layer.other is not None for layer in found.modules()) == 9
    assert not any(issubclass(kind, nn.ReLU6 | nn.Conv2d) for kind in kinds)


LITE = BackboneConfig("efficientnet-lite0", image_size=64)


@pytest.mark.parametrize("model", ["general-small", "efficientnet-lite0"])
def test_answers_are_those_of_float32(model: str):
    images, labels = textures()
    answers = [
        classifier(model, precision).fit(images[::2], labels[::2]).answer(images[1::2])
        for precision in ("float32", "int8")
    ]
    assert np.mean(answers[0].labels == answers[1].labels) >= 0.9
    assert np.abs(answers[0].probabilities - answers[1].probabilities).mean() < 0.05


@pytest.mark.parametrize("make", [film_learner, lambda: build_backbone(BackboneConfig(width=16, blocks=(1, 1)))])
def test_kept_and_loaded_it_stays_in_integers(make, tmp_path: Path):
    images, labels = pictures_and_labels()
    model = make()
    images = images if isinstance(model, SimpleCNAPS) else images.repeat(3, 3)
    fitted = classifier(model).fit(images[::2], labels[::2])
    assert isinstance(fitted._fitted.network, QuantizedNetwork)
    expected = fitted.predict_proba(images)
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert np.array_equal(copied.predict_proba(images), expected)
    if not isinstance(model, SimpleCNAPS):
        return  # a backbone that was handed over has no record to be built again from
    fitted.save_pretrained(tmp_path / "mine")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")
    assert loaded.precision == "int8"
    assert np.array_equal(loaded.predict_proba(images), expected)
    in_floats = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu", precision="float32")
    plain = classifier(make(), "float32").fit(images[::2], labels[::2])
    assert np.array_equal(in_floats.predict_proba(images), plain.predict_proba(images))
    plain.save_pretrained(tmp_path / "plain")
    again = FewShotClassifier.from_pretrained(tmp_path / "plain", device="cpu", precision="int8")
    assert np.array_equal(again.predict_proba(images), expected)


@pytest.mark.parametrize("adaptation", ["film", "none"])
def test_images_that_are_added_later_make_no_difference(adaptation: str):
    images, labels = pictures_and_labels()
    learner = film_learner() if adaptation == "film" else SimpleCNAPS(SMALL_PLAIN).eval()
    at_once = classifier(learner).fit(images, labels)
    in_parts = classifier(learner).fit(images[:20], labels[:20]).partial_fit(images[20:], labels[20:])
    assert np.array_equal(at_once.predict_proba(images), in_parts.predict_proba(images))
    changed = classifier(learner, "float32").fit(images[:20], labels[:20]).set_params(precision="int8")
    assert np.array_equal(
        changed.partial_fit(images[20:], labels[20:]).predict_proba(images), at_once.predict_proba(images)
    )


SMALL_PLAIN = SimpleCNAPSConfig(
    backbone=BackboneConfig(width=8, blocks=(1, 1), channels=1, image_size=16, stem_kernel=3), adaptation="none"
)


class Branching(nn.Module):
    """A network that ``torch.fx`` cannot read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) if x.sum() > 0 else self.conv(-x)


@pytest.mark.parametrize(("layers", "message"), [
    ([Branching()], r"but torch.fx cannot trace this .*; use precision='float32'"),
    ([nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(392, 8)],
     r"but only 1% of this network's weights are in convolutions \(expected at least 50%\); use precision"),
])  # fmt: skip
def test_networks_that_cannot_be_integers_are_refused(layers: list[nn.Module], message: str):
    images, labels = pictures_and_labels()
    with pytest.raises(QuantizationError, match=message):
        classifier(wrapped(*layers)).fit(images, labels)


def test_other_refusals(monkeypatch: pytest.MonkeyPatch):
    images, labels = pictures_and_labels()
    with pytest.raises(ConfigError, match=r"precision is 'int9'.*did you mean 'int8'.*expected one of float32, int8"):
        classifier(film_learner(), "int9").fit(images, labels)
    with monkeypatch.context() as patch:
        patch.setattr(quantized, "MOST_ERROR", 1e-6)
        with pytest.raises(QuantizationError, match=r"features differ by .*% in it .* \(expected at most 0%\); use"):
            classifier(film_learner()).fit(images, labels)
    with monkeypatch.context() as patch:
        patch.setattr(quantized, "is_exact", lambda: False)
        with pytest.raises(QuantizationError, match=r"this processor or build of PyTorch has no exact .*; use prec"):
            classifier(film_learner()).fit(images, labels)
    with monkeypatch.context() as patch:
        patch.setattr(adapting.Adapter, "device", torch.device("cuda"))
        with pytest.raises(QuantizationError, match="the device is cuda; pass device='cpu', or precision='float32'"):
            Adapter(film_learner()).quantizer({})


def test_weights_that_overflow():
    images, labels = pictures_and_labels()
    learner = SimpleCNAPS(SMALL_PLAIN).eval()
    learner.backbone.conv1.weight.data.fill_(3e38)
    with pytest.raises(NonFiniteFeaturesError, match="computed NaN or infinity from the support images"):
        classifier(learner).fit(images, labels)


def test_ranges_of_another_network():
    with pytest.raises(QuantizationError, match="ranges of 3 maps and 5 biases are given, and this network has"):
        Adapter(film_learner()).quantizer({}).quantized(quantized.Int8Calibration(torch.zeros(3, 2), torch.zeros(5)))


def test_the_export_is_in_float32(tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    images, labels = pictures_and_labels()
    fitted = classifier(film_learner()).fit(images[::2], labels[::2])
    session = onnxruntime.InferenceSession(fitted.export_onnx(tmp_path / "x.onnx"), providers=["CPUExecutionProvider"])
    given = images[1::2].transpose(0, 3, 1, 2).astype(np.float32) / 255
    probabilities, _ = session.run(None, {"images": given})
    assert np.abs(probabilities - fitted.predict_proba(images[1::2])).mean() < 0.05
