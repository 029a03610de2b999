"""``fewshot-film classify``: names for the images of a folder, from a few labelled ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.commands.classify_bulk import run_bulk
from fewshot_film.commands.predictions import (
    NONE,
    Prediction,
    as_csv,
    as_json,
    score,
    screenful,
    summarise,
    worst_first,
)
from fewshot_film.commands.queries import Queries
from fewshot_film.commands.support import fit_to_source
from fewshot_film.config.commands import ClassifyConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import SourceError, open_source
from fewshot_film.data.pixels import to_array
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import counted
from fewshot_film.figures import SheetImage, SheetRow, answer_sheet, shortened
from fewshot_film.run.files import write_atomically, write_text_atomically

log = logging.getLogger(__name__)

THUMBNAIL = Preprocessing(size=112, mean=(0.0,) * 3, std=(1.0,) * 3, resize="pad")
MAX_ROWS, MAX_SUPPORT, MAX_QUERIES = 40, 3, 9


def run(config: ClassifyConfig) -> None:
    """Adapt to the support images, classify the query images, print and write what came out.

    Raises:
        SourceError: there is one class, and nothing that tells it from anything else.
    """
    if config.engine != "memory":
        run_bulk(config)
        return
    source = open_source("folder", config.support)
    classifier = FewShotClassifier.from_pretrained(config.model, device=config.device)
    classifier.set_params(resize=config.resize, precision=config.precision)
    fit_to_source(classifier, source)
    reject = _usable(config.reject, classifier)
    queries = Queries(Path(config.query), Path(config.out) if config.out else None)
    files, images = queries.read(classifier.preprocessing)
    answers = classifier.answer(torch.from_numpy(images), reject=reject, together=config.together)
    classes = classifier.classes_.tolist()
    predictions = summarise(files, answers, classes)
    print(as_json(predictions, classes) if config.format == "json" else screenful(predictions, config.out))  # noqa: T201 - the result of the command
    if config.out:
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomically(out / "predictions.csv", as_csv(predictions))
        figure = draw(predictions, source, queries)
        write_atomically(out / "predictions.png", lambda file: figure.savefig(file, format="png"))
        log.info("wrote %s and %s", out / "predictions.csv", out / "predictions.png")


def _usable(reject: float | None, classifier: FewShotClassifier) -> float | None:
    """The share to reject by, None where nothing can be rejected; says what is missing.

    Raises:
        SourceError: there is one class, and nothing can be rejected either: every image would get its name.
    """
    first, *others = classifier.classes_.tolist()
    usable = reject if reject and classifier.can_reject else None
    if not others and usable is None:
        raise SourceError(
            f"there is one class, '{first}', and nothing to tell it from; add the folder of a second class, or one of "
            "other images that are none of it"
        )
    if not others:
        log.warning(
            "there is one class, '%s', and distance alone tells what is none of it: add the folder of a second class, "
            "or one of other images that are none of it",
            first,
        )
    if reject and usable is None:
        log.warning("one image per class: nothing can be rejected as none of these; add a second image to a class")
    return usable


def draw(predictions: Sequence[Prediction], source: ImageSource, queries: Queries) -> Figure:
    """One row per class: some of its support images, then the queries that got its name, the worst first."""
    by_class: dict[str | None, list[Prediction]] = {}
    for one in worst_first(predictions):
        by_class.setdefault(None if one.is_rejected else one.name, []).append(one)
    classes: list[str | None] = [name for name in source.class_names if name in by_class] or list(source.class_names)
    classes += [None] if None in by_class else []
    rows = [_row(name, by_class.get(name, []), source, queries) for name in classes[:MAX_ROWS]]
    left_out = f"; {len(classes) - len(rows)} more classes are not shown" if len(classes) > len(rows) else ""
    found = f"\n{score(predictions)}" if score(predictions) else ""
    far = "\n× limit: distance to the nearest class; above 1 × limit it is none of these" if None in by_class else ""
    return answer_sheet(
        rows,
        "left: support images of each class; right: images classified as it, "
        "mistakes first (orange, with the true class), then the least certain\n"
        f"{queries.where.name}: {counted(len(predictions), 'image')}{left_out}{found}{far}",
    )


def _row(name: str | None, predictions: Sequence[Prediction], source: ImageSource, queries: Queries) -> SheetRow:
    """One class on the sheet; None: what was rejected."""
    label = source.class_names.index(name) if name is not None else -1
    members = np.flatnonzero(source.labels == label)[:MAX_SUPPORT].tolist()
    shown = [
        SheetImage(queries.one(one.file, THUMBNAIL), _caption(one), one.is_right) for one in predictions[:MAX_QUERIES]
    ]
    title = NONE if name is None else name
    return SheetRow(title, [_thumbnail(source, index) for index in members], shown, len(predictions))


def _caption(one: Prediction) -> str:
    """How certain it is, or how far from its nearest class; and the truth, if it is another one."""
    truth = [shortened(one.truth, 15)] if one.is_right is False and one.truth is not None else []
    if one.is_rejected:
        far = [f"{one.relative_distance:.1f} × limit", f"nearest: {shortened(one.otherwise, 11)}"]
        return "\n".join([*far, *(f"true: {name}" for name in truth)])
    return "\n".join([f"{100 * one.probability:.0f} %", *truth])


def _thumbnail(source: ImageSource, index: int) -> np.ndarray:
    picture = source.load(index, min_side=THUMBNAIL.min_side)
    return to_array(picture, source.files[index], **THUMBNAIL.pixels)
