"""One visitor's classes, the classifier adapted to them, and the images to classify."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fewshot_film.app.archive import holds_classifier, pack_classifier, unpack_classifier
from fewshot_film.app.examples import example
from fewshot_film.app.groups import Group, filled, pixels, predict
from fewshot_film.app.history import History, Snapshot
from fewshot_film.app.images import PageImage, Reader
from fewshot_film.app.verdicts import Verdict
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import UserError, counted
from fewshot_film.page import Limits

MAX_CLASSES, MAX_IMAGES, MAX_QUERIES = 40, 1000, 40
MAX_NAME = 60
MAX_REJECT = 0.3
"""Highest share of true members that may be rejected."""


class TeachingError(UserError, ValueError):
    """What a visitor asked for cannot be done with these classes."""


class Teaching:
    """Classes and queries of one visitor.

    Every change adapts the classifier again and updates the predictions, and can be undone. A change that fails leaves
    everything as it was.

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
        self._is_changing = False
        self._lock = threading.RLock()
        self._read_for(start)

    # classes

    def add_class(self, name: str = "") -> Group:
        """A new, empty class; without a name it gets the next free one.

        Raises:
            TeachingError: the name is taken or too long, or there are too many classes.
        """
        with self._change():
            if len(self.groups) >= MAX_CLASSES:
                raise TeachingError(
                    f"the page holds at most {MAX_CLASSES} classes; use FewShotClassifier in Python or `fewshot-film "
                    "classify` for more"
                )
            number = next(self._numbers)
            group = Group(number, self._free_name() if not name.strip() else self._checked(name, None))
            self.groups[number] = group
            return group

    def rename(self, number: int, name: str) -> None:
        """Rename a class.

        Raises:
            TeachingError: the name is empty, taken or too long.
        """
        with self._change():
            group = self._group(number)
            group.in_field = name
            if name.strip() != group.name:
                group.name = self._checked(name, number)

    def remove_class(self, number: int) -> None:
        """Remove a class with its images."""
        with self._change():
            del self.groups[self._group(number).number]

    def remove_image(self, number: int, key: str) -> None:
        """Remove one support image.

        Raises:
            TeachingError: the class has no such image.
        """
        with self._change():
            images = self._group(number).images
            images.remove(_found(images, key))

    def clear(self) -> None:
        """Remove everything, and return to the initial model."""
        with self._change():
            self.groups, self.queries = {}, []
            self._read_for(self.start)

    # images

    def add(self, number: int, files: Iterable[str | Path]) -> list[str]:
        """Add support images to a class; returns why some could not be used.

        Raises:
            UploadError: too many files.
            TeachingError: more images than the page holds, or no such class.
        """
        with self._change():
            group = self._group(number)
            images, troubles = _sorted(self.reader.uploads(files))
            self._make_room(len(images))
            group.images += images
            return troubles

    def add_folder(self, root: Path) -> list[str]:
        """Every class of a folder or zip, see `fewshot_film.data.folder`; returns which files were not used, and why.

        Images of classes that exist already are added to them.

        Raises:
            SourceError: it holds no such folders.
            TeachingError: more classes or images than the page holds.
        """
        with self._change():
            source = open_source("folder", root)
            self._check_fits(source)
            troubles = [*source.notes, *(f"{file}: {reason}" for file, reason in source.set_aside)]
            return troubles + self._take(source, range(len(source)), dict(enumerate(source.class_names)))

    def add_example(self, name: str) -> None:
        """Replace everything by example images: some classes, a query of each, and one that belongs to none.

        Args:
            name: one of `fewshot_film.app.examples.EXAMPLES`.
        """
        with self._change():
            self.clear()
            wanted = example(name)
            for source, indices in wanted.queries:
                found = self.reader.source(source, indices)
                self.queries += [image for _, image in found if isinstance(image, PageImage)]
            self._take(*wanted.support, wanted.names)

    # queries

    def ask(self, files: Iterable[str | Path]) -> list[str]:
        """Add query images, before the existing ones, and select the first; returns why some cannot be read.

        Raises:
            UploadError: too many files.
        """
        with self._change():
            images, troubles = _sorted(self.reader.uploads(files))
            self.queries = (images + self.queries)[:MAX_QUERIES]
            self.selected = next(iter(images), self.selected)
            return troubles

    def select(self, key: str) -> Verdict | None:
        """Show the prediction for a query in detail; returns it, or None while there is no classifier.

        Raises:
            TeachingError: there is no such query.
        """
        with self._lock:
            self.selected = _found(self.queries, key)
            return self.verdict

    def remove_query(self, key: str) -> None:
        """Remove one query.

        Raises:
            TeachingError: there is no such query.
        """
        with self._change():
            self.queries.remove(_found(self.queries, key))

    def move_query(self, number: int) -> None:
        """Make the selected query a support image of a class.

        Raises:
            TeachingError: no query is selected, the class is gone, or the page holds no more images.
        """
        with self._change():
            if self.selected is None:
                raise TeachingError("no image is selected: click the one that is to be added to the class")
            group = self._group(number)
            self._make_room(1)
            self.queries.remove(self.selected)
            group.images.append(self.selected)

    def forget_queries(self) -> None:
        """Remove all queries."""
        with self._change():
            self.queries = []

    def set_reject(self, share: float | None) -> None:
        """Reject unknown images, and with them about this share of true members; 0 rejects nothing.

        Raises:
            TeachingError: it is no share that makes sense.
        """
        with self._change():
            if share is None or not 0 <= share <= MAX_REJECT:
                raise TeachingError(f"none of these: expected a share of 0 to {MAX_REJECT}, got {share}")
            self.reject = share

    # undoing

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
    def contents(self) -> str:
        """What would be lost if everything were replaced; empty where that is nothing."""
        images = sum(len(group.images) for group in self.groups.values())
        parts = [(len(self.groups), "class"), (images, "image"), (len(self.queries), "query image")]
        return ", ".join(counted(count, what) for count, what in parts if count)

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._history.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is something that was undone."""
        return bool(self._history.future)

    # keeping

    def save(self) -> Path:
        """The adapted classifier as a zip of its saved folder.

        Raises:
            TeachingError: there is no classifier yet.
        """
        return pack_classifier(self._adapted(), self.folder)

    def export_onnx(self) -> Path:
        """The adapted classifier as one ONNX file.

        Raises:
            TeachingError: there is no classifier yet.
            ImportError: the extra ``onnx`` is not installed.
        """
        return self._adapted().export_onnx(self.folder / "classifier.onnx")

    def export_page(self) -> Path:
        """The adapted classifier as a web page in one file, which runs without Python.

        Raises:
            TeachingError: there is no classifier yet.
            ImportError: the extra ``onnx`` is not installed.
            WebRuntimeError: ONNX Runtime Web is not to be had; says how to get it.
        """
        return self._adapted().export_page(self.folder / "classifier.html")

    def load(self, archive: Path) -> list[str]:
        """A zip: either of a saved classifier, which replaces everything, or of folders of images.

        Returns:
            Why some images could not be used.

        Raises:
            UploadError: it is too large, or no zip.
            SavedModelError: the classifier is damaged.
        """
        self.limits.check_archive(archive)
        saved = unpack_classifier(archive, self.folder)
        if saved is None:
            return self.add_folder(archive)
        with self._change():
            classifier = FewShotClassifier.from_pretrained(saved, device=self.start.device)
            images, labels = classifier.support()
            if len(classifier.classes_) > MAX_CLASSES or len(images) > MAX_IMAGES:
                raise TeachingError(
                    f"the classifier has {counted(len(classifier.classes_), 'class')} and "
                    f"{counted(len(images), 'image')}; the page holds "
                    f"at most {MAX_CLASSES} classes and {MAX_IMAGES:,} images"
                )
            self.clear()
            self._read_for(classifier)
            for name in classifier.classes_.tolist():
                members = [index for index, label in enumerate(labels) if label == name]
                group = self.add_class(str(name))
                group.images = [self.reader.from_pixels(images[index], f"{name} {index}") for index in members]
            return []

    def replaces(self, archive: Path) -> bool:
        """Whether :meth:`load` would replace something by what a zip holds."""
        return bool(self.contents) and holds_classifier(archive)

    # status

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

    # internals

    def _read_for(self, classifier: FewShotClassifier) -> None:
        self._base = classifier
        self.reader = Reader(classifier.preprocessing, self.folder, self.limits)

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

    def _return_to(self, step: Callable[[Snapshot], Snapshot | None], otherwise: str) -> None:
        with self._lock:
            before = self._snapshot()
            state = step(before)
            if state is None:
                raise TeachingError(otherwise)
            self._restore(state)
            self._adapt(before)

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
        shown = {image.thumbnail.name for image in self._history.images | self._snapshot().images}
        for path in self.folder.glob("*.png"):
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
        self.verdicts = self._judged()  # as a whole: the page may look at any time
        self.answers += 1  # last: who hears of the numbers may look at once
        self.changes += self._snapshot().groups != before.groups

    def _judged(self) -> list[Verdict]:
        if self._classifier is None or not self.queries:
            return []
        reject = self.reject if self.reject > 0 and self.can_reject else None
        with self._model_in_use:
            return predict(self._classifier, filled(self.groups.values()), self.queries, reject)

    def _adapted(self) -> FewShotClassifier:
        """A separate classifier with the class names as labels."""
        with self._lock:
            if self._classifier is None:
                raise TeachingError("there is no classifier yet: add images to two classes first")
            ready = filled(self.groups.values())
            images = pixels([image for group in ready for image in group.images])
            names = [group.name for group in ready for _ in group.images]
            with self._model_in_use:
                return self._base.__sklearn_clone__().fit(images, names)

    def _take(self, source: ImageSource, indices: Sequence[int], names: dict[int, str]) -> list[str]:
        self._make_room(len(indices))
        known = {group.name: group for group in self.groups.values()}
        troubles = []
        for index, image in self.reader.source(source, indices):
            name = names[int(source.labels[index])][:MAX_NAME]
            if isinstance(image, str):
                troubles.append(image)
                continue
            if name not in known:
                known[name] = self.add_class(name)
            known[name].images.append(image)
        return troubles

    def _check_fits(self, source: ImageSource) -> None:
        names = {group.name for group in self.groups.values()} | {name[:MAX_NAME] for name in source.class_names}
        if len(names) > MAX_CLASSES:
            raise TeachingError(
                f"{source.name} has {counted(len(source.class_names), 'class')}; the page holds at most "
                f"{MAX_CLASSES}: use `fewshot-film classify` for more"
            )

    def _make_room(self, count: int) -> None:
        held = sum(len(group.images) for group in self.groups.values())
        if held + count > MAX_IMAGES:
            raise TeachingError(
                f"{held:,} images and {count:,} more; the page holds at most {MAX_IMAGES:,}: use "
                "`fewshot-film classify` for more"
            )

    def _group(self, number: int) -> Group:
        if number not in self.groups:
            raise TeachingError("this class no longer exists")
        return self.groups[number]

    def _checked(self, name: str, number: int | None) -> str:
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME:
            raise TeachingError(f"a class name has 1 to {MAX_NAME} characters, got {len(name)}")
        if any(group.name == name for group in self.groups.values() if group.number != number):
            raise TeachingError(f"there is already a class {name!r}; choose another name")
        return name

    def _free_name(self) -> str:
        names = {group.name for group in self.groups.values()}
        return next(name for name in (f"class {number}" for number in itertools.count(1)) if name not in names)


def _found(images: Iterable[PageImage], key: str) -> PageImage:
    found = next((image for image in images if image.key == key), None)
    if found is None:
        raise TeachingError("this image is no longer there")
    return found


def _sorted(found: Iterable[PageImage | str]) -> tuple[list[PageImage], list[str]]:
    """The images, and what was wrong with the others."""
    images: list[PageImage] = []
    troubles: list[str] = []
    for one in found:
        if isinstance(one, PageImage):
            images.append(one)
        else:
            troubles.append(one)
    return images, troubles
