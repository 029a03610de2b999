"""What a visitor can undo and redo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewshot_film.app.images import PageImage
    from fewshot_film.classifier import FewShotClassifier

MAX_STEPS = 100
"""Changes that can be undone."""
MAX_KEPT = 500
"""Images that only an earlier or a later state has, at most; with more, the oldest states are dropped."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that a visitor can change, at one moment."""

    base: FewShotClassifier
    """The classifier that is adapted to the classes."""
    groups: tuple[tuple[int, str, tuple[PageImage, ...]], ...]
    """Number, name and support images of every class."""
    queries: tuple[PageImage, ...]
    """Images to classify."""
    reject: float
    """Share of true members that may be rejected."""

    @property
    def images(self) -> set[PageImage]:
        """All images that it shows."""
        return {*self.queries, *(image for *_, images in self.groups for image in images)}


class History:
    """States before and after the present one.

    Attributes:
        past: what undoing returns to, the latest last.
        future: what redoing returns to, the next one last.
    """

    def __init__(self) -> None:
        self.past: list[Snapshot] = []
        self.future: list[Snapshot] = []

    def changed(self, before: Snapshot, now: Snapshot) -> None:
        """Take note of a change, after which nothing can be redone."""
        self.past.append(before)
        self.future.clear()
        self._shorten(now)

    def undo(self, now: Snapshot) -> Snapshot | None:
        """The state before the last change; None where nothing can be undone."""
        return _moved(self.past, self.future, now)

    def redo(self, now: Snapshot) -> Snapshot | None:
        """The state before the last undo; None where nothing can be redone."""
        return _moved(self.future, self.past, now)

    @property
    def images(self) -> set[PageImage]:
        """All images that undoing or redoing may show again."""
        return {image for state in (*self.past, *self.future) for image in state.images}

    def _shorten(self, now: Snapshot) -> None:
        del self.past[:-MAX_STEPS]
        while self.past and len(self.images - now.images) > MAX_KEPT:
            del self.past[0]


def _moved(source: list[Snapshot], target: list[Snapshot], now: Snapshot) -> Snapshot | None:
    if not source:
        return None
    target.append(now)
    return source.pop()
