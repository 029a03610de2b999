"""Features of pictures on the disk: written by ``clevr-film features``, or HDF5 files that others publish.

A store of ours is a folder with ``features.npy`` (``(N, C, H, W)``, read through a memory map) and ``index.json``
(what the rows belong to and how they were made). While it is being written there is ``progress.json`` too: the
number of rows that are on the disk for good. So a run that is killed at any moment is continued at the first
row that is not certain, and the finished folder is that of an undisturbed run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clevr.data.errors import DataError, DataNotFoundError
from fewshot_film.run.errors import UserError
from fewshot_film.run.files import write_json_atomically

FORMAT, VERSION = "clevr-film features", 1
ARRAY, INDEX, PROGRESS = "features.npy", "index.json", "progress.json"
HDF5_NAME = "features"
"""Name of the data set in the HDF5 files of clevr-iep, FiLM and their kin."""


class FeatureStoreError(UserError):
    """A store that cannot be written: no room, or a folder that holds other features."""


class Features(Protocol):
    """Features of pictures by row."""

    shape: tuple[int, int, int]
    """Channels, height and width of one row."""

    def __len__(self) -> int:
        """Number of rows."""

    def row(self, filename: str, image_index: int) -> int:
        """The row of a picture; raises :class:`DataError` if there is none."""

    def read(self, rows: Sequence[int]) -> NDArray[np.floating[Any]]:
        """Some rows in the order asked for, ``(len(rows), C, H, W)``."""


def open_features(path: str | Path) -> Features:
    """Features from a folder of ours or from an HDF5 file.

    Raises:
        DataNotFoundError: there is neither.
        DataError: it is damaged, or not finished.
        ImportError: it is an HDF5 file, and h5py is not installed.
    """
    where = Path(path)
    if where.is_dir():
        return FeatureStore(where)
    if where.is_file():
        return Hdf5Features(where)
    raise DataNotFoundError(
        f"no features at {where}; expected a folder that `clevr-film features DATA --out {where}` wrote, or an HDF5 "
        f"file with a data set {HDF5_NAME!r}"
    )


class FeatureStore:
    """A finished folder of features; its rows are found by the pictures' file names.

    Args:
        folder: what :class:`FeatureWriter` wrote.
    Raises:
        DataNotFoundError: it is no such folder.
        DataError: it is damaged or not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = _read_index(folder)
        self.settings: dict[str, Any] = index["settings"]
        self.names: list[str] = index["names"]
        channels, height, width = index["shape"]
        self.shape = (channels, height, width)
        done = _rows_done(folder, len(self.names))
        if done < len(self.names):
            raise DataError(
                str(folder),
                "",
                f"holds {done} of {len(self.names)} pictures; run the same clevr-film features command again to finish",
            )
        expected = (len(self.names), *self.shape)
        if self._array.shape != expected:
            raise DataError(str(folder / ARRAY), "", f"has shape {self._array.shape}, {INDEX} says {expected}")

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return FeatureStore, (self.folder,)

    def row(self, filename: str, image_index: int) -> int:
        """The row of a picture, by its file name."""
        try:
            return self._rows[filename]
        except KeyError:
            raise DataError(str(self.folder), "", f"has no features of {filename}; make them of that split") from None

    def read(self, rows: Sequence[int]) -> NDArray[np.floating[Any]]:
        """Some rows, ``(len(rows), C, H, W)``, as they are stored."""
        return np.asarray(self._array[np.asarray(rows, np.int64)])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def _array(self) -> NDArray[np.floating[Any]]:
        path = self.folder / ARRAY
        try:
            array: NDArray[np.floating[Any]] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(str(path), "", f"cannot be read ({error}); make the features again") from None
        return array


