"""``fewshot-film classify`` with an engine: any number of images, or stored embeddings, to a table in Parquet."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.bulk import COLUMNS, ONNX, ImageNamer, as_table
from fewshot_film.classifier.embeddings import (
    EmbeddingClassifier,
    EmbeddingRecord,
    ImageEmbedder,
    embedding_files,
    holds_embeddings,
    read_embeddings,
)
from fewshot_film.classifier.pretrained import Pretrained, load_pretrained
from fewshot_film.commands.in_parts import RECORD, TABLE, Parts
from fewshot_film.commands.support import fit_to_source, read_support
from fewshot_film.config.commands import ClassifyConfig
from fewshot_film.data import ImageSource, SourceError, open_source
from fewshot_film.data.pieces import Piece, open_parquet, open_pieces, read_batches
from fewshot_film.data.stores import open_store
from fewshot_film.errors import SavedModelError, counted
from fewshot_film.extras import optional
from fewshot_film.film.saving import fingerprint
from fewshot_film.run.files import write_json_atomically
from fewshot_film.run.model_folder import CONFIG

log = logging.getLogger(__name__)

DIGEST = "model_and_support_sha256"
"""Setting of a run: what its classifier is made from."""
CLASSIFIER = "classifier"
"""Folder, or stem of the ONNX file, of the classifier that the workers load."""


@dataclass(frozen=True)
class Naming:
    """What a worker needs to name images."""

    model: str
    """Folder of a fitted classifier, or its ONNX file."""
    limit: float | None
    """See :class:`ImageNamer`."""
    device: str
    """Where the network is."""
    batch_size: int
    """Images at once."""


def run_bulk(config: ClassifyConfig) -> None:
    """Name all images of the query, in pieces; print how many got which class.

    Raises:
        RunFolderError: the folder holds the table of another run.
        SourceError: the query or the support set cannot be used.
        MissingExtraError: an extra that the settings need is not installed.
    """
    query, parts = Path(config.query).resolve(), Parts(Path(config.out).resolve())
    optional("pyarrow", extra="bulk", what=f"the engine {config.engine}")
    if holds_embeddings(query):
        pieces = [Piece(number, "parquet", path) for number, path in enumerate(embedding_files(query))]
        record, source = EmbeddingRecord.load(query), _support_of_embeddings(config)
        known = fit_to_embeddings(config, record, source)
        limit = known.rejection_distance(config.reject) if config.reject else None
        digest = support_digest(source, config.support, record.sha256)
        settings = {"query": "embeddings", **_settings(config), DIGEST: digest}
        work = functools.partial(classify_embeddings, known, limit)
    else:
        pieces = open_pieces(query, config.piece, config.column, parts.out)
        is_exported = Path(config.model).suffix == ONNX
        naming, digest = _exported(config) if is_exported else _fitted(config, parts.out)
        settings = {"query": "images", **_settings(config), "limit": naming.limit, DIGEST: digest}
        work = functools.partial(name_piece, naming)
    parts.begin(settings, pieces)
    is_complete = parts.run(work, pieces, config, config.engine)
    found = summary([parts.path(piece) for piece in pieces if parts.path(piece).exists()])
    print(json.dumps(found, ensure_ascii=False, indent=2) if config.format == "json" else as_text(found))  # noqa: T201 - the result of the command
    log.info("%s %s", parts.out / TABLE, "is complete" if is_complete else "lacks the parts of other machines")


def _settings(config: ClassifyConfig) -> dict[str, Any]:
    names = ("support", "model", "reject", "resize", "precision", "runtime", "batch_size")
    return {name: getattr(config, name) for name in names}


def support_digest(source: ImageSource, support: str, model: str) -> str:
    """A digest of a model, of the images of a support set, byte by byte, and of their classes.

    Args:
        source: the images.
        support: folder or zip that they are in.
        model: a digest of the model.
    """
    store, digest = open_store(Path(support)), hashlib.sha256(model.encode())
    for file, label in zip(source.files, source.labels.tolist(), strict=True):
        digest.update(hashlib.sha256(store.read(file)).digest() + os.fsencode(source.class_names[label]) + b"\n")
    return digest.hexdigest()


# images


def _exported(config: ClassifyConfig) -> tuple[Naming, str]:
    """The ONNX file that was named, as workers load it, and its digest."""
    file = Path(config.model)
    if config.support:
        raise SourceError(f"{file} has its classes already; leave --support out, or name another model")
    if config.reject:
        log.warning("an ONNX file does not tell how far members lie from their class: nothing is rejected")
    return Naming(str(file.resolve()), None, "cpu", config.batch_size), hashlib.sha256(file.read_bytes()).hexdigest()


def _fitted(config: ClassifyConfig, out: Path) -> tuple[Naming, str]:
    """The classifier as workers load it, fitted once and saved in the output folder, and a digest of its origin.

    A run that ended before its first piece may have left one of other images, which is made anew; later than that,
    :meth:`Parts.begin` refuses them.
    """
    pretrained = load_pretrained(config.model)
    source = open_source("folder", config.support) if config.support else None
    digest = _origin_digest(config, pretrained, source)
    note = out / CLASSIFIER / "limit.json"
    target = out / CLASSIFIER / ("model.onnx" if config.runtime == "onnx" else "model")
    made = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}  # by an earlier run, another machine
    if not made or (made.get(DIGEST) != digest and not (out / RECORD).exists()):
        classifier = _fit(config, pretrained, source)
        limit = classifier.rejection_distance(config.reject) if config.reject and classifier.can_reject else None
        target.parent.mkdir(parents=True, exist_ok=True)
        if config.runtime == "onnx":
            classifier.export_onnx(target)
        else:
            classifier.save_pretrained(target)
        made = {"limit": limit, DIGEST: digest}
        write_json_atomically(note, made)
    return Naming(str(target), made["limit"], config.device, config.batch_size), digest


def _origin_digest(config: ClassifyConfig, pretrained: Pretrained, source: ImageSource | None) -> str:
    """A digest of what the classifier is made from: the weights of its model, and the support set.

    Not of its own weights, whose last bits may differ between machines.
    """
    if source is not None:
        return support_digest(source, config.support, fingerprint(pretrained.learner)["weights"])
    if pretrained.fitted is None:
        raise SavedModelError(
            f"{config.model} has no classes; give labelled images as --support, or the folder of a classifier that "
            "was saved after fit"
        )
    return hashlib.sha256((pretrained.fitted.folder / CONFIG).read_bytes()).hexdigest()  # has that of all weights


def _fit(config: ClassifyConfig, pretrained: Pretrained, source: ImageSource | None) -> FewShotClassifier:
    """The classifier of the support set, or without one the saved one that has its classes."""
    classifier = FewShotClassifier.from_pretrained(pretrained, device=config.device)
    if source is None:
        return classifier
    return fit_to_source(classifier.set_params(resize=config.resize, precision=config.precision), source)


def name_piece(naming: Naming, piece: Piece) -> Any:
    """The part of a piece; runs in a worker, which loads the classifier once."""
    namer = load_namer(naming)
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for names, images in read_batches(piece, naming.batch_size):
        for name, values in namer.answer(names, images).items():
            columns[name] += values
    return as_table(columns)


@functools.lru_cache(maxsize=1)
def load_namer(naming: Naming) -> ImageNamer:
    """A process's classifier."""
    return ImageNamer(naming.model, limit=naming.limit, device=naming.device)


