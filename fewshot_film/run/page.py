"""What the tabs of the page in the browser share: limits on uploads, what each visitor holds, errors and events."""

from __future__ import annotations

import functools
import html
import inspect
import logging
import shutil
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from PIL import Image

from fewshot_film.images import JPEG_FACTOR
from fewshot_film.run.errors import UserError, exit_status_of

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

EVERY: Mapping[str, Any] = {"trigger_mode": "multiple"}
"""For Gradio's events of which each counts: else it drops those that come while one of their kind is under way."""


class UploadError(UserError, ValueError):
    """An upload that is too large, or not what was asked for."""


@dataclass(frozen=True)
class Limits:
    """How much a visitor may upload."""

    file_bytes: int = 20 * 2**20
    """Of one picture."""
    archive_bytes: int = 200 * 2**20
    """Of one zip file."""
    pixels: int = 50_000_000
    """Width times height of one image; a JPEG may have more, see `fewshot_film.images.JPEG_FACTOR`."""
    files: int = 200
    """Files in one upload."""

    def check_count(self, count: int) -> None:
        """Refuse an upload of too many files.

        Raises:
            UploadError: says how many are allowed.
        """
        if count > self.files:
            raise UploadError(f"{count:,} files at once; expected at most {self.files:,}: give them in several parts")

    def check_picture(self, path: Path) -> None:
        """Refuse a picture by its size in bytes and pixels, before it is decoded.

        Raises:
            UploadError: it is too large; a file that is no picture passes, its reader knows more of it.
        """
        self._check_bytes(path, self.file_bytes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path) as picture:
                    width, height = picture.size
                    most = self.pixels * (JPEG_FACTOR if picture.format in ("JPEG", "MPO") else 1)
        except Image.DecompressionBombError:
            width = height = most = self.pixels
        except Exception:  # damaged files make Pillow's plugins raise errors of many kinds
            return
        if width * height > most:
            raise UploadError(f"{path.name} has more than {most / 1e6:,.0f} million pixels; make it smaller first")

    def check_archive(self, path: Path) -> None:
        """Refuse a zip file by its size.

        Raises:
            UploadError: it is too large.
        """
        self._check_bytes(path, self.archive_bytes)

    def _check_bytes(self, path: Path, most: int) -> None:
        if path.stat().st_size > most:
            raise UploadError(
                f"{path.name} has {path.stat().st_size / 2**20:,.0f} MiB; expected at most {most / 2**20:,.0f}"
            )


class Visitors:
    """What every open page holds, apart from all others, and gone when it is closed.

    Args:
        folder: where every visitor gets a folder of its own.
        most: visitors at once; one more, and the one that was idle for longest is forgotten.
    """

    def __init__(self, folder: Path, most: int = 50) -> None:
        self.folder = folder
        self.most = most
        self._held: OrderedDict[str, tuple[Path, dict[type, Any]]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, visitor: str | None, kind: type[T], make: Callable[[Path], T]) -> T:
        """What a visitor holds of one kind, made when it is first asked for.

        Args:
            visitor: a name that no other open page has.
            kind: class of what is asked for.
            make: makes it, given the visitor's folder.
        """
        key = visitor or ""
        with self._lock:
            if key not in self._held:
                while len(self._held) >= self.most:
                    self.leave(next(iter(self._held)))
                self._held[key] = (Path(tempfile.mkdtemp(dir=self.folder)), {})
            self._held.move_to_end(key)
            folder, things = self._held[key]
            if kind not in things:
                things[kind] = make(folder)
            return cast(T, things[kind])

    def held(self, visitor: str | None, kind: type[T]) -> T | None:
        """What a visitor holds of one kind, or None."""
        with self._lock:
            _, things = self._held.get(visitor or "", (None, {}))
            return cast("T | None", things.get(kind))

    def leave(self, visitor: str | None) -> None:
        """Forget all that a visitor held, and its files."""
        with self._lock:
            folder, _ = self._held.pop(visitor or "", (None, {}))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Page:
    """What the tabs are made from."""

    limits: Limits
    """On uploads."""
    visitors: Visitors
    """Who has the page open."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda or mps."""
    models: tuple[str, ...] = ("general-small",)
    """Few-shot models; the first is the one that is taught."""
    reasoner: str = "clevr-small"
    """The model that answers questions."""
    folder: str = ""
    """Folder or zip of pictures, one sub-folder a class, that can be loaded by a click; empty: none."""


def in_page(function: Callable[P, R]) -> Callable[P, R]:
    """Make errors of a page's function appear in the page, as a message without a traceback.

    What a person can put right (:func:`fewshot_film.run.errors.exit_status_of`) is said as it is; anything else goes to
    the log with its traceback, and the page says that much.
    """
    import gradio

    def as_message(error: Exception) -> gradio.Error:
        if isinstance(error, gradio.Error):
            return error
        if exit_status_of(error) is None:
            log.error("the page could not do what it was asked for", exc_info=error)
            message = f"something went wrong here ({type(error).__name__}); the program's terminal says more"
        else:
            message = str(error)
        return gradio.Error(html.escape(message), print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generating(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                yield from cast(Any, function(*args, **kwargs))
            except Exception as error:
                raise as_message(error) from error

        return cast(Callable[P, R], generating)

    @functools.wraps(function)
    def returning(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise as_message(error) from error

    return returning