class Hdf5Features:
    """Features in an HDF5 file; the row of a picture is its number in the split, as published files have it.

    Every process opens the file for itself, when it first reads: a handle that is shared mixes up the reads.

    Args:
        path: file with a data set ``features``, ``(N, C, H, W)``.
    Raises:
        DataError: the file cannot be read, or has no such data set.
        ImportError: h5py is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = -1
        self._file: Any = None
        self._length, *shape = self._data.shape
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))

    def __len__(self) -> int:
        return int(self._length)

    def __reduce__(self) -> tuple[type[Hdf5Features], tuple[Path]]:
        return Hdf5Features, (self.path,)

    def row(self, filename: str, image_index: int) -> int:
        """The row of a picture: its number in the split."""
        if not 0 <= image_index < len(self):
            raise DataError(str(self.path), "", f"has {len(self)} rows, none for picture {image_index} ({filename})")
        return image_index

    def read(self, rows: Sequence[int]) -> NDArray[np.floating[Any]]:
        """Some rows, ``(len(rows), C, H, W)``, as they are stored."""
        wanted, places = np.unique(np.asarray(rows, np.int64), return_inverse=True)  # h5py wants them in order
        found: NDArray[np.floating[Any]] = self._data[wanted]
        return found[places]

    @property
    def _data(self) -> Any:
        if self._process != os.getpid():
            self._file = _open_hdf5(self.path)
            self._process = os.getpid()
        data = self._file.get(HDF5_NAME)
        if getattr(data, "ndim", 0) != 4:
            there = ", ".join(self._file) or "nothing"
            problem = f"has no data set {HDF5_NAME!r} of shape (N, C, H, W); there is {there}"
            raise DataError(str(self.path), "", problem)
        return data


class FeatureWriter:
    """Writes a store row by row, and goes on where an earlier run was ended.

    Args:
        folder: made if it is not there.
        names: file names of the pictures, one a row.
        shape: channels, height and width of one row.
        dtype: ``float16`` or ``float32``.
        settings: what the features depend on, as plain JSON.
    Raises:
        FeatureStoreError: the folder holds other features, or there is no room for these.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        shape: tuple[int, int, int],
        dtype: str,
        settings: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.num_rows = len(names)
        wanted = {
            "format": FORMAT,
            "version": VERSION,
            "settings": {**settings, "dtype": dtype},
            "shape": list(shape),
            "names": list(names),
        }
        if (folder / INDEX).exists():
            _compare(_read_index(folder), wanted, folder)
        else:
            self._begin(wanted, (len(names), *shape), np.dtype(dtype))
        self.done = _rows_done(folder, self.num_rows)
        self._array = np.load(folder / ARRAY, mmap_mode="r+")

    def append(self, rows: NDArray[np.floating[Any]]) -> None:
        """Write the next rows, ``(B, C, H, W)``; they count once they are on the disk.

        Raises:
            FeatureStoreError: a value does not fit the stored dtype.
        """
        stop = self.done + len(rows)
        with np.errstate(over="ignore"):
            values = rows.astype(self._array.dtype)
        if not np.isfinite(values).all():
            raise FeatureStoreError(
                f"rows {self.done} to {stop - 1} hold values that are not finite in {self._array.dtype}, up to "
                f"{np.abs(rows).max():g}; give --dtype float32, or see whether the weights are sound"
            )
        self._array[self.done : stop] = values
        self._array.flush()
        self.done = stop
        write_json_atomically(self.folder / PROGRESS, {"done": self.done})

    def finish(self) -> None:
        """Mark the store as whole.

        Raises:
            ValueError: rows are missing.
        """
        if self.done != self.num_rows:
            raise ValueError(f"{self.done} of {self.num_rows} rows are written; append the others first")
        (self.folder / PROGRESS).unlink(missing_ok=True)

    def _begin(self, index: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Reserve the room, then say that no row is done; only then what the rows shall be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            array = np.lib.format.open_memmap(self.folder / ARRAY, mode="w+", dtype=dtype, shape=shape)
            array.flush()
            _reserve(self.folder / ARRAY)
            write_json_atomically(self.folder / PROGRESS, {"done": 0})
            write_json_atomically(self.folder / INDEX, index)
        except OSError as error:
            (self.folder / ARRAY).unlink(missing_ok=True)
            size = float(np.prod(shape)) * dtype.itemsize / 1e9
            raise FeatureStoreError(
                f"cannot write {size:.1f} GB of features to {self.folder}: {error.strerror or error}. Make room, or "
                "choose another --out"
            ) from error


def _reserve(path: Path) -> None:
    """Claim the blocks of a sparse file, so that a full disk shows now and not while the map is written to."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _rows_done(folder: Path, num_rows: int) -> int:
    path = folder / PROGRESS
    if not path.exists():
        return num_rows
    return int(_read_json(path)["done"])


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        raise DataNotFoundError(
            f"no features in {folder}: there is no {INDEX}; expected a folder that clevr-film features wrote"
        )
    index = _read_json(path)
    if index.get("format") != FORMAT or index.get("version") != VERSION:
        raise DataError(str(path), "", f"is not an index of {FORMAT}, version {VERSION}; make the features again")
    return index


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(str(path), "", f"is damaged ({error}); make the features again") from None
    return content


def _compare(there: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with features of other pictures or other settings."""
    old, new = ({**index["settings"], "shape": index["shape"]} for index in (there, wanted))
    problems = [
        f"{key} is {old.get(key)!r} there and {new.get(key)!r} here"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]
    if there["names"] != wanted["names"]:
        problems.append(f"it is of other pictures ({len(there['names'])} there, {len(wanted['names'])} here)")
    if problems:
        raise FeatureStoreError(
            f"{folder} holds other features: {'; '.join(problems)}. Use the same settings to go on with it, or "
            "choose another --out"
        )


def _open_hdf5(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(f"reading {path} needs h5py; install it with: pip install 'fewshot-film[hdf5]'") from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(str(path), "", f"cannot be read as HDF5 ({error}); get the file again") from None
