"""Libraries that not everyone needs: imported when first asked for, with the command that installs them."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from typing import Any

from fewshot_film.errors import UserError

LEARN2LEARN_COMMAND = (
    "pip install 'fewshot-film[learn2learn]' && CYTHON_FORCE_REGEN=1 pip install --no-deps --use-pep517 "
    "--config-settings=--build-option=build_ext learn2learn==0.2.0"
)
"""What puts learn2learn into any environment on Python 3.11 and later; `make learn2learn` does it in a checkout."""


class MissingExtraError(UserError, ImportError):
    """A library is asked for that belongs to an extra, and is not installed."""


def optional(module: str, *, extra: str, what: str) -> Any:
    """A module of a package that an extra brings.

    Args:
        module: dotted name.
        extra: name of the extra in ``pip install 'fewshot-film[EXTRA]'``.
        what: begins the error: what asked for it.

    Raises:
        MissingExtraError: it, or what it imports, is not installed; the message has the command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs the extra `{extra}` ({error}): pip install 'fewshot-film[{extra}]'"
        ) from error


def learn2learn() -> Any:
    """The package learn2learn.

    Raises:
        MissingExtraError: it, or what it imports, is not installed; the message has the command.
    """
    found = sys.modules.get("learn2learn")
    if found is not None:  # every adaptation asks
        return found
    try:
        # its gym speaks to the terminal when it is imported, of environments that are not used here
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return importlib.import_module("learn2learn")
    except ImportError as error:
        raise MissingExtraError(
            f"learn2learn cannot be imported ({error}); MAML, ANIL, Meta-SGD and its task sets need it. In a checkout "
            f"run `make learn2learn`; elsewhere, with a C compiler: {LEARN2LEARN_COMMAND}"
        ) from error


if __name__ == "__main__":
    learn2learn()
