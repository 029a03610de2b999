"""One's own images: a folder, or a zip of it, with one sub-folder per class, or with a CSV of labels.

``root/<class>/<image>``, any names in any script. Sub-folders of a class are part of it. A folder that wraps
everything, as packing one makes, is looked through. Without class folders a CSV ``file,label`` at the top says
which class an image is of.
``root/train/<class>/...`` beside ``root/test/<class>/...`` is understood too: without a split the parts are
joined, with one the part is taken, as long as no class is in two of them.
"""

from __future__ import annotations

import csv
import io
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.source import FileSource, ImageSource
from fewshot_film.data.splits import FRACTIONS, check_disjoint, deal_classes, take_part
from fewshot_film.data.stores import Store, open_store
from fewshot_film.errors import counted, listed
from fewshot_film.images import is_image_name
from fewshot_film.run.tables import unguarded

log = logging.getLogger(__name__)

PART_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})

File = tuple[tuple[str, ...], str]
"""The names on the way to a file, wrapping folder left out, and its full name in the store."""

FILE_COLUMNS = ("file", "filename", "file_name", "filepath", "path", "image", "image_path", "img")
"""Headings of the column with the images' names, in lower case."""

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "classname", "category", "target")
"""Headings of the column with the classes' names, in lower case."""

Pairs = list[tuple[str, str]]

_DELIMITERS = ",;\t"


def read_labels(data: bytes, csv_file: str, files: Sequence[str], root: Path = Path()) -> tuple[Pairs, Pairs]:
    """Match the lines of a CSV with the files of a folder.

    A first line of headings is optional where there are two columns, file and label. A file is named by its path
    from the CSV's own folder, by its name alone where only one file is called so, or by its absolute path.

    Args:
        data: content of the CSV, UTF-8; separated by commas, semicolons or tabs. An apostrophe before what a
            spreadsheet would take for a formula, as ``classify`` writes it, is no part of a name.
        csv_file: its full name in the store.
        files: full names of all images of the store.
        root: where the store is.

    Returns:
        Pairs of class and file; and ``(file, reason)`` of what could not be used: lines whose file is missing or whose
        label is empty, files that are listed twice or not at all.

    Raises:
        SourceError: it is not such a CSV, or none of its lines leads to a file.
    """
    known = _by_name(csv_file, files, root)
    labels: dict[str, str] = {}
    aside: Pairs = []
    conflicting: dict[str, str] = {}
    for place, written, label in _lines(_rows(data, csv_file), csv_file, known, aside):
        file = known.get(_plain(written)) or known.get(_plain(unguarded(written)))
        if file is None:
            aside.append((place, f"names '{written}', which is not there"))
        elif not label:
            aside.append((file, f"has an empty label in {csv_file}"))
        elif file not in labels:
            labels[file] = label
        elif labels[file] == label:
            aside.append((place, f"names '{written}' a second time"))
        else:
            conflicting[file] = f"has two labels in {csv_file}, '{labels[file]}' and '{label}'"
    if not labels:
        why = "; ".join(f"{place}: {reason}" for place, reason in aside[:3]) or "there is none below the headings"
        raise SourceError(f"{csv_file}: no line leads to an image; {why}")
    mentioned = {*labels, *(file for file, _ in aside)}
    aside += [*conflicting.items(), *((f, f"is not listed in {csv_file}") for f in files if f not in mentioned)]
    return [(label, file) for file, label in labels.items() if file not in conflicting], aside


def _lines(rows: list[list[str]], csv_file: str, known: dict[str, str], aside: Pairs) -> Iterator[tuple[str, str, str]]:
    """Place, file and label of every line as they are written; lines that are too short go to ``aside``."""
    file_column, label_column, has_header = _columns(rows, csv_file, known)
    for number, row in enumerate(rows[has_header:], 1 + has_header):
        place = f"{csv_file}, line {number}"
        if len(row) > max(file_column, label_column):
            yield place, row[file_column].strip(), unguarded(row[label_column].strip())
        else:
            aside.append((place, f"has {counted(len(row), 'column')}, too few for a file and a label"))


