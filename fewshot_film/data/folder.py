"""One's own pictures: a folder, or a zip of it, with one sub-folder per class.

``root/<class>/<picture>``, any names in any script. A folder that wraps everything, as packing one makes, is
looked through. ``root/train/<class>/...`` beside ``root/test/<class>/...`` is understood too: without a split
the parts are joined, with one the part is taken, as long as no class is in two of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from PIL import Image

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.source import FileSource, ImageSource
from fewshot_film.data.splits import FRACTIONS, check_disjoint, read_split, seeded_split, take_part
from fewshot_film.data.stores import open_store

PART_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})

Pairs = list[tuple[str, str]]
File = tuple[tuple[str, ...], str]
"""The names on the way to a file, wrapping folder left out, and its full name in the store."""


def folder(
    root: str | Path,
    split: str | None = None,
    *,
    name: str | None = None,
    split_file: str | Path | None = None,
    split_seed: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    depth: int = 1,
    ordered: bool = False,
) -> ImageSource:
    """Open a folder or zip of pictures.

    Args:
        root: the folder or the zip.
        split: which part of the classes to take; None for all. Parts are the folders ``train``, ``val``,
            ``test`` at the top, unless ``split_file`` or ``split_seed`` says otherwise.
        name: name of the source; by default that of the folder.
        split_file: JSON with the class names of every part.
        split_seed: deal the classes to ``train``, ``val`` and ``test`` by a draw with this seed.
        fractions: shares of the three parts for ``split_seed``.
        depth: how many folders make a class's name: with 2, ``root/a/b/x.png`` is of class ``a/b``.
        ordered: say that neighbouring pictures (by name) show the same object.

    Raises:
        FileNotFoundError: there is no folder and no zip, or no picture in a class folder.
        SourceError: pictures lie deeper than ``depth``, two class names differ only in their Unicode form,
            or the split cannot be taken without sharing classes.
    """
    root = Path(root)
    name = name or root.stem
    if not root.exists():
        raise _not_found(name, root)
    store = open_store(root)
    files = _unwrap([(PurePosixPath(file).parts, file) for file in store.names()], depth)
    parts = _parts(files, depth)
    classes = [(path[1:], file) for path, file in files if len(path) > 1] if parts else files
    members, loose = _members(name, classes, depth)
    if not members:
        raise _not_found(name, root)
    source = FileSource(name, store, members, ordered=ordered, set_aside=loose)
    if split is None:
        return source
    if split_file is not None:
        return take_part(source, read_split(Path(split_file)), split)
    if split_seed is not None:
        dealt = seeded_split(source.class_names, seed=split_seed, fractions=fractions)
        return take_part(source, dealt, split)
    return take_part(source, _split_of_parts(name, files, parts, depth), split)


def _not_found(name: str, root: Path) -> FileNotFoundError:
    return data_not_found(
        name,
        root,
        "a folder or zip with <class>/<picture>",
        "make one folder per class and put its pictures in it",
    )


def _unwrap(files: list[File], depth: int) -> list[File]:
    """Leave out folders that hold everything else and are no class."""
    while True:
        nested = [path for path, _ in files if len(path) > 1]
        tops = {path[0] for path in nested}
        if len(tops) != 1 or tops <= PART_NAMES or min(map(len, nested)) <= depth + 1:
            return files
        files = [(path[1:] if len(path) > 1 else path, file) for path, file in files]


def _parts(files: list[File], depth: int) -> set[str]:
    """The parts at the top (train, test, ...), or nothing where the top folders are classes."""
    nested = [path for path, _ in files if len(path) > 1]
    tops = {path[0] for path in nested}
    return tops if nested and tops <= PART_NAMES and min(map(len, nested)) > depth + 1 else set()


def _members(name: str, files: Iterable[File], depth: int) -> tuple[Pairs, Pairs]:
    """Pairs of class and file, and the pictures that lie in no class folder with the reason."""
    members, loose = [], []
    spelling: dict[str, str] = {}
    for path, file in files:
        if len(path) > depth + 1:
            raise SourceError(
                f"{name}: '{file}' lies deeper than {depth} folder(s) per class; pass depth={len(path) - 1} "
                f"if {len(path) - 1} folders make a class's name, or move the pictures up"
            )
        if len(path) <= depth:
            if PurePosixPath(file).suffix.lower() in Image.registered_extensions():
                loose.append((file, "lies in no class folder"))
            continue
        written = "/".join(path[:-1])
        class_name = unicodedata.normalize("NFC", written)
        if spelling.setdefault(class_name, written) != written:
            raise SourceError(f"{name}: two folders are both named '{class_name}' in different Unicode forms")
        members.append((class_name, file))
    return members, loose


def _split_of_parts(name: str, files: list[File], parts: set[str], depth: int) -> dict[str, list[str]]:
    if not parts:
        raise SourceError(
            f"{name}: a split was asked for, but there are no folders train, val, test at the top; pass "
            "split_file=<JSON with class names> or split_seed=<number> to say which classes are which"
        )
    classes: dict[str, set[str]] = {part: set() for part in parts}
    for path, _ in files:
        if len(path) > depth + 1:
            classes[path[0]].add(unicodedata.normalize("NFC", "/".join(path[1:-1])))
    split = {part: sorted(names) for part, names in classes.items()}
    try:
        check_disjoint(split, name)
    except SourceError as error:
        raise SourceError(
            f"{error}; episodes of both would share classes. Pass split_file=<JSON with class names> or "
            "split_seed=<number>: pictures of all parts are then joined and classes dealt out"
        ) from error
    return split
