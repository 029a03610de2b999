"""Features of images on the disk: written by ``clevr-film features``, or HDF5 files that others publish.

A store of ours is a folder with ``features.npy`` (``(N, C, H, W)``, read through a memory map) and ``index.json``
(what the rows belong to and how they were made). While it is being written there is ``progress.json`` too: the
number of rows that are on the disk for good. So a run that is killed at any moment is continued at the first
row that is not certain, and the finished folder is that of an undisturbed run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clevr.data.errors import DataError, DataNotFoundError
from fewshot_film.errors import InvalidValueError, UserError
from fewshot_film.extras import optional
from fewshot_film.run.files import reserve, write_json_atomically

FORMAT, VERSION = "clevr-film features", 1
ARRAY, INDEX, PROGRESS = "features.npy", "index.json", "progress.json"
HDF5_NAME = "features"
"""Name of the data set in the HDF5 files of clevr-iep, FiLM and their kin."""


Rows = Sequence[int] | NDArray[np.int64]


class Features(Protocol):
    """Features of images by row."""

    shape: tuple[int, int, int]
    """Channels, height and width of one row."""

    def __len__(self) -> int:
        """Number of rows."""

    def row(self, filename: str) -> int:
        """The row of an image; raises :class:`DataError` if there is none."""

    def read(self, rows: Rows) -> NDArray[np.floating[Any]]:
        """Some rows in the order asked for, ``(len(rows), C, H, W)``."""


class ImageFeatures:
    """Features of a split's images in the split's own order, indexed by an array of their numbers.

    Args:
        store: where they are.
        names: file names of the images.
    Raises:
        DataError: an image has no row.
    """

    def __init__(self, store: Features, names: Sequence[str]) -> None:
        self.store = store
        self.shape = (len(names), *store.shape)
        self._rows = np.asarray([store.row(name) for name in names], np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def settings(self) -> dict[str, Any]:
        """How the features were made; empty where the store does not say."""
        return dict(getattr(self.store, "settings", {}))

    def __getitem__(self, numbers: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Features ``(len(numbers), C, H, W)``."""
        return self.store.read(self._rows[numbers])


def open_features(
    root: str | Path, split: str, names: Sequence[str], shape: tuple[int, int, int] | None = None
) -> ImageFeatures:
    """Features of the images of a split.

    Args:
        root: folder that holds ``<split>``, written by ``clevr-film features``, or ``<split>_features.h5`` or
            ``<split>.h5``, as others publish them; or one such store itself.
        split: name of the split.
        names: file names of the images.
        shape: channels, height and width that are expected.
    Raises:
        DataNotFoundError: there are no features of that split.
        DataError: they are damaged, not finished, of another shape, or lack an image.
        MissingExtraError: they are an HDF5 file, and h5py is not installed.
    """
    if not str(root):
        raise DataNotFoundError(f"the model reads features, and their folder is not given; {_EXPECTED}")
    store = open_store(_find(Path(root), split))
    if shape is not None and store.shape != tuple(shape):
        raise DataError(str(root), "", f"the features of {split} have shape {store.shape}, the model reads {shape}")
    return ImageFeatures(store, names)


def open_store(path: Path) -> Features:
    """A store by its own path; errors as of :func:`open_features`."""
    if path.is_dir():
        return FeatureStore(path)
    if path.is_file():
        return Hdf5Features(path)
    raise DataNotFoundError(f"no features at {path}; {_EXPECTED}")


_EXPECTED = (
    "expected a folder that `clevr-film features DATA --split SPLIT --out FOLDER/SPLIT` wrote, or an HDF5 file "
    f"SPLIT_features.h5 with a data set {HDF5_NAME!r}"
)


def _find(root: Path, split: str) -> Path:
    if root.is_file() or (root / INDEX).is_file():
        return root
    candidates = [root / split, root / f"{split}_features.h5", root / f"{split}.h5"]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise DataNotFoundError(f"no features of {split} in {root}; {_EXPECTED}")
    return found


class FeatureStore:
    """A finished folder of features; its rows are found by the images' file names.

    Args:
        folder: what :class:`clevr.data.feature_store.FeatureWriter` wrote.
    Raises:
        DataNotFoundError: it is no such folder.
        DataError: it is damaged or not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_index(folder)
        self.settings: dict[str, Any] = index["settings"]
        self.names: list[str] = index["names"]
        channels, height, width = index["shape"]
        self.shape = (channels, height, width)
        done = rows_done(folder, len(self.names))
        if done < len(self.names):
            raise DataError(
                str(folder),
                "",
                f"holds {done} of {len(self.names)} images; run the same clevr-film features command again to finish",
            )
        expected = (len(self.names), *self.shape)
        if self._array.shape != expected:
            raise DataError(str(folder / ARRAY), "", f"has shape {self._array.shape}, {INDEX} says {expected}")

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return FeatureStore, (self.folder,)

    def row(self, filename: str) -> int:
        """The row of an image, by its file name."""
        try:
            return self._rows[filename]
        except KeyError:
            raise DataError(str(self.folder), "", f"has no features of {filename}; make them of that split") from None

    def read(self, rows: Rows) -> NDArray[np.floating[Any]]:
        """Some rows, ``(len(rows), C, H, W)``, as they are stored."""
        return np.asarray(self._array[np.asarray(rows, np.int64)])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def _array(self) -> NDArray[np.floating[Any]]:
        return map_rows(self.folder, "r")


class Hdf5Features:
    """Features in an HDF5 file; the row of an image is its number in the split, as published files have it.

    Every process opens the file for itself, when it first reads: a handle that is shared mixes up the reads.

    Args:
        path: file with a data set ``features``, ``(N, C, H, W)``.
    Raises:
        DataError: the file cannot be read, or has no such data set.
        MissingExtraError: h5py is not installed.
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

    def row(self, filename: str) -> int:
        """The row of an image: its number in the split, the last one in its file name."""
        digits = re.findall(r"[0-9]{1,9}", filename)
        if not digits or int(digits[-1]) >= len(self):
            raise DataError(str(self.path), "", f"has {len(self)} rows, none for {filename}; get those of that split")
        return int(digits[-1])

    def read(self, rows: Rows) -> NDArray[np.floating[Any]]:
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


