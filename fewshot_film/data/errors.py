"""Errors of the data rooms: they say what was wrong, what was expected, and what to do."""

from __future__ import annotations

from pathlib import Path

from fewshot_film.errors import MissingFileError, UserError


class SourceError(UserError, ValueError):
    """A source was found, but its content cannot serve as it was asked to."""


def data_not_found(name: str, root: Path, layout: str, how_to_get: str) -> MissingFileError:
    """Build the error for data that are not where they should be.

    Args:
        name: the source's name, as the user gave it.
        root: where it was looked for.
        layout: the files that were looked for, in words.
        how_to_get: one sentence, or command, that gets the data.
    """
    return MissingFileError(f"{name}: no data at '{root}'. Looked for {layout}. How to get it: {how_to_get}")
