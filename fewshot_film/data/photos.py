"""The photos that come with the package, for examples."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "photos", _PACKAGE.parent / "examples" / "photos")


def photos_folder() -> Path:
    """A folder with ``labelled`` and ``unknown``: other photos of the same six classes, and four that are of none.

    It is in the package where that is installed, and ``examples/photos`` in a checkout.
    """
    return next(folder for folder in _FOLDERS if folder.is_dir())
