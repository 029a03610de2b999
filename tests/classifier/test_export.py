"""The exported file answers as the classifier does."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fewshot_film.classifier import FewShotClassifier, NotFittedError, export
from fewshot_film.classifier.adapting import TaskHead
from fewshot_film.classifier.export import MatrixHead, PlainClassifier
from fewshot_film.classifier.inputs import read_images
from fewshot_film.classifier.onnx_graph import OnnxGraph, UnsupportedOperatorError
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.learners import fit_mahalanobis
from fewshot_film.learners.ridge import RidgeHead
from tests.classifier.small import film_learner, fitted, prototypes, ridge
from tests.precision import double_by_default


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def check_answers(classifier: FewShotClassifier, path: Path, images: np.ndarray) -> None:
    run = session(path)
    for count in (1, 5, 15):
        pixels = images[:count].transpose(0, 3, 1, 2).astype(np.float32) / 255
        probabilities, distances = run.run(["probabilities", "distances"], {"images": pixels})
        np.testing.assert_allclose(probabilities, classifier.predict_proba(images[:count]), atol=1e-4)
        np.testing.assert_allclose(distances, classifier.distances(images[:count]), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[FewShotClassifier, np.ndarray, Path]:
    classifier, images, _ = fitted(film_learner())
    return classifier, images, classifier.export_onnx(tmp_path_factory.mktemp("export") / "folder" / "mine.onnx")


def test_a_classifier_on_another_device(monkeypatch):
    meta, seen = torch.device("meta"), []
    empty = [torch.zeros(shape, device=meta) for shape in ((12,), (12, 2), (12, 2), ())]
    head = RidgeHead(0.5, 14.0, *empty)
    monkeypatch.setattr(
        export, "OnnxGraph", lambda program, *_: seen.append(program) or SimpleNamespace(model=lambda *_: "model")
    )
    module = PlainClassifier(nn.Flatten(), TaskHead(head, head), 1.0)
    assert export._onnx_model(module, Preprocessing(2, (0.0,) * 3, (1.0,) * 3), meta, onnx) == "model"
    values = [node.meta.get("val") for node in seen[0].graph.nodes]
    assert {value.device for value in values if isinstance(value, Tensor)} == {meta}


def test_same_answers_for_any_number_of_pictures(exported):
    classifier, images, path = exported
    assert [file.name for file in path.parent.iterdir()] == ["mine.onnx"]
    check_answers(classifier, path, images)


def test_what_torch_makes_by_default_changes_nothing_and_nothing_is_drawn(exported, tmp_path: Path):
    classifier, _, path = exported
    before = torch.get_rng_state()
    with double_by_default():
        assert classifier.export_onnx(tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize("make", [prototypes, ridge])
def test_same_answers_of_another_head(make, tmp_path: Path):
    classifier, images, _ = fitted(make())
    check_answers(classifier, classifier.export_onnx(tmp_path / "mine.onnx"), images)


def test_what_the_file_says_of_itself(exported):
    classifier, _, path = exported
    known = session(path).get_modelmeta().custom_metadata_map
    assert json.loads(known["classes"]) == classifier.classes_.tolist()
    assert (known["image_size"], known["channels"], known["resize"]) == ("16", "1", "stretch")
    assert float(known["temperature"]) == classifier.temperature_


def test_film_is_gone_and_the_network_plain(exported):
    _, _, path = exported
    model = onnx.load(path)
    onnx.checker.check_model(model)
    kinds = {node.op_type for node in model.graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]
    weights = sum(np.prod(tensor.dims) for tensor in model.graph.initializer)
    backbone = sum(value.numel() for value in film_learner().backbone.parameters())
    assert weights < 1.5 * backbone


def test_the_classifier_answers_while_it_is_exported(tmp_path: Path, monkeypatch):
    classifier, shown, _ = fitted(film_learner())
    found: list[object] = []

    def answer() -> None:
        try:
            found.append(classifier.predict_proba(shown))
        except Exception as error:
            found.append(error)

    def forward(self: PlainClassifier, images: Tensor, plain=PlainClassifier.forward) -> tuple[Tensor, Tensor]:
        thread = threading.Thread(target=answer)
        thread.start()
        thread.join(60)
        return plain(self, images)

    expected = classifier.predict_proba(shown)
    with monkeypatch.context() as patch:
        patch.setattr(PlainClassifier, "forward", forward)
        path = classifier.export_onnx(tmp_path / "mine.onnx")
    assert isinstance(found[0], np.ndarray), found
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    check_answers(classifier, path, shown)


def test_a_file_that_stood_there_stays_when_the_export_fails(tmp_path: Path, monkeypatch):
    (tmp_path / "mine.onnx").write_text("before")
    classifier, _, _ = fitted()
    monkeypatch.setattr("torch.export.export", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        classifier.export_onnx(tmp_path / "mine.onnx")
    assert (tmp_path / "mine.onnx").read_text() == "before"


@pytest.mark.parametrize("name", ["general-small", "photos-small"])
def test_shipped_models_do_without_the_slow_exporter(name, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("torch.onnx.export", None)
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 50, 3), dtype=np.uint8)
    classifier = FewShotClassifier.from_pretrained(name).fit(images, list("aabbcc"))
    run = session(classifier.export_onnx(tmp_path / "mine.onnx"))
    pixels = read_images(images, **classifier.preprocessing.pixels).numpy().astype(np.float32) / 255
    probabilities, distances = run.run(None, {"images": pixels})
    np.testing.assert_allclose(probabilities, classifier.predict_proba(images), atol=1e-4)
    np.testing.assert_allclose(distances, classifier.distances(images), rtol=1e-3, atol=1e-3)


def test_other_operators_are_left_to_the_slow_exporter_which_is_silent(tmp_path: Path, monkeypatch, capsys, caplog):
    monkeypatch.setattr("fewshot_film.classifier.onnx_graph.OPERATORS", {})
    classifier, images, _ = fitted(film_learner())
    with caplog.at_level("INFO"):
        check_answers(classifier, classifier.export_onnx(tmp_path / "mine.onnx"), images)
    assert "is not written here; torch.onnx exports the network" in caplog.text
    assert [record for record in caplog.records if record.name.startswith(("onnx", "torch.onnx"))] == []
    assert capsys.readouterr() == ("", "")


class Operators(nn.Module):
    """What networks do beyond those that ship."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.pool = nn.BatchNorm2d(4), nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=2, bias=False)
        self.last = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.conv(functional.pad(images, (1, 0, 2, 1), value=0.5)))
        y = functional.relu_(x + 1)
        x = functional.silu(self.pool(y)) + functional.hardswish(self.pool(y)) - functional.hardsigmoid(self.pool(x))
        x = functional.dropout(functional.leaky_relu(x, 0.2), training=self.training)
        pooled = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        y = torch.cat([pooled, 2 - x[:, :, 1:3, -1].sum((2,)).sigmoid_()], 1)
        y = self.last(y).unsqueeze(1).transpose(1, 2)[..., 0] ** 2
        y = functional.normalize(y.clamp(min=0.1).sqrt().neg().double()).float()
        return y.softmax(1), y.reshape(-1, 5) / 3


