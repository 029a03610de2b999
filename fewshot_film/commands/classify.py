"""``fewshot-film classify``: names for the images of a folder, from a few labelled ones."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fewshot_film.classifier import Answers, FewShotClassifier
from fewshot_film.commands.queries import Queries, truths
from fewshot_film.config.commands import ClassifyConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import decode, open_source
from fewshot_film.data.pictures import to_array
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import counted
from fewshot_film.figures import SheetPicture, SheetRow, answer_sheet
from fewshot_film.run.files import write_atomically, write_text_atomically

log = logging.getLogger(__name__)

NONE = "(none of these)"
THUMBNAIL = Preprocessing(size=112, mean=(0.0,) * 3, std=(1.0,) * 3, resize="pad")
MAX_ROWS, MAX_SUPPORT, MAX_QUERIES = 40, 3, 9
MAX_LINES = 12
"""Answers that are printed: what fits on a screen. The file has them all."""


@dataclass(frozen=True)
class Named:
    """What was found out about one query image."""

    file: str
    """Its name below the query folder."""
    name: str
    """The likeliest class, or :data:`NONE`."""
    probability: float
    """Of the likeliest class, also where it was rejected."""
    otherwise: str
    """The class that comes next: the second likeliest, or the likeliest where it was rejected; empty without one."""
    distance: float
    """Squared Mahalanobis distance to the nearest class."""
    truth: str
    """The class whose name its folder has; empty where folders are no classes."""
    is_right: bool | None
    """Whether the name is the truth, or a stranger was rejected; None where no truth is known."""


def run(config: ClassifyConfig) -> None:
    """Adapt to the support images, name the query images, print and write what came out."""
    classifier = FewShotClassifier.from_pretrained(config.model, device=config.device)
    classifier.set_params(resize=config.resize)
    source = open_source("folder", config.support)
    support = decode(source, **classifier.preprocessing.pixels)
    classifier.fit(support.get(np.arange(len(support))), [support.class_names[label] for label in support.labels])
    queries = Queries(Path(config.query))
    files, pictures = queries.read(classifier.preprocessing)
    answers = classifier.answer(np.moveaxis(pictures, 1, -1), reject=config.reject)
    named = summarise(files, answers, classifier.classes_.tolist())
    text = as_json(named, classifier.classes_.tolist()) if config.format == "json" else screenful(named, config.out)
    print(text)  # noqa: T201 - the result of the command
    if config.out:
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomically(out / "predictions.csv", as_csv(named))
        figure = draw(named, source, queries)
        write_atomically(out / "predictions.png", lambda file: figure.savefig(file, format="png"))
        log.info("wrote %s and %s", out / "predictions.csv", out / "predictions.png")


def summarise(files: Sequence[str], answers: Answers, classes: Sequence[str]) -> list[Named]:
    """One record an image, in the order of the files."""
    known = set(classes)
    named = []
    for row, (file, truth) in enumerate(zip(files, truths(files, classes), strict=True)):
        label, shares = answers.labels[row], answers.probabilities[row]
        ranked = [classes[column] for column in np.argsort(-shares, kind="stable")]
        named.append(
            Named(
                file,
                NONE if label is None else label,
                float(shares.max()),
                next(iter(ranked[0 if label is None else 1 :]), ""),
                float(answers.distances[row].min()),
                truth,
                (label == truth or (label is None and truth not in known)) if truth else None,
            )
        )
    return named


def worst_first(named: Sequence[Named]) -> list[Named]:
    """Mistakes first, and the less sure before the surer."""
    return sorted(named, key=lambda one: (one.is_right is not False, one.probability))


def screenful(named: Sequence[Named], out: str | None) -> str:
    """The score where true classes are known, then all answers in the order of the files, or the worst that fit.

    Args:
        named: all answers.
        out: the folder whose ``predictions.csv`` holds them all, None or empty without one.
    """
    score = [_score(named), ""] if _score(named) else []
    if len(named) <= MAX_LINES:
        return "\n".join([*score, table(named)])
    order = "mistakes first, then the least certain" if score else "the least certain first"
    where = f"in {Path(out) / 'predictions.csv'}" if out else "images: --out FOLDER writes them all"
    rest = f"... {len(named) - MAX_LINES} more {where} (shown: {order})"
    return "\n".join([*score, table(worst_first(named)[:MAX_LINES]), rest])


def table(named: Sequence[Named]) -> str:
    """Markdown, one line per image; where true classes are known, in a column of their own, mistakes marked."""
    rows: list[tuple[str, ...]] = [("image", "class", "probability", "second choice", "true class")]
    rows += [
        (_cell(one.file), _cell(one.name), f"{100 * one.probability:.1f} %", _cell(one.otherwise), _truth(one))
        for one in named
    ]
    if not any(one.truth for one in named):
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = rows[0].index("probability")
    lines = [
        [cell.rjust(width) if place == right else cell.ljust(width) for place, (cell, width) in enumerate(cells)]
        for cells in (zip(row, widths, strict=True) for row in rows)
    ]
    rule = [f"{'-' * (width - 1)}:" if place == right else "-" * width for place, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def _truth(one: Named) -> str:
    return f"✗ {_cell(one.truth)}" if one.is_right is False else _cell(one.truth)


def _score(named: Sequence[Named]) -> str:
    judged = [one for one in named if one.is_right is not None]
    if not judged:
        return ""
    right = sum(bool(one.is_right) for one in judged)
    share = 100 * right / len(judged)
    return f"{right} of {len(judged)} right ({share:.1f} %), judged by folder names"


def as_json(named: Sequence[Named], classes: Sequence[str]) -> str:
    """All answers as one JSON document: the classes, the score where truths are known, and a record per image."""
    judged = [one.is_right for one in named if one.is_right is not None]
    score = {"right": sum(judged), "of": len(judged)} if judged else None
    images = [
        {
            "file": one.file,
            "class": None if one.name == NONE else one.name,
            "probability": one.probability,
            "otherwise": one.otherwise or None,
            "distance": one.distance,
            "truth": one.truth or None,
            "right": one.is_right,
        }
        for one in named
    ]
    return json.dumps({"classes": list(classes), "score": score, "images": images}, indent=2, ensure_ascii=False)


def as_csv(named: Sequence[Named]) -> str:
    """All values, one line per image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "class", "probability", "otherwise", "distance", "truth", "right"))
    for one in named:
        right = "" if one.is_right is None else str(one.is_right).lower()
        writer.writerow(
            (one.file, one.name, f"{one.probability:.6f}", one.otherwise, f"{one.distance:.6g}", one.truth, right)
        )
    return text.getvalue()


