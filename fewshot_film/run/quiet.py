"""Whether a command shows how far it is. Imports nothing heavy; worker processes inherit the answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "FEWSHOT_FILM_QUIET"


def is_quiet() -> bool:
    """Whether ``--quiet`` was given."""
    return bool(os.environ.get(_VARIABLE))


def hides_bars() -> bool:
    """Whether progress bars are left out: after ``--quiet``, and where nobody looks at a terminal."""
    return is_quiet() or not sys.stderr.isatty()


@contextmanager
def quiet(wanted: bool) -> Iterator[None]:
    """Be quiet inside the block, here and in processes that it starts; changes nothing unless ``wanted``."""
    before = os.environ.get(_VARIABLE)
    if wanted:
        os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        if wanted:
            os.environ.pop(_VARIABLE) if before is None else os.environ.update({_VARIABLE: before})
