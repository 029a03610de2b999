"""A fitted classifier as one ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.classifier.adapting import TaskHead
from fewshot_film.classifier.head import MatrixHead
from fewshot_film.classifier.state import Fitted
from fewshot_film.config.learners import BackboneConfig
from fewshot_film.data.pictures import Resize
from fewshot_film.extras import optional
from fewshot_film.run.files import write_atomically

OPSET = 20


class PlainClassifier(nn.Module):
    """Pictures to probabilities and distances, with constants alone.

    Args:
        network: FiLM folded in.
        head: fitted.
        temperature: divides the logits.
    """

    def __init__(self, network: nn.Module, head: TaskHead, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.metric = MatrixHead(head.metric)
        self.temperature = temperature
        self._learned = None if head.learned is head.metric else head.learned

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and squared distances, ``(N, way)`` float32 each, of ``(N, C, H, W)`` in [0, 1]."""
        features = self.network(images)
        distances = self.metric(features)
        logits = -distances if self._learned is None else self._learned(features).double()
        return (logits / self.temperature).softmax(1).float(), distances.float()


def export_onnx(path: Path, fitted: Fitted, backbone: BackboneConfig, resize: Resize) -> Path:
    """Write the file; see :meth:`FewShotClassifier.export_onnx`.

    Raises:
        MissingExtraError: the extra ``onnx`` is not installed.
    """
    for package in ("onnx", "onnxscript"):  # asked for before the work begins
        optional(package, extra="onnx", what="export_onnx")
    module = PlainClassifier(fitted.network, fitted.head, fitted.temperature).cpu().eval()
    example = torch.rand(2, backbone.channels, backbone.image_size, backbone.image_size)
    with torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["probabilities", "distances"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None  # only a file given to the exporter makes it return nothing
    program.model.metadata_props.update(_metadata(fitted, backbone, resize))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: program.save(temporary, external_data=False))
    return path


def _metadata(fitted: Fitted, backbone: BackboneConfig, resize: Resize) -> dict[str, Any]:
    """What a program that runs the file needs to know, as text."""
    classes = [
        label if isinstance(label, str | bool | int | float) else repr(label)
        for label in (fitted.classes[number] for number in fitted.present.tolist())
    ]
    return {
        "classes": json.dumps(classes, ensure_ascii=False),
        "image_size": str(backbone.image_size),
        "channels": str(backbone.channels),
        "resize": resize,
        "temperature": repr(fitted.temperature),
    }