# embeddings


def _support_of_embeddings(config: ClassifyConfig) -> ImageSource:
    if not config.support:
        raise SourceError(
            f"{config.query} holds embeddings, which need labelled images to be told apart: give --support"
        )
    return open_source("folder", config.support)


def fit_to_embeddings(config: ClassifyConfig, record: EmbeddingRecord, source: ImageSource) -> EmbeddingClassifier:
    """The classes of the support set, from its images' embeddings by the model of the stored ones.

    Raises:
        SavedModelError: the model is no longer what it was when the embeddings were computed.
    """
    embedder = ImageEmbedder(record.model, resize=record.resize, device=config.device)
    if asdict(embedder.record) != asdict(record):
        raise SavedModelError(
            f"the model {record.model} is not the one that computed the embeddings of {config.query}; embed the images "
            "again, or bring back that model"
        )
    images, labels = read_support(source, embedder.preprocessing)
    return EmbeddingClassifier(embedder.embed(images), labels, embedder.config)


def classify_embeddings(known: EmbeddingClassifier, limit: float | None, piece: Piece) -> Any:
    """The table of one file of embeddings; no image is looked at."""
    pyarrow = optional("pyarrow", extra="bulk", what="writing Parquet files")
    names = pyarrow.array(known.classes)
    tables = []
    for batch, embeddings in read_embeddings(piece.root):
        found = known.answer(embeddings)
        errors = batch.column("error")
        has_bad = errors.null_count < len(errors)
        bad = errors.is_valid().to_numpy(zero_copy_only=False) if has_bad else np.zeros(len(errors), bool)
        relative = None if limit is None else np.sqrt(found.distance / np.float32(limit))
        far = np.zeros(len(bad), bool) if relative is None else relative > 1

        def values(numbers: np.ndarray, mask: np.ndarray) -> Any:
            return pyarrow.array(numbers, mask=mask if mask.any() else None)

        def words(places: np.ndarray, mask: np.ndarray) -> Any:
            return pyarrow.DictionaryArray.from_arrays(values(places, mask), names)

        columns = {
            "file": batch.column("file"),
            "class": words(found.first, bad | far),
            "probability": values(found.probability, bad | far),
            "otherwise": words(np.where(far, found.nearest, found.second), bad),
            "distance": values(found.distance, bad),
            "relative_distance": pyarrow.nulls(len(bad), pyarrow.float32())
            if relative is None
            else values(relative, bad),
            "error": errors,
        }
        tables.append(pyarrow.table(columns))
    return pyarrow.concat_tables(tables)


# what is printed


def summary(paths: Sequence[Path]) -> dict[str, Any]:
    """How many images got which class, were rejected, or could not be read."""
    classes, errors, rejected, total = Counter[str](), Counter[str](), 0, 0
    for path in paths:
        table = open_parquet(path).read(columns=["class", "error"], use_threads=False)
        total += len(table)
        for name, counter in (("class", classes), ("error", errors)):
            counter.update({one["values"]: one["counts"] for one in table[name].drop_null().value_counts().to_pylist()})
    rejected = total - sum(classes.values()) - sum(errors.values())
    return {"images": total, "classes": dict(classes.most_common()), "rejected": rejected, "errors": dict(errors)}


def as_text(found: dict[str, Any]) -> str:
    """The summary as lines."""
    lines = [counted(found["images"], "image")]
    lines += [f"  {count:>9,}  {name}" for name, count in list(found["classes"].items())[:20]]
    if len(found["classes"]) > 20:
        lines.append(f"             and {len(found['classes']) - 20} more classes")
    if found["rejected"]:
        lines.append(f"  {found['rejected']:>9,}  (none of these)")
    unread = sum(found["errors"].values())
    if unread:
        lines.append(f"  {unread:>9,}  could not be read; the column `error` says why")
    return "\n".join(lines)
