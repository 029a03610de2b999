"""The exported file answers as the classifier does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fewshot_film.classifier import FewShotClassifier, NotFittedError
from fewshot_film.classifier.export import MatrixHead
from fewshot_film.learners import fit_mahalanobis
from tests.classifier.small import film_learner, fitted, prototypes, ridge


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


def test_same_answers_for_any_number_of_pictures(exported):
    classifier, images, path = exported
    assert [file.name for file in path.parent.iterdir()] == ["mine.onnx"]
    check_answers(classifier, path, images)


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


def test_a_file_that_stood_there_stays_when_the_export_fails(tmp_path: Path, monkeypatch):
    (tmp_path / "mine.onnx").write_text("before")
    classifier, _, _ = fitted()
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        classifier.export_onnx(tmp_path / "mine.onnx")
    assert (tmp_path / "mine.onnx").read_text() == "before"


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
