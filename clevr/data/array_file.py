"""Arrays kept beside a data set, so that they need not be made again while what they came from stays the same."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_film.run.files import write_atomically


def save_arrays(path: Path, signature: str, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> None:
    """Write named arrays; the file is there whole or not at all.

    Args:
        path: where to; its folder is made.
        signature: what the arrays were made from, for :func:`load_arrays`.
        arrays: by name.
        compressed: take less room and more time.
    """
    save = np.savez_compressed if compressed else np.savez

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a path, NumPy would add an ending to it
            save(file, allow_pickle=False, signature=np.asarray(signature), **arrays)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def load_arrays(path: Path, signature: str) -> dict[str, NDArray[Any]] | None:
    """Read named arrays; None if there are none of this signature, or only a damaged file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["signature"]) != signature:
                return None
            return {name: arrays[name] for name in arrays.files if name != "signature"}
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
