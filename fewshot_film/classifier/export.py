"""A fitted classifier as one ONNX file, its distances as matrix products alone."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from fewshot_film.classifier.adapting import TaskHead
from fewshot_film.classifier.fitted import Fitted
from fewshot_film.classifier.onnx_graph import OnnxGraph, UnsupportedOperatorError
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.extras import optional
from fewshot_film.learners.learner import Head
from fewshot_film.learners.prototypes import squared_distances
from fewshot_film.learners.simple_cnaps import ClassGroup, MahalanobisClassifier
from fewshot_film.run.files import write_atomically
from fewshot_film.run.tables import encodable

log = logging.getLogger(__name__)

OPSET = 20
OUTPUTS = ["probabilities", "distances"]


class PlainClassifier(nn.Module):
    """Images to probabilities and distances, with constants alone.

    Args:
        network: FiLM folded in.
        head: fitted.
        temperature: divides the logits.
    """

    def __init__(self, network: nn.Module, head: TaskHead, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self._learned: Head | None = head.learned
        self.distances: Callable[[Tensor], Tensor] = head.metric.distances
        if isinstance(head.metric, MahalanobisClassifier):
            self.distances = MatrixHead(head.metric)
            self._learned = None if head.learned is head.metric else head.learned

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and distances, ``(N, way)`` float32 each, of ``(N, C, H, W)`` in [0, 1]."""
        features = self.network(images)
        distances = self.distances(features)
        logits = -distances if self._learned is None else self._learned(features).double()
        return (logits / self.temperature).softmax(1).float(), distances.float()


def export_onnx(path: Path, fitted: Fitted) -> Path:
    """Write the file; see :meth:`FewShotClassifier.export_onnx`.

    Raises:
        MissingExtraError: the extra ``onnx`` is not installed.
    """
    onnx = optional("onnx", extra="onnx", what="export_onnx")  # asked for before the work begins
    optional("onnxscript", extra="onnx", what="export_onnx")
    network = fitted.loaded.adapter.network(fitted.modulations)  # in float32, whatever the classifier computes in
    module = PlainClassifier(network, fitted.head, fitted.temperature).eval()
    model = _onnx_model(module, fitted.preprocessing, fitted.features.device, onnx)
    onnx.helper.set_model_props(model, _metadata(fitted))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: onnx.save(model, temporary))
    return path


@torch.no_grad()
def _onnx_model(module: nn.Module, preprocessing: Preprocessing, device: torch.device, onnx: Any) -> Any:
    """An ``onnx.ModelProto``; of networks with unusual operators by ``torch.onnx``, which takes longer.

    The head is no module, so nothing is moved: the program is that of the device on which the classifier is.
    """
    shape = (2, preprocessing.channels, preprocessing.size, preprocessing.size)
    example = torch.zeros(shape, dtype=torch.float32, device=device)
    shapes = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
    try:
        return OnnxGraph(program, ["images"], onnx).model(OUTPUTS, OPSET)
    except UnsupportedOperatorError as error:
        log.info("%s; torch.onnx exports the network", error)
    with _quiet_exporter():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=OUTPUTS,
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert exported is not None  # only a file given to the exporter makes it return nothing
    return exported.model_proto


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without what ``torch.onnx`` and its optimiser say of their steps, in the log and on the terminal."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _metadata(fitted: Fitted) -> dict[str, Any]:
    """What a program that runs the file needs to know, as text."""
    classes = [
        label if isinstance(label, str | bool | int | float) else repr(label)
        for label in (fitted.classes[number] for number in fitted.present.tolist())
    ]
    return {
        "classes": encodable(json.dumps(classes, ensure_ascii=False)),  # JSON has the same escapes
        **{name: str(value) for name, value in fitted.preprocessing.pixels.items()},
        "temperature": repr(fitted.temperature),
    }


class MatrixHead(nn.Module):
    """Squared Mahalanobis distances of a fitted classifier, without a decomposition or a solve.

    With ``A^-1 = W^T W`` (or ``I - W^T W`` where there are fewer images than features) and the classes' own
    directions ``V_k``, the distance to class ``k`` is ``(q - mu_k)^T A^-1 (q - mu_k) - |V_k (q - mu_k)|^2``; ``W`` is
    shared by all classes of as many images.

    Args:
        classifier: fitted, best in double precision.
    """

    centre: Tensor
    order: Tensor

    def __init__(self, classifier: MahalanobisClassifier) -> None:
        super().__init__()
        self.groups = nn.ModuleList(_MatrixGroup(classifier, group) for group in classifier.groups)
        self.register_buffer("centre", classifier.centre)
        self.register_buffer("order", torch.cat([group.classes for group in classifier.groups]).argsort())

    def forward(self, features: Tensor) -> Tensor:
        """Distances ``(Q, way)``, double, of features ``(Q, D)``."""
        centred = features.to(self.centre.dtype) - self.centre
        parts = torch.cat([group(centred) for group in self.groups], dim=1)
        return parts[:, self.order].clamp_min(0)


class _MatrixGroup(nn.Module):
    """Distances to the classes of as many images."""

    means: Tensor
    whitening: Tensor
    own: Tensor | None

    def __init__(self, classifier: MahalanobisClassifier, group: ClassGroup) -> None:
        super().__init__()
        support = classifier.support
        self.is_dual = support.shape[0] < support.shape[1]
        self.num_classes = len(group.rows)
        right = support * group.shrinkage**0.5 if self.is_dual else torch.eye(support.shape[1]).to(support)
        self.register_buffer("whitening", torch.linalg.solve_triangular(group.factor, right, upper=False))
        self.register_buffer("means", group.mean(support[group.rows]))
        self.register_buffer("own", self._own_directions(classifier, group))

    def _own_directions(self, classifier: MahalanobisClassifier, group: ClassGroup) -> Tensor | None:
        """``V_k`` of all classes, ``(K n, D)``."""
        if group.update is not None:
            deviations = group.deviations(classifier.support[group.rows])
            solved: Tensor = torch.linalg.solve_triangular(group.update, self._precision(deviations), upper=False)
            return solved.flatten(0, 1)
        if classifier.one_shot == "zero" or group.total > 1:
            return None
        ones = self._precision(torch.ones_like(classifier.centre)[None])
        share = group.total / (group.total + 1)
        half_variance = (self.means + classifier.centre).var(1, keepdim=True) * share
        rows: Tensor = (half_variance / (1 + half_variance * ones.sum())).sqrt() * ones
        return rows

    def _precision(self, rows: Tensor) -> Tensor:
        """``A^-1 v`` of every row."""
        product = rows @ self.whitening.T @ self.whitening
        return rows - product if self.is_dual else product

    def forward(self, queries: Tensor) -> Tensor:
        """Distances ``(Q, K)`` of features about the task's mean."""
        white = squared_distances(queries @ self.whitening.T, self.means @ self.whitening.T)
        distance = squared_distances(queries, self.means) - white if self.is_dual else white
        if self.own is None:
            return distance
        along = (queries @ self.own.T).unflatten(1, (self.num_classes, -1))
        at_mean = (self.own.unflatten(0, (self.num_classes, -1)) @ self.means[..., None])[..., 0]
        return distance - cast(Tensor, (along - at_mean).square().sum(2))
