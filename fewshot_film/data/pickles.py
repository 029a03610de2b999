"""Read pickles that others publish, admitting arrays and plain containers and nothing else.

A pickle may name any function for the reader to call. CIFAR-100 and mini-ImageNet are published as pickles,
so they are read by an unpickler that knows only what NumPy's arrays are made of.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_film.data.errors import SourceError


def _latin1(text: str, encoding: str) -> bytes:
    """How old protocols store bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in '{encoding}'")
    return text.encode("latin1")


_KNOWN: dict[str, Any] = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "multiarray.scalar": np.int64(0).__reduce__()[0],
    "numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0],
    "_codecs.encode": _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        for home in ("numpy.core.", "numpy._core."):  # the name before and since NumPy 2
            module = module.removeprefix(home)
        known = _KNOWN.get(f"{module}.{name}")
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return known


def load_arrays(path: Path) -> Any:
    """Read a pickle of arrays, dictionaries, lists, numbers and texts (Python 2's as Latin-1).

    Raises:
        SourceError: the file names anything else, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise SourceError(
            f"'{path}' is not a pickle of arrays and plain containers ({error}); nothing else is read from "
            "pickles, as they can run code"
        ) from error
