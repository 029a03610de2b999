"""Embeddings of images, computed once and stored, and classes learned and told from them alone.

An embedding is the feature of the backbone without FiLM, transformed as ridge regression reads it (the power of its
size, then length 1: :mod:`fewshot_film.learners.ridge`), in half precision. Scores and distances of another set of
classes are then one matrix product, without another look at the images.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fewshot_film.classifier.adapting import Adapter, TaskHead, features_of
from fewshot_film.classifier.calibration import held_out, largest_member_distance, task_temperature
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.config.learners import RidgeConfig
from fewshot_film.config.preprocessing import Preprocessing, Resize
from fewshot_film.data.pieces import open_parquet
from fewshot_film.errors import InvalidValueError, SavedModelError
from fewshot_film.extras import optional
from fewshot_film.learners.ridge import fit_ridge, transformed
from fewshot_film.run.files import write_json_atomically
from fewshot_film.run.runtime import choose_device

RECORD = "embeddings.json"
"""File of a folder of embeddings that says how they were computed."""
TABLE = "table"
"""Folder of its Parquet files."""
CHUNK = 256
"""Rows that are multiplied at once: as many as a processor's cache holds in single precision."""
BATCH = 8192
"""Rows that are read from a file at once."""


@dataclass(frozen=True)
class EmbeddingRecord:
    """How embeddings were computed."""

    model: str
    """As it was given."""
    resize: Resize | None
    """How images became square; None: as the model was trained."""
    dim: int
    """Numbers per image."""
    power: float
    """Exponent applied to each feature's magnitude."""
    sha256: str
    """Of the backbone's weights and preprocessing."""

    def save(self, folder: Path) -> None:
        """Write it beside the table."""
        write_json_atomically(folder / RECORD, asdict(self))

    @staticmethod
    def load(folder: Path) -> EmbeddingRecord:
        """Read it.

        Raises:
            SavedModelError: it is damaged.
        """
        try:
            return EmbeddingRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise SavedModelError(f"{folder / RECORD} is damaged ({error}); embed the images again") from None


def holds_embeddings(folder: Path) -> bool:
    """Whether ``fewshot-film embed`` wrote a folder."""
    return (folder / RECORD).is_file()


class ImageEmbedder:
    """Images to embeddings.

    Args:
        model: see :class:`~fewshot_film.classifier.FewShotClassifier`.
        resize: see there.
        device: auto, cpu, cuda or mps.
    """

    def __init__(self, model: Any, *, resize: Resize | None = None, device: str = "cpu") -> None:
        learner = load_pretrained(model).learner
        adapter = Adapter(learner)
        learner.to(choose_device(device))
        self.preprocessing: Preprocessing = learner.backbone.preprocessing.resized_by(resize)
        self.config = learner.config if isinstance(learner.config, RidgeConfig) else RidgeConfig()
        self._network, self._device = adapter.network({}), adapter.device
        side, channels = self.preprocessing.size, self.preprocessing.channels
        dim = self.embed(torch.zeros(1, channels, side, side, dtype=torch.uint8)).shape[1]
        digest = hashlib.sha256(repr(self.preprocessing).encode())
        for name, value in learner.backbone.state_dict().items():
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        self.record = EmbeddingRecord(str(model), resize, dim, self.config.power, digest.hexdigest())

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, dim)``, half precision and of length 1, of ``(N, C, H, W)`` uint8 images.

        Raises:
            NonFiniteFeaturesError: the network makes NaN or infinity of an image.
        """
        return transformed(features_of(self._network, images, self._device), self.config.power).half().cpu()


class EmbeddingAnswers(NamedTuple):
    """What is told of ``M`` embeddings; classes by their positions."""

    first: np.ndarray
    """``(M,)`` int32: the most likely class, also where it is rejected."""
    probability: np.ndarray
    """``(M,)`` float32, of that class."""
    second: np.ndarray
    """``(M,)`` int32: the class that comes next; -1 without one."""
    nearest: np.ndarray
    """``(M,)`` int32: the nearest class."""
    distance: np.ndarray
    """``(M,)`` float32, to that class."""


class EmbeddingClassifier:
    """Ridge regression on stored embeddings; one matrix product for all scores and distances.

    Args:
        embeddings: ``(N, dim)`` of the support images.
        labels: their classes.
        config: penalty and scale of the regression.

    Raises:
        InvalidValueError: there is one class only.
    """

    def __init__(self, embeddings: Tensor, labels: Sequence[Hashable], config: RidgeConfig) -> None:
        self.classes = sorted({str(label) for label in labels})
        if len(self.classes) < 2:
            raise InvalidValueError(f"there is one class, {self.classes}; expected images of at least two")
        rows = embeddings.double()
        numbers = torch.tensor([self.classes.index(str(label)) for label in labels])

        def fit_head(features: Tensor, members: Tensor, weights: Tensor | None = None) -> TaskHead:
            head = fit_ridge(features, members, 1.0, config.ridge_penalty, config.scale, weights)
            return TaskHead(head, head)

        head = fit_ridge(rows, numbers, 1.0, config.ridge_penalty, config.scale)
        held = held_out(fit_head, rows, numbers)
        way = len(self.classes)
        self.temperature = task_temperature(held, {}, len(numbers) / way)
        self.member_distances = held.nearest.double()
        self.matrix = torch.cat([head.coefficients, head.directions], 1).float().contiguous()
        self._offset = (head.centre @ head.coefficients).float()
        self._factor = config.scale * (1 - 1 / way) / self.temperature
        self._spread = float(head.spread)

    def rejection_distance(self, reject: float) -> float | None:
        """Distance to the nearest class that about this share of members exceeds; None where nothing tells."""
        if len(self.member_distances) < 2:
            return None
        return largest_member_distance(self.member_distances, reject)

    @torch.no_grad()
    def answer(self, embeddings: Tensor) -> EmbeddingAnswers:
        """Classes, probabilities and distances of embeddings ``(M, dim)``."""
        way = len(self.classes)
        # a class's values side by side: quick to reduce over classes
        products = self.matrix.new_empty(2 * way, len(embeddings))
        rows = self.matrix.new_empty(CHUNK, embeddings.shape[1])  # one for all chunks: it stays in the cache
        for start in range(0, len(embeddings), CHUNK):
            chunk = embeddings[start : start + CHUNK]
            single = rows[: len(chunk)].copy_(chunk)
            products[:, start : start + CHUNK] = (single @ self.matrix).T
        scores = products[:way].sub_(self._offset[:, None])
        nearest, _, closeness = _two_best(products[way:].sub_(1).div_(self._spread).add_(scores))
        distances = (1 - 1 / way - closeness).clamp_min_(0)
        logits = scores.mul_(self._factor)
        first, second, best = _two_best(logits)
        shares = 1 / logits.sub_(best).exp_().sum(0)
        return EmbeddingAnswers(*(each.numpy() for each in (first, shares, second, nearest, distances)))


def _two_best(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the largest and the second largest value of every column, int32, and the largest; ``values (K, M)``.

    Row by row, which is quicker than torch's reductions with indices as long as there are not very many.
    """
    best = values.new_full(values.shape[1:], -torch.inf)
    runner_up = best.clone()
    first = torch.zeros(values.shape[1], dtype=torch.int32)
    second = first.clone()
    for row, value in enumerate(values):
        is_best, is_next = value > best, value > runner_up
        second = torch.where(is_best, first, second.masked_fill_(is_next, row))
        runner_up = torch.where(is_best, best, torch.maximum(runner_up, value))
        first.masked_fill_(is_best, row)
        best = torch.maximum(best, value)
    return first, second, best


