"""A CSV that says which class every image of a folder is of: ``file,label``, one line per image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from fewshot_film.data.errors import SourceError
from fewshot_film.errors import counted

FILE_COLUMNS = ("file", "filename", "file_name", "filepath", "path", "image", "image_path", "img")
"""Headings of the column with the images' names, in lower case."""

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "classname", "category", "target")
"""Headings of the column with the classes' names, in lower case."""

Pairs = list[tuple[str, str]]

_DELIMITERS = ",;\t"


def read_labels(data: bytes, csv_file: str, files: Sequence[str]) -> tuple[Pairs, Pairs]:
    """Match the lines of a CSV with the files of a folder.

    A first line of headings is optional where there are two columns, file and label. A file is named by its path
    from the CSV's own folder, or by its name alone where only one file is called so.

    Args:
        data: content of the CSV, UTF-8; separated by commas, semicolons or tabs.
        csv_file: its full name in the store.
        files: full names of all images of the store.

    Returns:
        Pairs of class and file; and ``(file, reason)`` of what could not be used: lines whose file is missing or whose
        label is empty, files that are listed twice or not at all.

    Raises:
        SourceError: it is not such a CSV, or none of its lines leads to a file.
    """
    known = _by_name(csv_file, files)
    labels: dict[str, str] = {}
    aside: Pairs = []
    conflicting: dict[str, str] = {}
    for place, written, label in _lines(_rows(data, csv_file), csv_file, known, aside):
        file = known.get(_plain(written))
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
        raise SourceError(f"{csv_file}: no line leads to an image; {'; '.join(f'{a}: {b}' for a, b in aside[:3])}")
    mentioned = {*labels, *(file for file, _ in aside)}
    aside += [*conflicting.items(), *((f, f"is not listed in {csv_file}") for f in files if f not in mentioned)]
    return [(label, file) for file, label in labels.items() if file not in conflicting], aside


def _lines(rows: list[list[str]], csv_file: str, known: dict[str, str], aside: Pairs) -> Iterator[tuple[str, str, str]]:
    """Place, file and label of every line as they are written; lines that are too short go to ``aside``."""
    file_column, label_column, has_header = _columns(rows, csv_file, known)
    for number, row in enumerate(rows[has_header:], 1 + has_header):
        place = f"{csv_file}, line {number}"
        if len(row) > max(file_column, label_column):
            yield place, row[file_column].strip(), row[label_column].strip()
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


def _by_name(csv_file: str, files: Sequence[str]) -> dict[str, str]:
    """Files by every name that a line may give them: the path from the CSV's folder, and a name that is unique."""
    by_base: dict[str, list[str]] = {}
    for file in files:
        by_base.setdefault(PurePosixPath(file).name, []).append(file)
    known = {base: same[0] for base, same in by_base.items() if len(same) == 1}
    folder = str(PurePosixPath(csv_file).parent)
    prefix = "" if folder == "." else f"{folder}/"
    return known | {file.removeprefix(prefix): file for file in files}


def _plain(written: str) -> str:
    return written.replace("\\", "/").removeprefix("./")
