"""Write a store of features row by row, so that a run which is killed can be finished by the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.data.feature_store import ARRAY, FORMAT, INDEX, PROGRESS, VERSION, map_rows, read_index, rows_done
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.errors import UserError
from fewshot_film.run.files import reserve, write_json_atomically


class FeatureStoreError(UserError):
    """A store that cannot be written: no room, or a folder that holds other features."""


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
                f"cannot write {size:.1f} GB of features to {self.folder}: {error.strerror or error}. Make room, or "
                "choose another --out"
            ) from error


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
