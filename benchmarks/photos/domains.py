"""Domains of photos: the zips or folders of a folder, ``DOMAIN/<class>/<image>``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fewshot_film.data import ImageSet, SourceError, decode
from fewshot_film.data.folder import folder
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import MissingFileError, counted

SAMPLING_SIZE = 64
"""Side at which images are compared to find duplicates; no network sees images of this size."""


@dataclass(frozen=True)
class Domain:
    """One kind of photos."""

    source: ImageSource
    """The files."""

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return self.source.name

    @cached_property
    def images(self) -> ImageSet:
        """The images that episodes are drawn from, without duplicates: the same for every backbone."""
        return decode(self.source, SAMPLING_SIZE)

    @cached_property
    def rows(self) -> np.ndarray:
        """Place in ``source`` of each of ``images``, int64."""
        place = {file: number for number, file in enumerate(self.source.files)}
        return np.array([place[file] for file in self.images.files], np.int64)


def open_domains(root: str | Path, names: Sequence[str] = ()) -> list[Domain]:
    """The domains of a folder.

    Args:
        root: holds a zip or a folder for each domain.
        names: which, in this order; empty: all, by name.

    Raises:
        MissingFileError: there is no such folder, it holds no domain, or one of the names is not there.
        SourceError: a domain has fewer than two classes.
    """
    root = Path(root)
    there = {path.stem: path for path in _parts(root)}
    missing = [name for name in names if name not in there]
    if not there or missing:
        wrong = f"holds no domain called {', '.join(missing)}" if there else "holds no zip and no folder of images"
        known = f"; it has {', '.join(there)}" if there else ""
        raise MissingFileError(
            f"{root} {wrong}; expected a zip or a folder for each domain, with a folder of images per class{known}"
        )
    return [_open(there[name]) for name in names or there]


def _parts(root: Path) -> list[Path]:
    if not root.is_dir():
        raise MissingFileError(f"{root} is no folder; expected one that holds a zip or a folder for each domain")
    visible = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    return [path for path in visible if path.is_dir() or path.suffix.lower() == ".zip"]


def _open(path: Path) -> Domain:
    source = folder(path)
    if len(source.class_names) < 2:
        raise SourceError(
            f"{path} has {counted(len(source.class_names), 'class')} ({', '.join(source.class_names)}); expected at "
            "least two, each a folder of images"
        )
    return Domain(source)