def draw(named: Sequence[Named], source: ImageSource, queries: Queries) -> Figure:
    """One row per class: some of its support images, then the queries that got its name, the worst first."""
    by_name: dict[str, list[Named]] = {}
    for one in worst_first(named):
        by_name.setdefault(one.name, []).append(one)
    names = [name for name in source.class_names if name in by_name] or list(source.class_names)
    names += [NONE] if NONE in by_name else []
    rows = [_row(name, by_name.get(name, []), source, queries) for name in names[:MAX_ROWS]]
    left_out = f"; {len(names) - len(rows)} more classes are not shown" if len(names) > len(rows) else ""
    score = f"\n{_score(named)}" if _score(named) else ""
    return answer_sheet(
        rows,
        "left: support images of each class; right: images classified as it, "
        "mistakes first (orange, with the true class), then the least certain\n"
        f"{queries.where.name}: {counted(len(named), 'image')}{left_out}{score}",
    )


def _row(name: str, named: Sequence[Named], source: ImageSource, queries: Queries) -> SheetRow:
    """One class on the sheet."""
    label = source.class_names.index(name) if name != NONE else -1
    members = np.flatnonzero(source.labels == label)[:MAX_SUPPORT].tolist()
    pictures = [
        SheetPicture(
            queries.one(one.file, THUMBNAIL),
            f"{100 * one.probability:.0f} %" + (f"\n{one.truth}" if one.is_right is False else ""),
            one.is_right,
        )
        for one in named[:MAX_QUERIES]
    ]
    return SheetRow(name, [_thumbnail(source, index) for index in members], pictures, len(named))


def _thumbnail(source: ImageSource, index: int) -> np.ndarray:
    picture = source.load(index, min_side=THUMBNAIL.min_side)
    return to_array(picture, source.files[index], **THUMBNAIL.pixels)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
