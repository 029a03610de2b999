"""Images to be asked about: one file, or all of a folder or zip."""

from __future__ import annotations

import logging
import unicodedata
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import ImageError
from fewshot_film.data.decoding import lines_of
from fewshot_film.data.errors import data_not_found
from fewshot_film.data.pixels import to_array
from fewshot_film.data.stores import FolderStore, Store, open_store
from fewshot_film.images import open_image
from fewshot_film.run.workers import available_cores

log = logging.getLogger(__name__)


class Queries:
    """Query images by name.

    Args:
        where: an image, or a folder or zip that holds images at any depth.
        out: see :func:`~fewshot_film.data.stores.open_store`.

    Raises:
        FileNotFoundError: there is nothing, or nothing in it.
        SourceError: a zip that is cut short; or ``out`` is where the images are.
    """

    def __init__(self, where: Path, out: Path | None = None) -> None:
        self.where = where
        if where.is_file() and not zipfile.is_zipfile(where):
            self.store: Store = FolderStore(where.parent)
            self.names = [where.name]
            return
        if not where.exists():
            raise self._not_found()
        self.store = open_store(where, out)
        self.names = self.store.names()

    def read(self, preprocessing: Preprocessing) -> tuple[list[str], np.ndarray]:
        """The images that can be used, with their names; what cannot be is logged, or raised if it is the only one.

        Args:
            preprocessing: what the network reads.

        Returns:
            Names, and ``(M, C, H, W)`` uint8.

        Raises:
            ImageError: the one image that was named cannot be used.
            FileNotFoundError: none can be used.
        """
        names, pictures, left_out = [], [], list[tuple[str, str]]()
        with ThreadPoolExecutor(available_cores()) as pool:  # Pillow frees the interpreter's lock
            results = pool.map(partial(self._one_or_error, preprocessing), self.names)
            for name, found in zip(self.names, results, strict=True):
                if not isinstance(found, ImageError):
                    names.append(name)
                    pictures.append(found)
                elif self.where.is_file() and len(self.names) == 1:
                    raise found
                else:
                    left_out.append((name, found.reason))
        if left_out:
            log.warning(
                "left out %d of %d files:\n  %s", len(left_out), len(self.names), "\n  ".join(lines_of(left_out))
            )
        if not names:
            raise self._not_found()
        return names, np.stack(pictures)

    def one(self, name: str, preprocessing: Preprocessing) -> np.ndarray:
        """One image ``(C, H, W)``, uint8.

        Raises:
            ImageError: it cannot be used.
        """
        picture = open_image(self.store.read(name), name, min_side=preprocessing.min_side)
        return to_array(picture, name, **preprocessing.pixels)

    def _one_or_error(self, preprocessing: Preprocessing, name: str) -> np.ndarray | ImageError:
        try:
            return self.one(name, preprocessing)
        except ImageError as error:
            return error

    def _not_found(self) -> FileNotFoundError:
        return data_not_found(
            "query", self.where, "an image, or images in a folder or zip file", "give the path of some"
        )


def truths(names: Iterable[str], class_names: Iterable[str]) -> list[str]:
    """The folder of every query, where at least one such folder has the name of a class; else empty texts.

    A folder that is named like no class is a class of its own: one that only the queries have.
    """
    folders = [unicodedata.normalize("NFC", PurePosixPath(name).parent.name) for name in names]
    return folders if set(folders) & set(class_names) else [""] * len(folders)
