"""What ``fewshot-film classify`` found out about each image, as a table, as JSON and as CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_film.classifier import Answers
from fewshot_film.commands.queries import truths
from fewshot_film.errors import counted
from fewshot_film.run.tables import csv_text, encodable

NONE = "(none of these)"
MAX_LINES = 12
"""Predictions that are printed: what fits on a screen. The file has them all."""
FOOTNOTE = "distance: how far from the nearest class; above 1, further than its own images are, it is none of these"
COLUMNS = ("file", "class", "probability", "otherwise", "distance", "relative_distance", "truth", "right")


@dataclass(frozen=True)
class Prediction:
    """What was found out about one query image."""

    file: str
    """Its name below the query folder."""
    name: str
    """The most likely class, also where it was rejected."""
    probability: float
    """Of that class."""
    otherwise: str
    """The class that comes next, empty without one; of a rejected image the nearest class."""
    distance: float
    """Squared distance to the nearest class."""
    relative_distance: float | None = None
    """Its root as a multiple of the largest that is not rejected; None where nothing can be rejected."""
    truth: str = ""
    """The class whose name its folder has; empty where folders are no classes."""
    is_stranger: bool | None = None
    """Whether its true class is none of the classifier's; None where no truth is known."""

    @property
    def is_rejected(self) -> bool:
        """Whether it is called none of these."""
        return self.relative_distance is not None and self.relative_distance > 1

    @property
    def label(self) -> str:
        """What it is called: its class, or :data:`NONE`."""
        return NONE if self.is_rejected else self.name

    @property
    def is_right(self) -> bool | None:
        """Whether a member got its class, or a stranger was rejected; None where no truth is known."""
        if self.is_stranger is None:
            return None
        return self.is_rejected if self.is_stranger else not self.is_rejected and self.name == self.truth

    @property
    def certainty(self) -> float:
        """From 0 to 1, to sort by: the probability, or how clearly it was rejected."""
        return 1 - 1 / self.relative_distance if self.is_rejected and self.relative_distance else self.probability


def summarise(files: Sequence[str], answers: Answers, classes: Sequence[str]) -> list[Prediction]:
    """One record an image, in the order of the files."""
    known = set(classes)
    relative = answers.relative_distances
    found = []
    for row, (file, truth) in enumerate(zip(files, truths(files, classes), strict=True)):
        shares = answers.probabilities[row]
        first, *others = (classes[column] for column in np.argsort(-shares, kind="stable"))
        is_rejected = relative is not None and relative[row] > 1
        found.append(
            Prediction(
                file,
                first,
                float(shares.max()),
                classes[answers.distances[row].argmin()] if is_rejected else next(iter(others), ""),
                float(answers.distances[row].min()),
                None if relative is None else float(relative[row]),
                truth,
                truth not in known if truth else None,
            )
        )
    return found


