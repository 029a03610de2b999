"""Any classification set of ``torchvision.datasets``, by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import ImageSource, distinct_names
from fewshot_film.data.splits import FRACTIONS, deal_classes, take_part
from fewshot_film.errors import MissingFileError
from fewshot_film.images import MAX_PIXELS, ImageError, check_pixels

ORDERED = frozenset({"GTSRB"})
"""Sets whose neighbouring images are frames of one object."""

_SPLITS = ("train", "trainval", "val", "valid", "test")
_LABELS = ("targets", "_labels", "labels", "y", "samples", "_samples")
_FILES = ("_image_files", "_images", "imgs", "samples", "_samples")
_NUM_PROBES = 16


class TorchvisionSource(ImageSource):
    """The parts of one torchvision data set, joined.

    Args:
        name: name of the source.
        parts: data sets of one kind, over the same classes.
        names_of_parts: what to call each part in the ids of its images.
        class_names: names of the classes; by default what the data set says, or the label's number.
        ordered: see `ImageSource`.

    Raises:
        SourceError: the labels are not one integer per image.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[Any],
        names_of_parts: Sequence[str],
        *,
        class_names: Sequence[str] | None = None,
        ordered: bool = False,
    ) -> None:
        labels = [_labels(name, part) for part in parts]
        present, dense = np.unique(np.concatenate(labels), return_inverse=True)
        known = _known_classes(name, parts) if class_names is None else list(class_names)
        names = [_class_name(known[n]) if 0 <= n < len(known) else str(n) for n in present.tolist()]
        named = zip(names_of_parts, parts, strict=True)
        files = [f"{which}/{file}" for which, part in named for file in _files(part)]
        super().__init__(name, distinct_names(names), dense, files, ordered=ordered)
        self._parts = list(parts)
        self._starts = np.cumsum([0, *map(len, labels)])
        self._identity: str | None = None

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        try:
            picture = self._parts[part][index - int(self._starts[part])][0]
        except Exception as error:  # whatever the set's own loader raises
            raise ImageError(self.files[index], f"cannot be read: {error}") from error
        if not isinstance(picture, Image.Image):
            kind = type(picture).__name__
            raise ImageError(self.files[index], f"the data set gives a {kind} in place of an image")
        check_pixels(picture, self.files[index], max_pixels)
        return picture

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return ""

    @property
    def identity(self) -> str:
        """The sets' types and roots with a few images: which files they read is theirs alone to know."""
        if self._identity is None:
            digest = hashlib.sha256()
            for index in np.linspace(0, len(self) - 1, min(_NUM_PROBES, len(self))).astype(int).tolist():
                try:
                    digest.update(np.asarray(self.load(index)).tobytes())
                except ImageError as error:
                    digest.update(str(error).encode())
            described = [f"{type(part).__name__} {getattr(part, 'root', '')}" for part in self._parts]
            self._identity = f"{described} {digest.hexdigest()}"
        return self._identity