def _rows(data: bytes, csv_file: str) -> list[list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{csv_file}: is not UTF-8 ({error}); save it as 'CSV UTF-8'") from None
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error as error:
        raise SourceError(f"{csv_file}: is not a CSV that can be read ({error})") from None


def _columns(rows: list[list[str]], csv_file: str, known: dict[str, str]) -> tuple[int, int, bool]:
    """Where files and labels stand, and whether the first line says so."""
    first = [cell.strip() for cell in rows[0]] if rows else []
    heads = [cell.lower() for cell in first]
    file_column = next((heads.index(name) for name in FILE_COLUMNS if name in heads), None)
    label_column = next((heads.index(name) for name in LABEL_COLUMNS if name in heads), None)
    if file_column is not None and label_column is not None:
        return file_column, label_column, True
    if len(first) == 2 and PurePosixPath(first[0]).suffix:
        return 0, 1, False
    if len(first) == 2 and any(len(row) > 1 and _plain(row[0].strip()) in known for row in rows[1:]):
        return 0, 1, True  # headings in words of the user's own
    raise SourceError(
        f"{csv_file}: its first line is '{','.join(first)}'; expected the headings 'file,label' (or filename, path, "
        "image; class, category), or a file's name and its label"
    )


def _by_name(csv_file: str, files: Sequence[str], root: Path) -> dict[str, str]:
    """Files by every name that a line may give them: both paths, and a name that is unique."""
    by_base: dict[str, list[str]] = {}
    for file in files:
        by_base.setdefault(PurePosixPath(file).name, []).append(file)
    known = {base: same[0] for base, same in by_base.items() if len(same) == 1}
    folder = str(PurePosixPath(csv_file).parent)
    prefix = "" if folder == "." else f"{folder}/"
    known |= {f"{start.as_posix()}/{file}": file for start in {root.absolute(), root.resolve()} for file in files}
    return known | {file.removeprefix(prefix): file for file in files}


def _plain(written: str) -> str:
    return written.replace("\\", "/").removeprefix("./")


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
    """Open a folder or zip of images.

    Args:
        root: the folder or the zip.
        split: which part of the classes to take; None for all. Parts are the folders ``train``, ``val``,
            ``test`` at the top, unless ``split_file`` or ``split_seed`` says otherwise.
        name: name of the source; by default that of the folder.
        split_file: JSON with the class names of every part.
        split_seed: deal the classes to ``train``, ``val`` and ``test`` by a draw with this seed.
        fractions: shares of the three parts for ``split_seed``.
        depth: how many folders make a class's name: with 2, ``root/a/b/x.png`` is of class ``a/b``. Folders below
            are part of the class, which is noted in the log and in the source's ``notes``.
        ordered: say that neighbouring images (by name) show the same object.

    Raises:
        FileNotFoundError: there is no folder and no zip, or no image in a class folder and no CSV of labels.
        SourceError: two class names differ only in their Unicode form, the CSV cannot be used, or the split cannot
            be taken without sharing classes.
    """
    root = Path(root)
    name = name or root.stem
    if not root.exists():
        raise _not_found(name, root)
    store = open_store(root)
    files = _unwrap([(PurePosixPath(file).parts, file) for file in store.names()], depth)
    parts = _parts(files, depth)
    source = _labelled_by_csv(name, store, ordered)
    source = source or _labelled_by_folder(name, root, store, files, parts, depth, ordered)
    if split is None:
        return source
    dealt = deal_classes(source.class_names, split_file, split_seed, fractions)
    return take_part(source, _split_of_parts(name, files, parts, depth) if dealt is None else dealt, split)


def _labelled_by_folder(
    name: str, root: Path, store: Store, files: list[File], parts: set[str], depth: int, ordered: bool
) -> FileSource:
    classes = [(path[1:], file) for path, file in files if len(path) > 1] if parts else files
    members, loose = _members(name, classes, depth)
    if not members:
        raise _not_found(name, root, store)
    empty = _empty_folders(store, files, depth + bool(parts))
    source = FileSource(name, store, members, ordered=ordered, set_aside=[*loose, *empty])
    source.notes = _note_of_sub_folders(classes, depth)
    for note in source.notes:
        log.warning("%s: %s", name, note)
    return source


def _labelled_by_csv(name: str, store: Store, ordered: bool) -> FileSource | None:
    """The images that a CSV beside them labels; None where there is no CSV, or there are class folders."""
    images = [file for file in store.names() if is_image_name(file)]
    tables = [file for file in store.names() if file.lower().endswith(".csv") and _holds_all(_folder(file), images)]
    tables = [file for file in tables if PurePosixPath(file).name.lower() == "labels.csv"] or tables
    if not tables or not images:
        return None
    folders = {path[0] for path in (_below(_folder(tables[0]), file).parts for file in images) if len(path) > 1}
    if len(folders) > 1:
        return None
    if len(tables) > 1:
        raise SourceError(
            f"{name}: {', '.join(tables[:3])}: rename the CSV with the labels to labels.csv, or keep only one"
        )
    members, aside = read_labels(store.read(tables[0]), tables[0], images, store.root)
    log.info("%s: %d images are labelled by %s", name, len(members), tables[0])
    source = FileSource(name, store, members, ordered=ordered, set_aside=aside)
    source.notes = (f"labels are those of {tables[0]}",)
    return source


def _folder(file: str) -> str:
    """The folder of a file with a slash at its end, empty at the top."""
    return file[: file.rfind("/") + 1]


def _below(folder: str, file: str) -> PurePosixPath:
    return PurePosixPath(file.removeprefix(folder))


def _holds_all(folder: str, files: Iterable[str]) -> bool:
    return all(file.startswith(folder) for file in files)


def _not_found(name: str, root: Path, store: Store | None = None) -> FileNotFoundError:
    seen = f" Found {_contents(store)}" if store is not None else ""
    return data_not_found(
        name,
        root,
        "a folder or zip with <class>/<image>, or with images and a labels.csv (file,label)",
        f"make one folder per class and put its images in it, or write a labels.csv.{seen}",
    )


def _contents(store: Store) -> str:
    """What is there, in a few words."""
    loose = [file for file in store.names() if is_image_name(file)]
    kinds = (
        (loose, "image", " outside class folders"),
        (store.names(), "file", ", no image among them"),
        (store.folders(), "folder", ""),
    )
    for names, kind, where in kinds:
        if names:
            return f"{counted(len(names), kind)}{where}: {', '.join(names[:3])}{', ...' if len(names) > 3 else '.'}"
    return "nothing."


def _empty_folders(store: Store, files: list[File], depth: int) -> Pairs:
    """Folders at the depth of classes that hold no file."""
    filled = {parent for _, file in files for parent in PurePosixPath(file).parents}
    wrapping = min((len(PurePosixPath(file).parts) - len(path) for path, file in files if len(path) > depth), default=0)
    found = (PurePosixPath(folder) for folder in store.folders())
    empty = [str(path) for path in found if len(path.parts) == wrapping + depth and path not in filled]
    return [(f"{path}/", "is an empty class folder") for path in empty]


def _note_of_sub_folders(files: Iterable[File], depth: int) -> tuple[str, ...]:
    """What is said where classes have sub-folders, nothing otherwise."""
    counts = Counter("/".join(path[:depth]) for path, _ in files if len(path) > depth + 1)
    if not counts:
        return ()
    some = listed((f"'{name}' ({count})" for name, count in sorted(counts.items())), 3)
    return (f"images in subfolders of a class folder belong to that class: {some}",)


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
    """Pairs of class and file, and the images that lie in no class folder with the reason."""
    members, loose = [], []
    spelling: dict[str, str] = {}
    for path, file in files:
        if len(path) <= depth:
            if is_image_name(file):
                loose.append((file, "is not in a class folder"))
            continue
        written = "/".join(path[:depth])
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
            classes[path[0]].add(unicodedata.normalize("NFC", "/".join(path[1 : depth + 1])))
    split = {part: sorted(names) for part, names in classes.items()}
    try:
        check_disjoint(split, name)
    except SourceError as error:
        raise SourceError(
            f"{error}; episodes of both would share classes. Pass split_file=<JSON with class names> or "
            "split_seed=<number>: images of all parts are then joined and classes dealt out"
        ) from error
    return split
