"""Any number of image files in pieces: what a worker reads at a time, from folders, zips, WebDatasets or Parquet.

A piece is a function of the input alone, so that what is computed from it can be stored under its number, by whichever
worker, and need not be computed again. Images stay encoded; one that cannot be read comes with its reason.
"""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.stores import FolderStore, Store, open_store
from fewshot_film.errors import listed
from fewshot_film.extras import optional
from fewshot_film.images import ImageError, is_image_name

Item = tuple[str, "bytes | ImageError"]
"""Name of an image, and its file or why there is none."""
TAR, PARQUET = ".tar", ".parquet"
EXPECTED = "an image, or a folder, zip, WebDataset (.tar) or Parquet file of images"
_NAMES = ("file", "path", "filename", "file_name", "__key__", "key", "id", "name")
"""Columns of a Parquet file that can name its images, the first that is there."""


@dataclass(frozen=True)
class Piece:
    """Some of the images."""

    number: int
    """From 0, in the order of the input."""
    kind: Literal["files", "tar", "parquet"]
    """What it is read from."""
    root: Path
    """The folder or zip of the files, or the file."""
    names: tuple[str, ...] = ()
    """The files, of a folder or zip."""
    group: int = 0
    """The row group, of a Parquet file."""
    column: str = ""
    """The column of the images, of a Parquet file."""


def open_pieces(where: Path, size: int, column: str = "", out: Path | None = None) -> list[Piece]:
    """Divide an input into pieces.

    Args:
        where: an image; a folder or zip of images; a WebDataset or Parquet file, or a folder of either.
        size: images per piece of a folder or zip; of the others each tar file and each row group is a piece.
        column: column of the images in Parquet files; empty: the only one that can hold images.
        out: see :func:`open_store`.

    Raises:
        FileNotFoundError: there is nothing, or nothing in it.
        SourceError: a file that is none of these, or a column that there is not; or see :func:`open_store`.
    """
    if not where.exists():
        raise data_not_found("query", where, EXPECTED, "give the path of some")
    if where.suffix in (TAR, PARQUET):
        return _of_files([where], column)
    if where.is_file() and is_image_name(where.name):
        return [Piece(0, "files", where.parent, (where.name,))]
    store = open_store(where, out)
    names = store.names()
    packed = [where / name for name in names if Path(name).suffix in (TAR, PARQUET)] if where.is_dir() else []
    if packed:
        return _of_files(packed, column)
    if not names:
        raise data_not_found("query", where, EXPECTED, "give the path of some")
    parts = [tuple(names[start : start + size]) for start in range(0, len(names), size)]
    return [Piece(number, "files", where, part) for number, part in enumerate(parts)]


def read_piece(piece: Piece) -> Iterator[Item]:
    """The images of a piece in their order."""
    if piece.kind == "files":
        return _read_files(piece)
    return _read_tar(piece) if piece.kind == "tar" else _read_parquet(piece)


def read_batches(piece: Piece, size: int) -> Iterator[tuple[list[str], list[bytes | ImageError]]]:
    """The images of a piece, some at a time: their names and their files.

    Args:
        piece: which.
        size: most images at a time.
    """
    items = read_piece(piece)
    while batch := list(itertools.islice(items, size)):
        yield [name for name, _ in batch], [data for _, data in batch]


def _of_files(paths: Sequence[Path], column: str) -> list[Piece]:
    """A piece for each tar file and each row group; files of both kinds do not mix."""
    kinds = {path.suffix for path in paths}
    if len(kinds) > 1:
        raise SourceError(f"'{paths[0].parent}' holds both {TAR} and {PARQUET} files; expected one kind in a folder")
    if kinds == {TAR}:
        return [Piece(number, "tar", path) for number, path in enumerate(paths)]
    found: list[Piece] = []
    for path in paths:
        file = open_parquet(path)
        chosen = _image_column(path, file.schema_arrow, column)
        found += [
            Piece(len(found) + group, "parquet", path, group=group, column=chosen)
            for group in range(file.metadata.num_row_groups)
        ]
    return found


def open_parquet(path: Path) -> Any:
    """A Parquet file as pyarrow opens it.

    Raises:
        MissingExtraError: the extra ``bulk`` is not installed.
        SourceError: it is none, or cut short.
    """
    pyarrow = optional("pyarrow", extra="bulk", what="reading Parquet files")
    parquet = optional("pyarrow.parquet", extra="bulk", what="reading Parquet files")
    try:
        return parquet.ParquetFile(path, memory_map=True)
    except pyarrow.ArrowInvalid as error:
        raise SourceError(f"'{path}' is not a complete Parquet file ({str(error).splitlines()[0]})") from None


def _image_column(path: Path, schema: Any, column: str) -> str:
    """The column that holds image files: bytes, or a struct with bytes as Hugging Face's data sets write it."""
    types = optional("pyarrow.types", extra="bulk", what="reading Parquet files")

    def can_be(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(kind.field(place).name == "bytes" for place in range(kind.num_fields))
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    able = [field.name for field in schema if can_be(field.type)]
    if column and column not in able:
        raise SourceError(f"'{path}' has no column '{column}' of image files; such columns there: {listed(able)}")
    if not column and len(able) != 1:
        raise SourceError(
            f"'{path}' has {len(able)} columns that can hold image files: {listed(able)}; name one: --column"
        )
    return column or able[0]


def _read_files(piece: Piece) -> Iterator[Item]:
    is_one = len(piece.names) == 1 and piece.root.is_dir()
    store: Store = FolderStore(piece.root) if is_one else open_store(piece.root)
    for name in piece.names:
        try:
            yield name, store.read(name)
        except ImageError as error:
            yield name, error


def _read_tar(piece: Piece) -> Iterator[Item]:
    """The images of a tar file; where it is damaged, the last item is the tar file itself with the reason."""
    try:
        with tarfile.open(piece.root, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() and is_image_name(member.name) else None
                if file is not None:
                    yield member.name, file.read()
        _check_end(piece.root)
    except (tarfile.TarError, OSError, EOFError) as error:
        yield piece.root.name, ImageError(piece.root.name, f"is not a complete tar file: {error}")


def _check_end(path: Path) -> None:
    """Refuse a tar file without the two blocks of zeros at its end: where one is cut short, members just end."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 2 * tarfile.BLOCKSIZE))
        if file.read() != bytes(2 * tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing, so images may be too")


def _read_parquet(piece: Piece) -> Iterator[Item]:
    file = open_parquet(piece.root)
    named = next((name for name in _NAMES if name in file.schema_arrow.names and name != piece.column), None)
    columns = [piece.column] + ([named] if named else [])
    row = sum(file.metadata.row_group(group).num_rows for group in range(piece.group))
    for batch in file.iter_batches(64, row_groups=[piece.group], columns=columns, use_threads=False):
        for record in batch.to_pylist():
            cell = record[piece.column]
            inner = cell if isinstance(cell, dict) else {"bytes": cell}
            name = str((record[named] if named else inner.get("path")) or f"{piece.root.name}#{row}")
            data = inner.get("bytes")
            yield name, data if data else ImageError(name, "the cell is empty")
            row += 1
