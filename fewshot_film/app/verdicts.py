"""Predictions for query images, and how the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from fewshot_film.app.images import PageImage
from fewshot_film.page import bars_html

MAX_BARS = 6
"""Classes whose probabilities are shown."""


@dataclass(frozen=True)
class Verdict:
    """The prediction for one query image."""

    image: PageImage
    """The query."""
    name: str
    """The most probable class."""
    nearest_class: str
    """The class that it is least far from; mostly the same."""
    relative_distance: float | None
    """How far it is from its nearest class, as a multiple of the largest distance that is not rejected; None where
    nothing can be rejected."""
    probabilities: dict[str, float]
    """Probability of every class."""
    nearest: tuple[tuple[PageImage, str, float], ...]
    """The most similar support images, with their classes and the distances of their features."""

    @property
    def is_stranger(self) -> bool:
        """Whether it is rejected as none of these: further from all classes than their own images are."""
        return self.relative_distance is not None and self.relative_distance > 1

    @property
    def caption(self) -> str:
        """What stands below its image, as plain text."""
        share = self.probabilities[self.name]
        return (
            f"none of these ({self.relative_distance:.1f} ×)"
            if self.is_stranger
            else f"{self.name} {100 * share:.0f} %"
        )


def verdict_html(verdict: Verdict, can_reject: bool) -> str:
    """The prediction for one image, as a heading, an explanation and bars; names are shown as they were typed.

    Args:
        verdict: the prediction.
        can_reject: whether the classifier can reject images.
    """
    if verdict.is_stranger:
        heading = "None of these"
        note = (
            f"It is {verdict.relative_distance:.1f} times as far from the nearest class, "
            f"{escape(verdict.nearest_class)}, as that class's own images are at most."
        )
    else:
        heading = f"{escape(verdict.name)}, {100 * verdict.probabilities[verdict.name]:.1f} %"
        note = "" if can_reject else "With one image per class, nothing can be rejected: add a second one."
    return f"<h3>{heading}</h3>{f'<p>{note}</p>' if note else ''}{_bars(verdict.probabilities)}"


def _bars(probabilities: dict[str, float]) -> str:
    best = sorted(probabilities.items(), key=lambda item: -item[1])
    more = len(best) - MAX_BARS
    rest = 100 * sum(share for _, share in best[MAX_BARS:])
    return bars_html(dict(best[:MAX_BARS]), f"and {more} more, together {rest:.1f} %" if more > 0 else "")
