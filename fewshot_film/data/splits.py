"""Which classes are for training, validation and test: published lists, files, and seeded draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import FileSource, ImageSource
from fewshot_film.data.stores import Store
from fewshot_film.errors import InvalidValueError, MissingFileError

Split = dict[str, list[str]]
"""Class names by the name of the part: ``{"train": [...], "val": [...], "test": [...]}``."""

FRACTIONS = (0.64, 0.16, 0.2)
"""Shares of train, val and test in a seeded split: those of CIFAR-FS and mini-ImageNet."""


def published(name: str) -> Any:
    """Read a list that ships with the package (``fewshot_film/data/splits/<name>.json``)."""
    return json.loads((files(__package__) / "splits" / f"{name}.json").read_text("utf-8"))


def read_split(path: Path) -> Split:
    """Read a split from a JSON file, ``{"train": [class, ...], "val": [...], "test": [...]}``.

    Raises:
        FileNotFoundError: there is no such file.
        SourceError: it is not of that form, or a class is in two parts.
    """
    if not path.is_file():
        raise MissingFileError(f"no split file at '{path}': expected JSON with a list of class names per part")
    try:
        split: Split = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SourceError(f"split file '{path}' is not JSON: {error}") from error
    lists = isinstance(split, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in split.values()
    )
    if not lists:
        raise SourceError(f"split file '{path}': expected {{'train': [class, ...], 'val': ..., 'test': ...}}")
    check_disjoint(split, str(path))
    return split


def deal_classes(
    class_names: Sequence[str],
    split_file: str | Path | None,
    split_seed: int | None,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> Split | None:
    """The split that a file holds, or else that a draw with a seed makes; None where neither is given.

    Raises:
        FileNotFoundError: see `read_split`.
        SourceError: see `read_split`.
    """
    if split_file is not None:
        return read_split(Path(split_file))
    return None if split_seed is None else seeded_split(class_names, seed=split_seed, fractions=fractions)


def check_disjoint(split: Split, name: str) -> None:
    """Refuse a split that has one class in two parts.

    Raises:
        SourceError: names the class and both parts.
    """
    part_of: dict[str, str] = {}
    for part, class_names in split.items():
        for class_name in class_names:
            other = part_of.setdefault(class_name, part)
            if other != part:
                raise SourceError(f"{name}: class '{class_name}' is both in '{other}' and in '{part}'")


def seeded_split(
    class_names: Sequence[str], *, seed: int = 0, fractions: tuple[float, float, float] = FRACTIONS
) -> Split:
    """Deal classes to train, val and test; the same on every machine and in any order of the names.

    Raises:
        ValueError: the fractions are negative or do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InvalidValueError(f"fractions must be three shares that sum to 1, got {fractions}")
    shuffled = sorted(class_names, key=lambda name: _digest(f"{seed}/{name}"))
    first = round(fractions[0] * len(shuffled))
    second = round((fractions[0] + fractions[1]) * len(shuffled))
    parts = (shuffled[:first], shuffled[first:second], shuffled[second:])
    return {part: sorted(names) for part, names in zip(("train", "val", "test"), parts, strict=True)}


def take_part(source: ImageSource, split: Split, part: str) -> ImageSource:
    """Select the classes of one part of a split.

    Raises:
        SourceError: the split has no such part, or names a class that the source has not.
    """
    if part not in split:
        raise SourceError(f"{source.name}: no split '{part}'; there are {', '.join(sorted(split))}")
    return source.select(split[part])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def from_class_folders(
    name: str, store: Store, split: Split, part: str | None, *, is_image: Callable[[str], bool] = lambda _: True
) -> FileSource | None:
    """Take the images in the folders of the classes of one part of a split.

    Folders of other classes are passed over, so ImageNet's own training folder serves for benchmarks made from it.

    Args:
        name: name of the source.
        store: where the folders lie, at any depth.
        split: class names, which are folder names, by part.
        part: which part; None for all.
        is_image: says of a file's name whether it is one of the images.

    Returns:
        None where there is none of the folders.

    Raises:
        SourceError: some of the folders are missing.
    """
    wanted = {class_name for class_names in ([split[part]] if part else split.values()) for class_name in class_names}
    parents = ((PurePosixPath(file).parent.name, file) for file in store.names() if is_image(file))
    members = [(parent, file) for parent, file in parents if parent in wanted]
    missing = sorted(wanted - {parent for parent, _ in members})
    if not members:
        return None
    if missing:
        raise SourceError(
            f"{name}: {len(missing)} of the {len(wanted)} class folders of {part or 'all parts'} are not below "
            f"'{store.root}', first '{missing[0]}'; copy them there too"
        )
    return FileSource(name, store, members)


def check_part(name: str, split: Split, part: str | None) -> None:
    """Refuse a part that the split does not have.

    Raises:
        SourceError: names the parts that there are.
    """
    if part is not None and part not in split:
        raise SourceError(f"{name}: no split '{part}'; there are {', '.join(split)}")