def worst_first(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Mistakes first, and the less certain before the more certain."""
    return sorted(predictions, key=lambda one: (one.is_right is not False, one.certainty))


def score(predictions: Sequence[Prediction]) -> str:
    """How many are right, members of the classes and strangers apart; empty where no truth is known."""
    found = _scores(predictions)
    if found is None:
        return ""
    members, strangers = found["members"], found["strangers"]
    who = " members" if strangers["of"] else ""
    parts = [f"{members['right']} of {members['of']}{who} right ({_percent(members['right'], members['of'])})"]
    if members["rejected"]:
        parts[0] += f", {members['rejected']} taken for strangers"
    if strangers["of"] and predictions[0].relative_distance is None:
        parts.append(f"{counted(strangers['of'], 'stranger')}, which only --reject can find")
    elif strangers["of"]:
        share = _percent(strangers["rejected"], strangers["of"])
        parts.append(f"{strangers['rejected']} of {counted(strangers['of'], 'stranger')} rejected ({share})")
    return f"{'; '.join(parts)}; judged by folder names"


def _scores(predictions: Sequence[Prediction]) -> dict[str, Any] | None:
    """Counts of what is right; None where no truth is known."""
    members = [one for one in predictions if one.is_stranger is False]
    strangers = [one for one in predictions if one.is_stranger]
    if not members and not strangers:
        return None
    right, found, lost = (
        sum(bool(one.is_right) for one in members),
        sum(one.is_rejected for one in strangers),
        sum(one.is_rejected for one in members),
    )
    return {
        "right": right + found,
        "of": len(members) + len(strangers),
        "members": {"right": right, "rejected": lost, "of": len(members)},
        "strangers": {"rejected": found, "of": len(strangers)},
    }


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def screenful(predictions: Sequence[Prediction], out: str | None) -> str:
    """The score where true classes are known, then all predictions in the order of the files, or the worst that fit.

    Args:
        predictions: all of them.
        out: the folder whose ``predictions.csv`` holds them all, None or empty without one.
    """
    head = [score(predictions), ""] if score(predictions) else []
    foot = ["", FOOTNOTE] if any(one.relative_distance is not None for one in predictions) else []
    if len(predictions) <= MAX_LINES:
        return "\n".join([*head, table(predictions), *foot])
    order = "mistakes first, then the least certain" if head else "the least certain first"
    where = f"in {Path(out) / 'predictions.csv'}" if out else "images: --out FOLDER writes them all"
    rest = f"... {len(predictions) - MAX_LINES} more {where} (shown: {order})"
    return "\n".join([*head, table(worst_first(predictions)[:MAX_LINES]), rest, *foot])


def table(predictions: Sequence[Prediction]) -> str:
    """One line per image, names as they were typed; columns that say nothing are left out."""
    has_distance = any(one.relative_distance is not None for one in predictions)
    has_truth = any(one.truth for one in predictions)
    rows = [("image", "class", "probability", "second choice", "distance", "true class")]
    rows += [
        (
            _on_one_line(one.file),
            _on_one_line(one.label),
            "" if one.is_rejected else f"{100 * one.probability:.1f} %",
            _on_one_line(f"nearest: {one.otherwise}" if one.is_rejected else one.otherwise),
            "" if one.relative_distance is None else f"{one.relative_distance:.2f}",
            ("✗ " if one.is_right is False else "") + _on_one_line(one.truth),
        )
        for one in predictions
    ]
    kept = [place for place in range(6) if (place != 4 or has_distance) and (place != 5 or has_truth)]
    columns = [[row[place] for row in rows] for place in kept]
    widths = [max(map(len, column)) for column in columns]
    right = [column[0] in ("probability", "distance") for column in columns]
    padded = [
        [cell.rjust(width) if at_right else cell.ljust(width) for cell in column]
        for column, width, at_right in zip(columns, widths, right, strict=True)
    ]
    rule = [f"{'-' * (width - 1)}:" if at_right else "-" * width for width, at_right in zip(widths, right, strict=True)]
    head, *lines = zip(*padded, strict=True)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _on_one_line(name: str) -> str:
    """A name without what would move the cursor; the terminal shows the rest as it is."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name)


def as_json(predictions: Sequence[Prediction], classes: Sequence[str]) -> str:
    """All predictions as one JSON document: the classes, the score where truths are known, and a record per image."""
    images = [
        {
            "file": one.file,
            "class": None if one.is_rejected else one.name,
            "probability": None if one.is_rejected else one.probability,
            "otherwise": one.otherwise or None,
            "distance": one.distance,
            "relative_distance": one.relative_distance,
            "truth": one.truth or None,
            "right": one.is_right,
        }
        for one in predictions
    ]
    found = {"classes": list(classes), "score": _scores(predictions), "images": images}
    return encodable(json.dumps(found, indent=2, ensure_ascii=False))  # JSON has the same escapes


def as_csv(predictions: Sequence[Prediction]) -> str:
    """All values, one line per image; a rejected one has no probability, but a distance above 1."""
    rows: list[tuple[str | float, ...]] = [
        (
            one.file,
            one.label,
            "" if one.is_rejected else round(one.probability, 6),
            one.otherwise,
            float(f"{one.distance:.6g}"),
            "" if one.relative_distance is None else float(f"{one.relative_distance:.4g}"),
            one.truth,
            "" if one.is_right is None else str(one.is_right).lower(),
        )
        for one in predictions
    ]
    return csv_text(COLUMNS, rows)
