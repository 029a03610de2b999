"""One visitor's classes, the classifier adapted to them, and the images to classify."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fewshot_film.app.archive import holds_classifier, pack_classifier, unpack_classifier
from fewshot_film.app.examples import example
from fewshot_film.app.groups import Group
from fewshot_film.app.images import PageImage, Reader
from fewshot_film.app.taught import Intake, Taught, TeachingError
from fewshot_film.app.verdicts import Verdict
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import counted

MAX_CLASSES, MAX_IMAGES, MAX_QUERIES = 40, 1000, 40
MAX_NAME = 60
MAX_REJECT = 0.3
"""Highest share of true members that may be rejected."""


class Teaching(Taught):
    """Classes and queries of one visitor, and what can be done with them.

    Every change adapts the classifier again and updates the predictions, and can be undone. A change that fails leaves
    everything as it was.
    """

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
        """Add support images to a class; returns why some could not be used, see :meth:`adding`."""
        return _troubles(self.adding(number, files))

    def adding(self, number: int, files: Iterable[str | Path]) -> Iterator[Intake]:
        """Add support images to a class, one file at a time.

        Args:
            number: of the class.
            files: images.

        Yields:
            How far it came, see :meth:`_taking_in`.

        Raises:
            UploadError: too many files.
            TeachingError: more images than the page holds, or no such class.
        """
        self._group(number)
        paths = self._counted(files)
        self._make_room(len(paths))

        def take(images: list[PageImage]) -> None:
            group = self._group(number)
            self._make_room(len(images))
            group.images += images

        yield from self._taking_in(paths, Reader.upload, take)

    def add_folder(self, root: Path) -> list[str]:
        """Every class of a folder or zip; returns which files were not used, and why, see :meth:`adding_folder`."""
        return _troubles(self.adding_folder(root))

    def adding_folder(self, root: Path) -> Iterator[Intake]:
        """Every class of a folder or zip, see `fewshot_film.data.folder`, one image at a time.

        Images of classes that exist already are added to them.

        Yields:
            How far it came.

        Raises:
            SourceError: it holds no such folders.
            TeachingError: more classes or images than the page holds.
        """
        source = open_source("folder", root)
        self._check_fits(source)
        self._make_room(len(source))
        labels: dict[PageImage, int] = {}

        def read(reader: Reader, index: int) -> PageImage | str:
            found = reader.of_source(source, index)
            if isinstance(found, PageImage):
                labels[found] = int(source.labels[index])
            return found

        def take(images: list[PageImage]) -> None:
            self._make_room(len(images))
            self._take((image, source.class_names[labels[image]]) for image in images)

        notes = (*source.notes, *(f"{file}: {reason}" for file, reason in source.set_aside))
        for intake in self._taking_in(range(len(source)), read, take):
            yield intake if intake.done < intake.total else replace(intake, troubles=notes + intake.troubles)

    def add_example(self, name: str) -> None:
        """Replace everything by example images: some classes, a query of each, and one that belongs to none.

        Args:
            name: one of `fewshot_film.app.examples.EXAMPLES`.
        """
        with self._change():
            self.clear()
            wanted = example(name)
            for source, indices in wanted.queries:
                found = (self.reader.of_source(source, index) for index in indices)
                self.queries += [image for image in found if isinstance(image, PageImage)]
            source, indices = wanted.support
            support = ((self.reader.of_source(source, index), wanted.names[source.labels[index]]) for index in indices)
            self._take((image, name) for image, name in support if isinstance(image, PageImage))

    # queries

    def ask(self, files: Iterable[str | Path]) -> list[str]:
        """Add query images; returns why some could not be read, see :meth:`asking`."""
        return _troubles(self.asking(files))

    def asking(self, files: Iterable[str | Path]) -> Iterator[Intake]:
        """Add query images, before the existing ones, and select the first.

        Args:
            files: images.

        Yields:
            How far it came, see :meth:`_taking_in`.

        Raises:
            UploadError: too many files.
        """

        def take(images: list[PageImage]) -> None:
            self.queries = (images + self.queries)[:MAX_QUERIES]
            self.selected = next(iter(images), self.selected)

        yield from self._taking_in(self._counted(files), Reader.upload, take)

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

    # webcam

    def record(self, number: int, frame: bytes) -> tuple[str, int]:
        """Take a frame for a class, until :meth:`finish_recording`; returns its name and how many there are.

        Raises:
            TeachingError: no such class, or more images than the page holds.
            ImageError: the frame is damaged.
        """
        with self._lock:
            if self._recorded and self._recorded[0] != number:
                self.finish_recording()
            name = self._group(number).name
            _, images = self._recorded or (number, [])
            self._make_room(len(images) + 1)
            images.append(self.reader.frame(frame, keep=True))
            self._recorded = number, images
            return name, len(images)

    def finish_recording(self) -> None:
        """Give a class what was recorded for it, and adapt the classifier."""
        with self._lock:
            number, images = self._recorded or (0, [])
            if number in self.groups:
                with self._change():
                    self.groups[number].images += images
            self._recorded = None

    def glance(self, frame: bytes) -> Verdict | None:
        """The prediction for a frame, which is not kept; None while there is no classifier.

        Raises:
            ImageError: the frame is damaged.
        """
        with self._lock:
            images = [self.reader.frame(frame, keep=False)]
            return next(iter(self._predictions(images, nearest=0)), None)

    def ask_frame(self, frame: bytes) -> None:
        """Make a frame the first query, and select it.

        Raises:
            ImageError: the frame is damaged.
        """
        with self._change():
            self.selected = self.reader.frame(frame, keep=True)
            self.queries = [self.selected, *self.queries][:MAX_QUERIES]

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
        """A zip of a classifier or of folders of images; returns why some could not be used, see :meth:`loading`."""
        return _troubles(self.loading(archive))

    def loading(self, archive: Path) -> Iterator[Intake]:
        """A zip: either of a saved classifier, which replaces everything, or of folders of images.

        Yields:
            How far it came.

        Raises:
            UploadError: it is too large, or no zip.
            SavedModelError: the classifier is damaged.
        """
        self.limits.check_archive(archive)
        saved = unpack_classifier(archive, self.folder)
        if saved is None:
            yield from self.adding_folder(archive)
        else:
            yield Intake(0, 1)
            self._load(saved)
            yield Intake(1, 1)

    def _load(self, saved: Path) -> None:
        """Replace everything by a saved classifier."""
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

    def replaces(self, archive: Path) -> bool:
        """Whether :meth:`load` would replace something by what a zip holds."""
        self.limits.check_archive(archive)
        return bool(self.contents) and holds_classifier(archive)

    # internals

    def _take(self, images: Iterable[tuple[PageImage, str]]) -> None:
        """Add images to the classes of these names, which are made where there is none."""
        known = {group.name: group for group in self.groups.values()}
        for image, full in images:
            name = full[:MAX_NAME]
            if name not in known:
                known[name] = self.add_class(name)
            self._make_room(1)
            known[name].images.append(image)

    def _counted(self, files: Iterable[str | Path]) -> list[Path]:
        paths = [Path(file) for file in files]
        self.limits.check_count(len(paths))
        return paths

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


def _troubles(steps: Iterable[Intake]) -> list[str]:
    """Why some images could not be used, after all were looked at."""
    *_, last = steps
    return list(last.troubles)