def torchvision_set(
    dataset: str,
    root: str | Path,
    split: str | None = None,
    *,
    parts: Sequence[Mapping[str, Any]] | None = None,
    download: bool = False,
    split_file: str | Path | None = None,
    split_seed: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> ImageSource:
    """Open a torchvision set by the name of its class, such as ``Flowers102``.

    Its own training and test parts are joined, as few-shot learning splits classes and not images.

    Args:
        dataset: a name in ``torchvision.datasets``.
        root: the folder it lies in.
        split: ``train``, ``val`` or ``test`` classes of ``split_file`` or ``split_seed``; None for all.
        parts: keyword arguments of every part to join, for sets whose own are not ``train`` or ``split``.
        download: let torchvision fetch it.
        split_file: JSON with the class names of every part.
        split_seed: deal the classes to the three parts by a draw with this seed.
        fractions: shares of the three parts for ``split_seed``.

    Raises:
        FileNotFoundError: torchvision does not find the set at ``root``.
        SourceError: there is no set of that name, or it is no classification set, or the split is not said.
    """
    maker, name = _maker(dataset), dataset.lower()
    options = {"download": True} if download else {}
    opened = [(_describe(part), _open(maker, dataset, Path(root), {**part, **options})) for part in parts or ()]
    if parts is None:
        opened = _default_parts(maker, dataset, Path(root), options)
    source = TorchvisionSource(
        name, [part for _, part in opened], [which for which, _ in opened], ordered=dataset in ORDERED
    )
    if split is None:
        return source
    dealt = deal_classes(source.class_names, split_file, split_seed, fractions)
    if dealt is None:
        raise SourceError(
            f"{name}: which classes are for '{split}'? Pass split_file=<JSON with class names> or split_seed=<number>"
        )
    return take_part(source, dealt, split)


def _maker(dataset: str) -> Any:
    from torchvision import datasets

    maker = getattr(datasets, dataset, None)
    if dataset == "Omniglot":
        raise SourceError("torchvision's Omniglot numbers its two halves both from 0; use the source 'omniglot'")
    if not inspect.isclass(maker) or dataset not in datasets.__all__:
        raise SourceError(f"torchvision.datasets has no '{dataset}'; write its name as its documentation does")
    return maker


def _default_parts(maker: Any, dataset: str, root: Path, options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All parts that a set has of its own: by ``train`` or ``split``, or the one set."""
    parameters = inspect.signature(maker).parameters
    if "train" in parameters:
        named = (("train", True), ("test", False))
        return [(name, _open(maker, dataset, root, {"train": value, **options})) for name, value in named]
    if "split" not in parameters:
        return [("all", _open(maker, dataset, root, options))]
    opened: list[tuple[str, Any]] = []
    refused: Exception | None = None
    for split in _SPLITS:
        if split == "trainval" and opened:
            continue  # it holds the images of train and val again
        try:
            opened.append((split, _open(maker, dataset, root, {"split": split, **options})))
        except (ValueError, TypeError) as error:
            refused = error
    if not opened:
        raise SourceError(f"{dataset}: say what its parts are with parts=[{{...}}, ...] ({refused})")
    return opened


def _open(maker: Any, dataset: str, root: Path, options: Mapping[str, Any]) -> Any:
    takes_root = "root" in inspect.signature(maker).parameters
    try:
        return maker(root=str(root), **options) if takes_root else maker(**options)
    except (RuntimeError, FileNotFoundError) as error:
        raise torchvision_not_found(dataset, root, error) from error


def torchvision_not_found(dataset: str, root: str | Path, reason: object) -> MissingFileError:
    """The error for a set that is not at ``root``."""
    return MissingFileError(
        f"{dataset}: torchvision finds no such data set at '{root}' ({reason}). How to get it: pass download=True "
        "where torchvision can fetch it, or see its documentation"
    )


def _describe(options: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items()) or "all"


def _known_classes(name: str, parts: Sequence[Any]) -> list[Any]:
    """The set's own names of its classes, if it has any; the same in all parts."""
    lists = [list(getattr(part, "classes", None) or getattr(part, "categories", None) or ()) for part in parts]
    if any(other != lists[0] for other in lists):
        raise SourceError(f"{name}: its parts have different classes, so labels of one mean others elsewhere")
    return lists[0]


def _class_name(name: Any) -> str:
    """ImageNet names a class by several synonyms."""
    return name if isinstance(name, str) else ", ".join(map(str, name))


def _labels(name: str, part: Any) -> np.ndarray:
    """Labels without decoding an image where the set keeps them, checked against the images it gives."""
    for attribute in _LABELS:
        values = getattr(part, attribute, None)
        if values is None or len(values) != len(part) or not len(part):
            continue
        labels = _integers([value[1] if isinstance(value, tuple) else value for value in values])
        probes = np.linspace(0, len(part) - 1, 3).astype(int).tolist()
        if labels is not None and all(labels[index] == _label(part, index) for index in probes):
            return labels
    labels = _integers([_label(part, index) for index in range(len(part))])
    if labels is None:
        raise SourceError(f"{name}: its labels are not one integer per image, so it is not a classification data set")
    return labels


def _label(part: Any, index: int) -> Any:
    try:
        return part[index][1]
    except Exception:
        return None


def _integers(values: Sequence[Any]) -> np.ndarray | None:
    try:
        labels = np.array([value.__index__() for value in values], dtype=np.int64)
    except (AttributeError, TypeError, ValueError):
        return None
    return labels


def _files(part: Any) -> list[str]:
    """Names of a part's images as its own lists have them, or their numbers."""
    for attribute in _FILES:
        values = getattr(part, attribute, None)
        if isinstance(values, list) and len(values) == len(part):
            values = [value[0] if isinstance(value, tuple) else value for value in values]
            if all(isinstance(value, str | Path) for value in values) and len(set(values)) == len(values):
                root = str(getattr(part, "root", ""))
                return [str(value).removeprefix(root).lstrip("/\\") for value in values]
    return [str(index) for index in range(len(part))]