def test_operators_are_what_they_are_in_torch():
    torch.manual_seed(0)
    module = Operators().eval()
    module.norm.running_mean.normal_()
    images = torch.randn(3, 3, 17, 19)
    program = torch.export.export(module, (images,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})
    model = OnnxGraph(program, ["images"], onnx).model(["one", "other"], 20)
    onnx.checker.check_model(model, full_check=True)
    run = session(model.SerializeToString())
    with torch.no_grad():
        for count in (1, 3):
            found = run.run(None, {"images": images[:count].numpy()})
            for mine, theirs in zip(found, module(images[:count]), strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-5)


class Inplace(nn.Module):
    """Changes its features through a view of them."""

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1) + 1
        features[:, 3].neg_()
        return features


def test_a_view_that_is_changed_is_not_exported_wrongly():
    program = torch.export.export(Inplace(), (torch.ones(2, 1, 2, 2),))
    with pytest.raises(UnsupportedOperatorError, match=r"neg_.* changes a view"):
        OnnxGraph(program, ["images"], onnx)


def test_without_the_extra(tmp_path: Path, monkeypatch):
    classifier, _, _ = fitted()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"export_onnx needs the extra `onnx` .*: pip install 'fewshot-film\[onnx\]'"):
        classifier.export_onnx(tmp_path / "mine.onnx")


def test_before_fitting(tmp_path: Path):
    with pytest.raises(NotFittedError, match="has no classes yet"):
        FewShotClassifier(film_learner()).export_onnx(tmp_path / "mine.onnx")


@pytest.mark.parametrize("one_shot", ["zero", "broadcast"])
@pytest.mark.parametrize(
    ("counts", "dim"), [((1, 1, 1), 8), ((3, 3), 8), ((1, 4, 2, 2), 12), ((9, 1, 9), 5), ((6,), 3), ((1,), 4)]
)
def test_matrix_products_give_the_classifiers_distances(counts, dim, one_shot):
    generator = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts), generator=generator)]
    features = 5 + 3 * torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    queries = 5 + 3 * torch.randn(7, dim, generator=generator, dtype=torch.float64)
    classifier = fit_mahalanobis(features, labels, one_shot)
    torch.testing.assert_close(MatrixHead(classifier)(queries), classifier.distances(queries), rtol=1e-9, atol=1e-9)