def embedding_table(files: Sequence[str], embeddings: Tensor, errors: Sequence[str | None], dim: int) -> Any:
    """An Arrow table of embeddings: ``file``, ``embedding`` (the bytes of ``dim`` float16) and ``error``.

    Bytes and not a list, which Parquet would store, and read, number by number.

    Args:
        files: names of the images.
        embeddings: ``(M, dim)`` of those that could be read, in their order.
        errors: why an image could not be read; None for the others.
        dim: numbers per embedding.
    """
    pyarrow = optional("pyarrow", extra="bulk", what="storing embeddings")
    cells = np.zeros((len(files), dim), np.float16)
    cells[[error is None for error in errors]] = embeddings.numpy()
    data = [None, pyarrow.py_buffer(cells)]
    return pyarrow.table(
        {
            "file": pyarrow.array(files, pyarrow.string()),
            "embedding": pyarrow.FixedSizeBinaryArray.from_buffers(pyarrow.binary(2 * dim), len(files), data),
            "error": pyarrow.array(errors, pyarrow.string()),
        }
    )


def embedding_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder of embeddings, in order."""
    return sorted((folder / TABLE).glob("*.parquet"))


def read_embeddings(path: Path, columns: Sequence[str] = ("file", "error")) -> Iterator[tuple[Any, Tensor]]:
    """The embeddings of one Parquet file, some thousand at a time.

    Args:
        path: see :func:`embedding_files`.
        columns: what else to read.

    Yields:
        An Arrow record batch of these columns, and embeddings ``(M, dim)`` half precision, without a copy; 0 for images
        that could not be read.

    Raises:
        SourceError: it is cut short.
    """
    for batch in open_parquet(path).iter_batches(BATCH, columns=[*columns, "embedding"], use_threads=False):
        cells = batch.column("embedding")
        dim = cells.type.byte_width // 2
        start, stop = cells.offset * dim, (cells.offset + len(cells)) * dim
        data = np.frombuffer(cells.buffers()[1], np.float16)[start:stop].reshape(-1, dim)
        with warnings.catch_warnings():  # torch warns of memory that must not be written to
            warnings.simplefilter("ignore")
            rows = torch.from_numpy(data)
        yield batch, rows