def map_rows(folder: Path, mode: Literal["r", "r+"]) -> np.memmap[Any, np.dtype[np.floating[Any]]]:
    """The array of a store, memory-mapped.

    Raises:
        DataError: it is missing or damaged, or holds other things than numbers.
    """
    path = folder / ARRAY
    try:
        array: np.memmap[Any, np.dtype[np.floating[Any]]] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(str(path), "", f"cannot be read ({error}); compute the features again") from None
    return array


def rows_done(folder: Path, num_rows: int) -> int:
    """How many of a store's rows are on the disk for good."""
    path = folder / PROGRESS
    if not path.exists():
        return num_rows
    done = _read_json(path).get("done")
    if type(done) is not int or not 0 <= done <= num_rows:
        raise DataError(str(path), "", f"is damaged (done is {done!r}); compute the features again")
    return done


def read_index(folder: Path) -> dict[str, Any]:
    """What the rows of a store are.

    Raises:
        DataNotFoundError: there is no index.
        DataError: it is damaged, or of another version.
    """
    path = folder / INDEX
    if not path.is_file():
        raise DataNotFoundError(
            f"no features in {folder}: there is no {INDEX}; expected a folder that clevr-film features wrote"
        )
    index = _read_json(path)
    if index.get("format") != FORMAT or index.get("version") != VERSION:
        raise DataError(str(path), "", f"is not an index of {FORMAT}, version {VERSION}; compute the features again")
    return index


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(str(path), "", f"is damaged ({error}); compute the features again") from None
    if not isinstance(content, dict):
        raise DataError(str(path), "", "is damaged (it holds no object); compute the features again")
    return content


def _open_hdf5(path: Path) -> Any:
    h5py = optional("h5py", extra="hdf5", what=f"reading {path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(str(path), "", f"cannot be read as HDF5 ({error}); download the file again") from None


class FeatureStoreError(UserError):
    """A store that cannot be written: no room, or a folder that holds other features."""


class FeatureWriter:
    """Writes a feature store row by row, and continues where an earlier run was interrupted.

    Args:
        folder: made if it is not there.
        names: file names of the images, one a row.
        shape: channels, height and width of one row.
        dtype: ``float16`` or ``float32``.
        settings: what the features depend on, as plain JSON.
    Raises:
        FeatureStoreError: the folder holds other features, or there is no room for these.
        DataError: what the folder holds is damaged.
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
            _compare(read_index(folder), wanted, folder)
        else:
            self._begin(wanted, (len(names), *shape), np.dtype(dtype))
        self.done = rows_done(folder, self.num_rows)
        self._array = map_rows(folder, "r+")

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
            raise InvalidValueError(f"{self.done} of {self.num_rows} rows are written; append the others first")
        (self.folder / PROGRESS).unlink(missing_ok=True)

    def _begin(self, index: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Reserve the room, then say that no row is done; only then what the rows shall be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            array = np.lib.format.open_memmap(self.folder / ARRAY, mode="w+", dtype=dtype, shape=shape)
            array.flush()
            reserve(self.folder / ARRAY)
            write_json_atomically(self.folder / PROGRESS, {"done": 0})
            write_json_atomically(self.folder / INDEX, index)
        except OSError as error:
            (self.folder / ARRAY).unlink(missing_ok=True)
            size = float(np.prod(shape)) * dtype.itemsize / 1e9
            raise FeatureStoreError(
                f"cannot write {size:.1f} GB of features to {self.folder}: {error.strerror or error}. Free some space, "
                "or choose another --out"
            ) from error


def _compare(there: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue with features of other images or other settings."""
    old, new = ({**index["settings"], "shape": index["shape"]} for index in (there, wanted))
    problems = [
        f"{key} is {old.get(key)!r} there and {new.get(key)!r} here"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]
    if there["names"] != wanted["names"]:
        problems.append(f"it is of other images ({len(there['names'])} there, {len(wanted['names'])} here)")
    if problems:
        raise FeatureStoreError(
            f"{folder} holds different features: {'; '.join(problems)}. Use the same settings to continue it, or "
            "choose another --out"
        )
