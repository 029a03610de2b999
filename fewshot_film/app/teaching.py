"""One visitor's classes, the classifier adapted to them, and the images to classify."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from fewshot_film.app.archive import pack_classifier, unpack_classifier
from fewshot_film.app.images import PageImage, Reader
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source
from fewshot_film.data.photos import photos_folder
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import UserError, counted
from fewshot_film.page import Limits

MAX_CLASSES, MAX_IMAGES, MAX_QUERIES = 40, 1000, 40
MAX_NAME = 60
NEAREST = 6
"""Number of similar support images shown with a prediction."""
PHOTOS = "photos"
"""The example that is made of photographs."""
GENERATED = {"creatures": "creature", "glyphs": "letter", "textures": "pattern"}
"""Generated data sets that serve as examples, and how their classes are named."""
EXAMPLES = (PHOTOS, *GENERATED)
_CLASSES, _SHOTS = 5, 4
_STRANGER = {"creatures": "textures", "glyphs": "creatures", "textures": "glyphs"}
"""The data set of the one query that belongs to no class."""


class TeachingError(UserError, ValueError):
    """What a visitor asked for cannot be done with these classes."""


@dataclass
class Group:
    """One class of a visitor."""

    number: int
    """Identifies the class, whatever its name."""
    name: str
    """Its name, as predictions show it."""
    images: list[PageImage] = field(default_factory=list)
    """Its support images."""
    in_field: str = ""
    """The last known content of the text field on its card."""


@dataclass(frozen=True)
class Verdict:
    """The prediction for one query image."""

    image: PageImage
    """The query."""
    name: str
    """The most probable class."""
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


class Teaching:
    """Classes and queries of one visitor.

    Every change adapts the classifier again and updates the predictions.

    Args:
        start: a classifier with a model and no classes.
        folder: for the visitor's files.
        limits: on uploads.

    Attributes:
        groups: the classes by number.
        queries: images to classify.
        verdicts: one per query; empty while there is no classifier.
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
        self.reject = 0.05
        self.seconds = 0.0
        self.changes = self.answers = 0
        self._numbers = itertools.count(1)
        self._classifier: FewShotClassifier | None = None
        self._lock = threading.RLock()
        self._read_for(start)

    # classes

    def add_class(self, name: str = "") -> Group:
        """A new, empty class; without a name it gets the next free one.

        Raises:
            TeachingError: the name is taken or too long, or there are too many classes.
        """
        with self._lock:
            if len(self.groups) >= MAX_CLASSES:
                raise TeachingError(
                    f"the page holds at most {MAX_CLASSES} classes; use FewShotClassifier in Python or `fewshot-film "
                    "classify` for more"
                )
            number = next(self._numbers)
            group = Group(number, self._free_name() if not name.strip() else self._checked(name, None))
            self.groups[number] = group
            self.changes += 1
            return group

    def rename(self, number: int, name: str) -> None:
        """Rename a class.

        Raises:
            TeachingError: the name is empty, taken or too long.
        """
        with self._lock:
            group = self._group(number)
            group.in_field = name
            if name.strip() == group.name:
                return
            group.name = self._checked(name, number)
            self.changes += 1
            self._answer()

    def remove_class(self, number: int) -> None:
        """Remove a class with its images."""
        with self._lock:
            self._forget(self._group(number).images)
            del self.groups[number]
            self._adapt()

    def remove_image(self, number: int, place: int) -> None:
        """Remove one support image.

        Raises:
            TeachingError: there is none at this place.
        """
        with self._lock:
            images = self._group(number).images
            if not 0 <= place < len(images):
                raise TeachingError("select an image first by clicking on it")
            self._forget([images.pop(place)])
            self._adapt()

    def clear(self) -> None:
        """Remove everything, and return to the initial model."""
        with self._lock:
            self._forget(image for group in self.groups.values() for image in group.images)
            self._forget(self.queries)
            self.groups, self.queries = {}, []
            self._read_for(self.start)
            self._adapt()

    # images

    def add(self, number: int, files: Iterable[str | Path]) -> list[str]:
        """Add support images to a class; returns why some could not be used.

        Raises:
            UploadError: too many files.
            TeachingError: more images than the page holds, or no such class.
        """
        with self._lock:
            group = self._group(number)
            images, troubles = _sorted(self.reader.uploads(files))
            self._make_room(len(images))
            group.images += images
            self._adapt()
            return troubles

    def add_folder(self, root: Path) -> list[str]:
        """Every class of a folder or zip, see `fewshot_film.data.folder`; returns which files were not used, and why.

        Images of classes that exist already are added to them.

        Raises:
            SourceError: it holds no such folders.
            TeachingError: more classes or images than the page holds.
        """
        with self._lock:
            source = open_source("folder", root)
            self._check_fits(source)
            troubles = [*source.notes, *(f"{file}: {reason}" for file, reason in source.set_aside)]
            return troubles + self._take(source, range(len(source)), dict(enumerate(source.class_names)))

    def add_example(self, name: str) -> None:
        """Replace everything by example images: some classes, a query of each, and one that belongs to none.

        Args:
            name: one of :data:`EXAMPLES`.
        """
        with self._lock:
            self.clear()
            if name == PHOTOS:
                self._take_photos()
                return
            source = open_source(name, split="test")
            apart = len(source.class_names) // _CLASSES
            members = [np.flatnonzero(source.labels == place * apart)[: _SHOTS + 1] for place in range(_CLASSES)]
            names = {place * apart: f"{GENERATED[name]} {'ABCDE'[place]}" for place in range(_CLASSES)}
            queries = [*self.reader.source(source, [int(some[_SHOTS]) for some in members])]
            queries += self.reader.source(open_source(_STRANGER[name], split="test"), [0])
            self.queries = [image for _, image in queries if isinstance(image, PageImage)]
            self._take(source, [int(index) for some in members for index in some[:_SHOTS]], names)

    # queries

    def ask(self, files: Iterable[str | Path]) -> list[str]:
        """Add query images, before the existing ones; returns why some cannot be read.

        Raises:
            UploadError: too many files.
        """
        with self._lock:
            images, troubles = _sorted(self.reader.uploads(files))
            asked = images + self.queries
            self.queries = asked[:MAX_QUERIES]
            self._forget(asked[MAX_QUERIES:])
            self._answer()
            return troubles

    def forget_queries(self) -> None:
        """Remove all queries."""
        with self._lock:
            self._forget(self.queries)
            self.queries = []
            self._answer()

    def set_reject(self, share: float) -> None:
        """Reject unknown images, and with them about this share of true members; 0 rejects nothing."""
        with self._lock:
            self.reject = share
            self._answer()

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
        with self._lock:
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
            self._adapt()
            return []

    # status

    @property
    def status(self) -> str:
        """The status and what to do next; empty at the start."""
        if not self.groups:
            return ""
        filled = [group for group in self.groups.values() if group.images]
        if self._classifier is None:
            wanted = "Add images to one more class (anything else will do)" if filled else "Add images to two classes"
            return f"{wanted}, and the classifier will adapt to them."
        count = sum(len(group.images) for group in filled)
        return f"Adapted to {counted(len(filled), 'class')} and {counted(count, 'image')} in {self.seconds:.1f} s."

    @property
    def can_reject(self) -> bool:
        """Whether there is a classifier that can reject images."""
        return self._classifier is not None and self._classifier.can_reject

    # internals

    def _read_for(self, classifier: FewShotClassifier) -> None:
        self._base = classifier
        self.reader = Reader(classifier.preprocessing, self.folder, self.limits)

    def _adapt(self) -> None:
        began = time.perf_counter()
        filled = [group for group in self.groups.values() if group.images]
        self._classifier = None
        if len(filled) >= 2:
            images = torch.stack([image.pixels for group in filled for image in group.images])
            labels = [group.number for group in filled for _ in group.images]
            with self._model_in_use:
                self._classifier = self._base.__sklearn_clone__().fit(images, labels)
        self.seconds = time.perf_counter() - began
        self.changes += 1  # last: who hears of the number may look at once
        self._answer()

    def _answer(self) -> None:
        self.verdicts = self._judged()  # as a whole: the page may look at any time
        self.answers += 1

    def _judged(self) -> list[Verdict]:
        classifier, verdicts = self._classifier, list[Verdict]()
        if classifier is None or not self.queries:
            return verdicts
        support = [image for group in self.groups.values() for image in group.images]
        images = torch.stack([image.pixels for image in self.queries])
        reject = self.reject if self.reject > 0 and self.can_reject else None
        with self._model_in_use:
            answers = classifier.answer(images, reject=reject)
            distances, places = classifier.nearest_support(images, min(NEAREST, len(support)))
        names = {group.number: group.name for group in self.groups.values()}
        owner = [group.number for group in self.groups.values() for _ in group.images]
        columns = [names[number] for number in classifier.classes_.tolist()]
        for row, query in enumerate(self.queries):
            shares = dict(zip(columns, answers.probabilities[row].tolist(), strict=True))
            nearest = tuple(
                (support[place], names[owner[place]], float(distance))
                for place, distance in zip(places[row].tolist(), distances[row].tolist(), strict=True)
            )
            far = None if answers.relative_distances is None else float(answers.relative_distances[row])
            verdicts.append(Verdict(query, max(shares, key=shares.__getitem__), far, shares, nearest))
        return verdicts

    def _adapted(self) -> FewShotClassifier:
        """A separate classifier with the class names as labels."""
        with self._lock:
            if self._classifier is None:
                raise TeachingError("there is no classifier yet: add images to two classes first")
            filled = [group for group in self.groups.values() if group.images]
            images = torch.stack([image.pixels for group in filled for image in group.images])
            names = [group.name for group in filled for _ in group.images]
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
        self._adapt()
        return troubles

    def _take_photos(self) -> None:
        labelled, unknown = (open_source("folder", photos_folder() / part) for part in ("labelled", "unknown"))
        firsts = [int(np.flatnonzero(unknown.labels == label)[0]) for label in range(len(unknown.class_names))]
        firsts.sort(key=lambda index: unknown.class_names[unknown.labels[index]] not in labelled.class_names)
        self.queries = [image for _, image in self.reader.source(unknown, firsts) if isinstance(image, PageImage)]
        self._take(labelled, range(len(labelled)), dict(enumerate(labelled.class_names)))

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

    def _forget(self, images: Iterable[PageImage]) -> None:
        for image in images:
            image.thumbnail.unlink(missing_ok=True)


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
