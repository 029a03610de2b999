"""What is looked at before a command begins: whether its inputs are there, and its outputs are not yet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fewshot_film.errors import InvalidValueError, MissingFileError

LOCAL_STARTS = ("/", "./", "../", "~")
"""How the path of a model begins that can be nothing but a path, not a name."""


def check_inputs(config: Any, keys: Iterable[str], models: Iterable[str] = ()) -> None:
    """Refuse a path that is not there, before anything is imported or loaded for it.

    Args:
        config: the settings of a command.
        keys: its settings that are paths, ``"outer.inner"`` for a nested one; empty ones are skipped.
        models: its settings that are a path or a name; names are left to the command.

    Raises:
        MissingFileError: there is neither file nor folder of that name.
    """
    found = [(key, path) for key in keys for path in _paths(config, key)]
    found += [(key, path) for key in models for path in _paths(config, key) if path.startswith(LOCAL_STARTS)]
    for key, path in found:
        if not Path(path).exists():
            raise MissingFileError(f"{key}: there is no '{path}'; expected the path of an existing file or folder")


def check_outputs(config: Any, keys: Iterable[str]) -> None:
    """Refuse to write over what is there.

    Args:
        config: the settings of a command.
        keys: its settings that are files or folders to be made; empty ones are skipped, and so are empty folders.

    Raises:
        InvalidValueError: there is such a file, or a folder with something in it.
    """
    for key in keys:
        for name in _paths(config, key):
            path = Path(name)
            if path.is_dir() and any(path.iterdir()):
                raise InvalidValueError(f"{key}: the folder '{path}' is not empty; choose another, or add --overwrite")
            if path.exists() and not path.is_dir():
                raise InvalidValueError(f"{key}: the file '{path}' exists; choose another, or add --overwrite")


def _paths(config: Any, key: str) -> list[str]:
    """What a setting holds, as texts: several for a tuple, none where it is empty."""
    value = config
    for name in key.split("."):
        value = getattr(value, name)
    values = value if isinstance(value, tuple | list) else (value,)
    return [str(one) for one in values if one is not None and str(one)]
