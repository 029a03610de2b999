"""Shared by the tabs of the browser app: limits on uploads, each visitor's data, errors and events."""

from __future__ import annotations

import functools
import html
import inspect
import logging
import shutil
import tempfile
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from PIL import Image

from fewshot_film.errors import UserError, exit_status_of
from fewshot_film.images import JPEG_FACTOR

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

EVERY: Mapping[str, Any] = {"trigger_mode": "multiple"}
"""For Gradio events that must all be handled: by default, those that arrive while another is running are dropped."""


RETURNING = 20.0
"""Seconds for which the data of a closed page is kept."""
_LEAVING = 3.0
"""Seconds within which the server hears that a page was left; its successor may be there before."""


class UploadError(UserError, ValueError):
    """An upload that is too large, or not what was asked for."""


@dataclass(frozen=True)
class Limits:
    """How much a visitor may upload."""

    file_bytes: int = 20 * 2**20
    """Maximum size of an image file."""
    archive_bytes: int = 200 * 2**20
    """Maximum size of a zip file."""
    pixels: int = 50_000_000
    """Maximum width times height of an image; a JPEG may have more, see `fewshot_film.images.JPEG_FACTOR`."""
    files: int = 200
    """Maximum number of files in one upload."""

    def check_count(self, count: int) -> None:
        """Refuse an upload of too many files.

        Raises:
            UploadError: says how many are allowed.
        """
        if count > self.files:
            raise UploadError(f"{count:,} files at once; expected at most {self.files:,}: upload them in several parts")

    def check_image(self, path: Path) -> None:
        """Refuse an image by its size in bytes and pixels, before it is decoded.

        Raises:
            UploadError: it is too large. A file that is no image passes: the error comes from its reader.
        """
        self._check_bytes(path, self.file_bytes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path) as image:
                    width, height = image.size
                    most = self.pixels * (JPEG_FACTOR if image.format in ("JPEG", "MPO") else 1)
        except Image.DecompressionBombError:
            width = height = most = self.pixels
        except Exception:  # damaged files make Pillow's plugins raise errors of many kinds
            return
        if width * height > most:
            raise UploadError(f"{path.name} has more than {most / 1e6:,.0f} million pixels; resize it first")

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
    """The data of every open page, separate from all others and deleted when the page is closed.

    Args:
        folder: where every visitor gets a separate folder.
        most: maximum number of visitors; with one more, the least recently used session is dropped.
    """

    def __init__(self, folder: Path, most: int = 50) -> None:
        self.folder = folder
        self.most = most
        self._held: OrderedDict[str, tuple[Path, dict[type, Any]]] = OrderedDict()
        self._left: dict[str, tuple[Path, dict[type, Any]]] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, visitor: str | None, kind: type[T], make: Callable[[Path], T]) -> T:
        """A visitor's data of one kind, created on first use.

        Args:
            visitor: a name that is unique among open pages.
            kind: class of the data.
            make: creates it, given the visitor's folder.
        """
        key = visitor or ""
        with self._lock:
            if key not in self._held:
                while len(self._held) >= self.most:
                    idle, entry = self._held.popitem(last=False)
                    self._left[idle] = entry
                    self._delete(idle)
                self._held[key] = (Path(tempfile.mkdtemp(dir=self.folder)), {})
            self._held.move_to_end(key)
            folder, things = self._held[key]
            if kind not in things:
                things[kind] = make(folder)
            return cast(T, things[kind])

    def held(self, visitor: str | None, kind: type[T]) -> T | None:
        """A visitor's data of one kind, or None."""
        with self._lock:
            _, things = self._held.get(visitor or "", (None, {}))
            return cast("T | None", things.get(kind))

    def leave(self, visitor: str | None) -> None:
        """Drop a visitor's data and delete its files, some seconds later: a reload may bring them back.

        Args:
            visitor: whose page was closed; see :data:`RETURNING` and :meth:`resume`.
        """
        with self._lock:
            entry = self._held.pop(visitor or "", None)
            if entry is None:
                return
            self._left[visitor or ""] = entry
        timer = threading.Timer(RETURNING, self._delete, [visitor or ""])
        timer.daemon = True
        timer.start()

    def resume(self, visitor: str | None, earlier: str) -> None:
        """Give a visitor back what it had before it reloaded the page.

        Args:
            visitor: its name now.
            earlier: its name before. One that still has the page open keeps everything: that page was copied, not left.
        """
        end = time.monotonic() + _LEAVING
        while earlier in self._held and time.monotonic() < end:
            time.sleep(0.05)
        with self._lock:
            if earlier in self._left and visitor:
                self.leave(visitor)  # what the page has made while it was loading
                self._held[visitor] = self._left.pop(earlier)

    def _delete(self, visitor: str) -> None:
        with self._lock:
            folder, _ = self._left.pop(visitor, (None, {}))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Page:
    """What all tabs share."""

    limits: Limits
    """Limits on uploads."""
    visitors: Visitors
    """Visitors who have the page open."""
    models: tuple[str, ...]
    """Few-shot models; the first is the one that is taught."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda or mps."""
    reasoner: str = "clevr-small"
    """The model that answers questions."""
    folder: str = ""
    """Folder or zip file with one subfolder of images per class, which a button loads; empty: none."""


def in_page(function: Callable[P, R]) -> Callable[P, R]:
    """Show errors of a function in the page, as messages without a traceback.

    User-fixable errors (:func:`fewshot_film.errors.exit_status_of`) are shown as they are; anything else is logged
    with its traceback, and the page refers to the log.
    """
    import gradio

    def as_message(error: Exception) -> gradio.Error:
        if isinstance(error, gradio.Error):
            return error
        if exit_status_of(error) is None:
            log.error("unexpected error in the browser app", exc_info=error)
            message = f"unexpected error ({type(error).__name__}); see the terminal for details"
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
