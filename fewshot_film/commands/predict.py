"""``fewshot-film predict``: names for the pictures of a folder, from a few labelled ones."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewshot_film.config.commands import PredictConfig
from fewshot_film.data import PictureError, decode, open_source
from fewshot_film.data.pictures import open_picture, to_array
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.saving import load_learner
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.machine import Machine

log = logging.getLogger(__name__)


def run(config: PredictConfig) -> None:
    """Adapt to the support pictures, name the query pictures, print and write the table."""
    learner = load_learner(config.model)
    device = Machine(config.device, "32-true").device
    learner.to(device)
    backbone = learner.config.backbone
    support = decode(open_source("folder", config.support), backbone.image_size, backbone.channels)
    paths, queries = _read_queries(Path(config.query), learner)
    with torch.no_grad():
        images = support.get(np.arange(len(support))).float().div(255).to(device)
        adapted = learner.adapt(images, torch.from_numpy(support.labels).to(device))
        confidence, label = adapted(queries.to(device)).softmax(1).max(1)
    rows = [
        (str(path), support.class_names[int(index)], f"{float(share):.4f}")
        for path, index, share in zip(paths, label, confidence, strict=True)
    ]
    text = _as_csv(rows)
    print(text, end="")  # noqa: T201 - the result of the command
    if config.out:
        write_text_atomically(Path(config.out), text)


def _read_queries(where: Path, learner: Learner) -> tuple[list[Path], Tensor]:
    """The query pictures that can be read, ``(Q, C, H, W)`` in [0, 1]; what cannot be is logged."""
    if not where.exists():
        raise FileNotFoundError(f"no query pictures at {where}; give a picture or a folder of pictures")
    backbone = learner.config.backbone
    paths, pictures = [], []
    for path in [where] if where.is_file() else sorted(_visible_files(where)):
        try:
            picture = open_picture(path.read_bytes(), str(path))
            array = to_array(picture, str(path), image_size=backbone.image_size, channels=backbone.channels)
        except PictureError as error:
            if where.is_file():
                raise
            log.warning("left out: %s", error)
            continue
        paths.append(path)
        pictures.append(array)
    if not paths:
        raise FileNotFoundError(f"{where} holds no picture that can be read; give a picture or a folder of pictures")
    return paths, torch.from_numpy(np.stack(pictures)).float().div(255)


def _visible_files(folder: Path) -> list[Path]:
    """Files below a folder, without hidden ones."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _as_csv(rows: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "class", "probability"))
    writer.writerows(rows)
    return text.getvalue()
