"""Classes for any number of images, in batches: what a worker loads once and calls again and again.

:class:`ImageNamer` is also what ``ray.data``'s ``map_batches`` takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from fewshot_film.classifier.estimator import FewShotClassifier
from fewshot_film.classifier.inputs import read_images
from fewshot_film.config.preprocessing import least_side
from fewshot_film.data.pixels import to_array
from fewshot_film.errors import SavedModelError
from fewshot_film.extras import optional
from fewshot_film.images import ImageError, open_image

Columns = dict[str, list[Any]]
"""A table by columns."""
ONNX = ".onnx"


class Runtime(Protocol):
    """What names images that are decoded."""

    @property
    def classes(self) -> list[str]:
        """In the order of the columns."""

    @property
    def pixels(self) -> dict[str, Any]:
        """How an image is brought to the network's size: arguments of :func:`fewshot_film.data.pixels.to_array`."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and distances ``(M, way)`` of images ``(M, C, H, W)``, uint8."""
        ...


class TorchRuntime:
    """A fitted classifier.

    Args:
        model: its folder, or the classifier.
        device: see :class:`FewShotClassifier`.
    """

    def __init__(self, model: str | Path | FewShotClassifier, device: str = "cpu") -> None:
        if isinstance(model, str | Path):
            model = FewShotClassifier.from_pretrained(str(model), device=device)
        self.classifier = model
        self.classes = [str(name) for name in self.classifier.classes_]
        self.pixels = self.classifier.preprocessing.pixels

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Runtime`."""
        found = self.classifier.answer(torch.from_numpy(images))
        return found.probabilities, found.distances


class OnnxRuntime:
    """A classifier that :meth:`FewShotClassifier.export_onnx` wrote, run by ONNX Runtime on one thread.

    Args:
        path: the file.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        SavedModelError: the file is damaged, or something else.
    """

    def __init__(self, path: str | Path) -> None:
        onnxruntime = optional("onnxruntime", extra="onnx", what="running an ONNX file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.classes = [str(name) for name in json.loads(metadata["classes"])]
            self.pixels = {
                "image_size": int(metadata["image_size"]),
                "channels": int(metadata["channels"]),
                "resize": metadata["resize"],
                "interpolation": metadata["interpolation"],
                "crop": float(metadata["crop"]),
            }
        except Exception as error:  # ONNX Runtime has many kinds, all of its own
            if not Path(path).is_file():
                raise
            raise SavedModelError(
                f"{path} is not a classifier that export_onnx wrote ({type(error).__name__}: {error}); export it again"
            ) from None

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Runtime`."""
        probabilities, distances = self._session.run(None, {"images": images.astype(np.float32) / 255})
        return probabilities, distances


class ImageNamer:
    """Names encoded or decoded images in bulk; what cannot be read gets its reason instead of a class.

    Args:
        model: folder of a fitted classifier (:meth:`FewShotClassifier.save_pretrained`), or its ONNX file.
        limit: distance to the nearest class above which an image is none of them, see
            :meth:`FewShotClassifier.rejection_distance`; None: every image gets a class.
        device: for a folder: auto, cpu, cuda or mps.
        image: for batches of ``ray.data``: the column of the images, files as bytes or arrays ``(H, W, C)``.
        name: for batches of ``ray.data``: the column that names them.
    """

    def __init__(
        self,
        model: str | Path | FewShotClassifier,
        *,
        limit: float | None = None,
        device: str = "cpu",
        image: str = "bytes",
        name: str = "path",
    ) -> None:
        self.runtime: Runtime
        if isinstance(model, str | Path) and Path(model).suffix == ONNX:
            self.runtime = OnnxRuntime(model)
        else:
            self.runtime = TorchRuntime(model, device)
        self.limit = limit
        self.image, self.name = image, name

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """The Arrow table with the columns of :meth:`answer` for a batch of ``ray.data``, arrays by column."""
        images = list(batch[self.image])
        names = batch[self.name] if self.name in batch else [str(place) for place in range(len(images))]
        return as_table(self.answer([str(name) for name in names], images))

    def answer(self, names: Sequence[str], images: Sequence[Any]) -> Columns:
        """Classes of images, one row each and in their order.

        Args:
            names: what to call them.
            images: bytes of files, arrays ``(H, W, C)``, or the :class:`ImageError` of what could not be read.

        Returns:
            ``file``; ``class``, None where it was rejected or cannot be read; ``probability`` of it; ``otherwise``, the
            second choice, or the nearest class of a rejected image; ``distance`` to the nearest class;
            ``relative_distance``, its root by the limit; ``error``, why an image cannot be used.
        """
        pixels, errors = decode_each(names, images, self.runtime.pixels)
        good = [row for row, error in enumerate(errors) if error is None]
        columns: Columns = {name: [None] * len(names) for name in COLUMNS}
        columns["file"], columns["error"] = list(names), list(errors)
        if good:
            fill(columns, good, *self.runtime(pixels), classes=self.runtime.classes, limit=self.limit)
        return columns


def as_table(columns: Columns) -> Any:
    """Answers as an Arrow table, which knows the type of a column that is empty, too."""
    pyarrow = optional("pyarrow", extra="bulk", what="writing Parquet files")
    kinds = {name: pyarrow.float32() if name in NUMBERS else pyarrow.string() for name in COLUMNS}
    return pyarrow.table({name: pyarrow.array(columns[name], kinds[name]) for name in COLUMNS})


COLUMNS = ("file", "class", "probability", "otherwise", "distance", "relative_distance", "error")
"""Of a table of answers."""
NUMBERS = ("probability", "distance", "relative_distance")
"""Those of them that are numbers; the others are texts."""


def fill(
    columns: Columns,
    rows: Sequence[int],
    probabilities: np.ndarray,
    distances: np.ndarray,
    *,
    classes: Sequence[str],
    limit: float | None,
) -> None:
    """Put what is known of some images into their rows of a table.

    Args:
        columns: the table, changed in place.
        rows: where each image is.
        probabilities: ``(M, way)``.
        distances: ``(M, way)``.
        classes: names of the columns.
        limit: see :class:`ImageNamer`.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    distance, nearest = distances.min(1), distances.argmin(1)
    relative = np.full(len(nearest), np.nan) if limit is None else np.sqrt(distance.astype(np.float64) / limit)
    for place, row in enumerate(rows):
        first, is_rejected = classes[order[place, 0]], bool(relative[place] > 1)
        second = classes[order[place, 1]] if len(classes) > 1 else None
        columns["class"][row] = None if is_rejected else first
        columns["probability"][row] = None if is_rejected else float(probabilities[place, order[place, 0]])
        columns["otherwise"][row] = classes[nearest[place]] if is_rejected else second
        columns["distance"][row] = float(distance[place])
        columns["relative_distance"][row] = None if limit is None else float(relative[place])


def decode_each(
    names: Sequence[str], images: Sequence[Any], pixels: Mapping[str, Any]
) -> tuple[np.ndarray, list[str | None]]:
    """Images at the network's size, and why each of the others cannot be used.

    Args:
        names: what to call them.
        images: as for :meth:`ImageNamer.answer`.
        pixels: arguments of :func:`fewshot_film.data.pixels.to_array`.

    Returns:
        ``(M, C, H, W)`` uint8 of those that can be used, and a reason per image, None for those.
    """
    min_side = least_side(pixels["image_size"], pixels["crop"])
    found, errors = [], list[str | None]()
    for name, image in zip(names, images, strict=True):
        try:
            if isinstance(image, ImageError):
                raise image
            if isinstance(image, bytes):
                found.append(to_array(open_image(image, name, min_side=min_side), name, **pixels))
            else:
                found.append(read_images([image], **pixels)[0].numpy())
            errors.append(None)
        except ImageError as error:
            errors.append(error.reason)
    side = pixels["image_size"]
    empty = np.empty((0, pixels["channels"], side, side), np.uint8)
    return np.stack(found) if found else empty, errors
