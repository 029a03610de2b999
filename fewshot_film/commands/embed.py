"""``fewshot-film embed``: embeddings of any number of images, stored once."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import torch

from fewshot_film.classifier.bulk import decode_each
from fewshot_film.classifier.embeddings import ImageEmbedder, embedding_table
from fewshot_film.commands.in_parts import Parts
from fewshot_film.config.commands import EmbedConfig
from fewshot_film.config.preprocessing import Resize
from fewshot_film.data.pieces import Piece, open_pieces, read_batches
from fewshot_film.errors import counted

log = logging.getLogger(__name__)


def run(config: EmbedConfig) -> None:
    """Compute the embeddings that are not there yet.

    Raises:
        RunFolderError: the folder holds embeddings of other images or another model.
        MissingExtraError: an extra that the settings need is not installed.
    """
    parts = Parts(Path(config.out).resolve())
    pieces = open_pieces(Path(config.query).resolve(), config.piece, config.column, parts.out)
    record = load_embedder(config.model, config.resize, config.device).record
    parts.begin({"sha256": record.sha256, "batch_size": config.batch_size}, pieces)
    record.save(parts.out)
    work = functools.partial(embed_piece, config.model, config.resize, config.device, config.batch_size)
    is_complete = parts.run(work, pieces, config, config.engine)
    log.info(
        "%s %s: %s", parts.out, "is complete" if is_complete else "lacks other parts", counted(record.dim, "number")
    )


def embed_piece(model: str, resize: Resize | None, device: str, batch_size: int, piece: Piece) -> Any:
    """The part of a piece; runs in a worker, which loads the model once."""
    embedder = load_embedder(model, resize, device)
    files, errors, found = list[str](), list[str | None](), [torch.empty(0, embedder.record.dim, dtype=torch.float16)]
    for names, images in read_batches(piece, batch_size):
        pixels, reasons = decode_each(names, images, embedder.preprocessing.pixels)
        files += names
        errors += reasons
        if len(pixels):
            found.append(embedder.embed(torch.from_numpy(pixels)))
    return embedding_table(files, torch.cat(found), errors, embedder.record.dim)


@functools.lru_cache(maxsize=1)
def load_embedder(model: str, resize: Resize | None, device: str) -> ImageEmbedder:
    """A process's embedder."""
    return ImageEmbedder(model, resize=resize, device=device)
