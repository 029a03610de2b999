"""The classes and queries of one visitor, a classifier that is kept adapted to them, and what can be undone."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from fewshot_film.app.groups import NEAREST, Group, filled, pixels, predict
from fewshot_film.app.history import History, Snapshot
from fewshot_film.app.images import PageImage, Reader
from fewshot_film.app.verdicts import Verdict
from fewshot_film.classifier import Answers, FewShotClassifier
from fewshot_film.errors import UserError, counted
from fewshot_film.page import Limits

T = TypeVar("T")

NO_CLASSIFIER = "there is no classifier yet: add images to two classes first"


class TeachingError(UserError, ValueError):
    """What a visitor asked for cannot be done with these classes."""


@dataclass(frozen=True)
class Intake:
    """How far images have been read."""

    done: int
    """Images looked at."""
    total: int
    """Images in all."""
    troubles: tuple[str, ...] = ()
    """Why some could not be used, at the end."""


class Taught:
    """What one visitor has, always up to date: every change adapts the classifier and can be undone.

    Args:
        start: a classifier with a model and no classes.
        folder: for the visitor's files.
        limits: on uploads.

    Attributes:
        groups: the classes by number.
        queries: images to classify.
        verdicts: one per query; empty while there is no classifier.
        selected: the query whose prediction is shown in detail; None without queries.
        reject: share of true members that may be rejected together with unknown images; 0: every image gets a class.
        seconds: duration of the last adaptation.
        changes: counts up with every change of a class.
        answers: counts up with every change of the predictions.
    """

    _model_in_use = threading.Lock()  # FiLM is switched on in the one model that all visitors share

    def __init__(self, start: FewShotClassifier, folder: Path, limits: Limits) -> None:
        self.start = start
        self.folder = folder
        self.limits = limits
        self.groups: dict[int, Group] = {}
        self.queries: list[PageImage] = []
        self.verdicts: list[Verdict] = []
        self.selected: PageImage | None = None
        self.reject = 0.05
        self.seconds = 0.0
        self.changes = self.answers = 0
        self._numbers = itertools.count(1)
        self._classifier: FewShotClassifier | None = None
        self._adapted_to: object = None
        self._history = History()
        self._recorded: tuple[int, list[PageImage]] | None = None
        self._readers: list[Reader] = []
        self._stops = 0
        self._is_changing = False
        self._lock = threading.RLock()
        self._read_for(start)

    def stop_reading(self) -> None:
        """End what :meth:`_taking_in` is reading; the images that were read so far are taken."""
        self._stops += 1

    def undo(self) -> None:
        """Return to the state before the last change.

        Raises:
            TeachingError: there was none.
        """
        self._return_to(self._history.undo, "nothing to undo")

    def redo(self) -> None:
        """Do again what was undone last.

        Raises:
            TeachingError: nothing was undone, or something was changed since.
        """
        self._return_to(self._history.redo, "nothing to redo")

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._history.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is something that was undone."""
        return bool(self._history.future)

    def classify(self, images: Tensor) -> tuple[Answers, list[str]]:
        """What images are, and the names of the classes in the order of the answers' columns.

        Args:
            images: what the network reads, ``(N, C, H, W)`` uint8.

        Raises:
            TeachingError: there is no classifier yet.
        """
        with self._lock:
            if self._classifier is None:
                raise TeachingError(NO_CLASSIFIER)
            names = {group.number: group.name for group in self.groups.values()}
            with self._model_in_use:
                answers = self._classifier.answer(images, reject=self._rejecting)
            return answers, [names[number] for number in self._classifier.classes_.tolist()]

    @property
    def contents(self) -> str:
        """What would be lost if everything were replaced; empty where that is nothing."""
        images = sum(len(group.images) for group in self.groups.values())
        parts = [(len(self.groups), "class", ""), (images, "image", ""), (len(self.queries), "image", " to classify")]
        return ", ".join(f"{counted(count, what)}{which}" for count, what, which in parts if count)

    @property
    def status(self) -> str:
        """The status and what to do next; empty at the start."""
        if not self.groups:
            return ""
        ready = filled(self.groups.values())
        if self._classifier is None:
            wanted = "Add images to one more class (anything else will do)" if ready else "Add images to two classes"
            return f"{wanted}, and the classifier will adapt to them."
        count = sum(len(group.images) for group in ready)
        return f"Adapted to {counted(len(ready), 'class')} and {counted(count, 'image')} in {self.seconds:.1f} s."

    @property
    def can_reject(self) -> bool:
        """Whether there is a classifier that can reject images."""
        return self._classifier is not None and self._classifier.can_reject

    @property
    def verdict(self) -> Verdict | None:
        """The prediction for the selected query; None while there is none."""
        return next((one for one in self.verdicts if one.image is self.selected), None)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One change: all of it or nothing; afterwards the classifier is adapted and the change can be undone."""
        with self._lock:
            if self._is_changing:  # part of a larger change
                yield
                return
            before = self._snapshot()
            self._is_changing = True
            try:
                yield
            except BaseException:
                self._restore(before)
                raise
            else:
                now = self._snapshot()
                if now != before:
                    self._history.changed(before, now)
                    self._adapt(before)
            finally:
                self._is_changing = False
                self._tidy()

    def _taking_in(
        self, items: Sequence[T], read: Callable[[Reader, T], PageImage | str], take: Callable[[list[PageImage]], None]
    ) -> Iterator[Intake]:
        """Read images one at a time, while the visitor does other things, and then take them in by one change.

        Args:
            items: what there is to read.
            read: reads one, or says what is wrong with it.
            take: is given the images.

        Yields:
            How far it came, before and after each; the last one has been taken in.

        Raises:
            TeachingError: they were read for a classifier that was replaced meanwhile.
        """
        reader, stops = self._reader(), self._stops
        images: list[PageImage] = []
        troubles: list[str] = []
        self._readers.append(reader)
        try:
            for done, item in enumerate(items):
                yield Intake(done, len(items))
                if self._stops != stops:
                    troubles.append(f"{counted(len(items) - done, 'file')}, because the upload was stopped")
                    break
                found = read(reader, item)
                if isinstance(found, PageImage):
                    images.append(found)
                else:
                    troubles.append(found)
            with self._change():
                if self.reader.preprocessing != reader.preprocessing:
                    raise TeachingError("the classifier was replaced while images were read: drop them again")
                take(images)
        finally:
            self._readers.remove(reader)
        yield Intake(len(items), len(items), tuple(troubles))

    def _return_to(self, step: Callable[[Snapshot], Snapshot | None], otherwise: str) -> None:
        with self._lock:
            before = self._snapshot()
            state = step(before)
            if state is None:
                raise TeachingError(otherwise)
            self._restore(state)
            self._adapt(before)

    def _read_for(self, classifier: FewShotClassifier) -> None:
        self._base = classifier
        self.reader = self._reader()

    def _reader(self) -> Reader:
        return Reader(self._base.preprocessing, self.folder, self.limits)

    def _snapshot(self) -> Snapshot:
        groups = tuple((group.number, group.name, tuple(group.images)) for group in self.groups.values())
        return Snapshot(self._base, groups, tuple(self.queries), self.reject)

    def _restore(self, state: Snapshot) -> None:
        fields = {number: group.in_field for number, group in self.groups.items()}
        self.groups = {
            number: Group(number, name, list(images), fields.get(number, "")) for number, name, images in state.groups
        }
        self.queries, self.reject = list(state.queries), state.reject
        self._read_for(state.base)

    def _tidy(self) -> None:
        """Delete the thumbnails that nothing can show any more."""
        there = list(self.folder.glob("*.png"))  # before those that are about to be written are looked at
        _, recorded = self._recorded or (0, [])
        kept = self._history.images | self._snapshot().images | {*recorded}
        shown = {image.thumbnail.name for image in kept}.union(*(reader.made for reader in self._readers))
        for path in there:
            if path.name not in shown:
                path.unlink(missing_ok=True)

    def _adapt(self, before: Snapshot) -> None:
        """Bring classifier and predictions up to date after a change, and say so."""
        began = time.perf_counter()
        ready = filled(self.groups.values())
        wanted = self._base, [(group.number, group.images.copy()) for group in ready]
        if wanted != self._adapted_to:
            self._classifier = None
            if len(ready) >= 2:
                images = pixels([image for group in ready for image in group.images])
                labels = [group.number for group in ready for _ in group.images]
                with self._model_in_use:
                    self._classifier = self._base.__sklearn_clone__().fit(images, labels)
            self._adapted_to = wanted
            self.seconds = time.perf_counter() - began
        if self.selected not in self.queries:
            self.selected = next(iter(self.queries), None)
        self.verdicts = self._predictions(self.queries)  # as a whole: the page may look at any time
        self.answers += 1  # last: who hears of the numbers may look at once
        self.changes += self._snapshot().groups != before.groups

    def _predictions(self, images: Sequence[PageImage], nearest: int = NEAREST) -> list[Verdict]:
        if self._classifier is None or not images:
            return []
        with self._model_in_use:
            return predict(self._classifier, filled(self.groups.values()), images, self._rejecting, nearest)

    @property
    def _rejecting(self) -> float | None:
        return self.reject if self.reject > 0 and self.can_reject else None

    def _adapted(self) -> FewShotClassifier:
        """The classifier with the class names as labels."""
        with self._lock:
            if self._classifier is None:
                raise TeachingError(NO_CLASSIFIER)
            return self._classifier.rename_classes({group.number: group.name for group in filled(self.groups.values())})
