"""What every source of images offers, and the source whose images are files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from fewshot_film.data.errors import SourceError
from fewshot_film.data.groups import ClassGroups
from fewshot_film.data.stores import Store
from fewshot_film.errors import counted
from fewshot_film.images import MAX_PIXELS, open_image


class ImageSource(ABC):
    """Labelled images, not yet decoded.

    Attributes:
        name: short name, used in tables and cache folders.
        class_names: names of the classes, any text; a label is a position in it.
        labels: ``(N,)`` int64, the class of every image.
        files: ``N`` ids, one for every image, unique in the source.
        ordered: neighbouring images show the same object (frames of one film, say), so that a task drawn
            from neighbours is easier than it looks.
        set_aside: ``(file, reason)`` of what lay there and was not taken as an image.
        notes: what the user should know of how the source was read.
        groups: how the classes hang together, for samplers that draw related classes; None where they do not.
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        labels: np.ndarray,
        files: Sequence[str],
        *,
        ordered: bool = False,
        set_aside: Sequence[tuple[str, str]] = (),
        groups: ClassGroups | None = None,
    ) -> None:
        if len(labels) != len(files):
            raise SourceError(f"{name}: {counted(len(labels), 'label')} for {counted(len(files), 'image')}")
        if len(set(class_names)) != len(class_names):
            raise SourceError(f"{name}: class names repeat: {_repeated(class_names)}")
        self.name = name
        self.class_names = tuple(class_names)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.files = files
        self.ordered = ordered
        self.set_aside = tuple(set_aside)
        self.groups = groups
        self.notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        content = f"{counted(len(self.class_names), 'class')}, {counted(len(self), 'image')}"
        return f"{type(self).__name__}('{self.name}', {content})"

    @abstractmethod
    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Decode image ``index``.

        Args:
            index: 0 to N - 1.
            min_side: see `fewshot_film.images.open_image`.
            max_pixels: see `fewshot_film.images.open_image`.

        Raises:
            ImageError: names the file and why it cannot be used.
        """

    @abstractmethod
    def stamp(self, index: int) -> str:
        """A short text that changes when the content of image ``index`` changes."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What, beside files and stamps, tells this source's content from another's."""

    def fingerprint(self) -> str:
        """Digest of everything that decides what the source's images are, without reading them."""
        digest = hashlib.sha256()
        for text in (self.identity, *self.class_names):
            _add(digest, text)
        digest.update(self.labels.astype("<i8").tobytes())
        for index, file in enumerate(self.files):
            _add(digest, file)
            _add(digest, self.stamp(index))
        return digest.hexdigest()

    def select(self, class_names: Iterable[str]) -> ImageSource:
        """The same images for some of the classes, labels renumbered in the order given.

        Raises:
            SourceError: a class is not there, or is named twice.
        """
        return SelectedSource(self, list(class_names))


class FileSource(ImageSource):
    """Images that are files of a folder or a zip."""

    def __init__(
        self,
        name: str,
        store: Store,
        members: Iterable[tuple[str, str]],
        *,
        ordered: bool = False,
        set_aside: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Take ``(class name, file in the store)`` pairs; classes are sorted by name, files within them."""
        pairs = sorted(members)
        class_names = sorted({class_name for class_name, _ in pairs})
        label_of = {class_name: label for label, class_name in enumerate(class_names)}
        labels = np.array([label_of[class_name] for class_name, _ in pairs], dtype=np.int64)
        files = [file for _, file in pairs]
        super().__init__(name, class_names, labels, files, ordered=ordered, set_aside=set_aside)
        self.store = store

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        file = self.files[index]
        return open_image(self.store.read(file), file, min_side=min_side, max_pixels=max_pixels)

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return self.store.stamp(self.files[index])

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return self.store.identity


class SelectedSource(ImageSource):
    """Some classes of another source."""

    def __init__(self, source: ImageSource, class_names: Sequence[str]) -> None:
        old_labels = positions(source.class_names, class_names, source.name)
        by_class = [np.flatnonzero(source.labels == label) for label in old_labels]
        self._indices = np.concatenate([np.zeros(0, np.int64), *by_class])
        labels = np.repeat(np.arange(len(by_class)), [len(indices) for indices in by_class])
        files = [source.files[index] for index in self._indices]
        super().__init__(
            source.name,
            class_names,
            labels,
            files,
            ordered=source.ordered,
            set_aside=source.set_aside,
            groups=source.groups.only(class_names) if source.groups else None,
        )
        self._source = source

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        return self._source.load(int(self._indices[index]), min_side=min_side, max_pixels=max_pixels)

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return self._source.stamp(int(self._indices[index]))

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return self._source.identity


def distinct_names(names: Iterable[str]) -> list[str]:
    """The same names, those that repeat with their place: ImageNet has two classes called crane."""
    listed = list(names)
    counts = Counter(listed)
    return [f"{name} ({place})" if counts[name] > 1 else name for place, name in enumerate(listed)]


def positions(known: Sequence[str], wanted: Sequence[str], name: str) -> list[int]:
    """Where the wanted class names stand among the known ones.

    Raises:
        SourceError: a wanted name is unknown or appears twice; names the first few.
    """
    place = {class_name: position for position, class_name in enumerate(known)}
    unknown = [class_name for class_name in wanted if class_name not in place]
    if unknown:
        raise SourceError(
            f"{name}: {len(unknown)} of {len(wanted)} requested classes do not exist: {_some(unknown)}; "
            f"it has {counted(len(known), 'class')}, such as {_some(known)}"
        )
    if len(set(wanted)) != len(wanted):
        raise SourceError(f"{name}: classes requested twice: {_repeated(wanted)}")
    return [place[class_name] for class_name in wanted]


def _add(digest: hashlib._Hash, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    digest.update(len(data).to_bytes(8, "little") + data)


def _some(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(f"'{name}'" for name in names[:count]) + (", ..." if len(names) > count else "")


def _repeated(names: Sequence[str]) -> str:
    return _some([name for name, count in Counter(names).items() if count > 1])
