"""Shared by the tabs of the browser app: limits on uploads, each visitor's data, errors and events."""

from __future__ import annotations

import functools
import html
import inspect
import logging
import os
import re
import shutil
import struct
import tempfile
import threading
import time
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar, cast

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
_ENTRY = 160
"""Bytes of a zip's directory that a file takes, as a rule: 46, its name, and times."""
_BLOCK = 4096
"""Bytes that even an empty file takes of a disk."""
_FOLDERS = re.compile(r"(?<![\w/.:<])(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"<>|*?]+)+[/\\](?=[^/\\\s'\"])")
"""The folders of an absolute path: all of it but the last name."""


class UploadError(UserError, ValueError):
    """An upload that is too large, or not what was asked for."""


class ClosedPageError(UserError, LookupError):
    """Something was asked for that only an open page has."""


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
    members: int = 20_000
    """Maximum number of files in a zip."""
    visitor_bytes: int = 2 * 2**30
    """Maximum that the files of one visitor may take of the disk."""
    total_bytes: int = 8 * 2**30
    """Maximum that the files of all visitors may take of the disk."""

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
        self.check_pixels(path, path.name)

    def check_pixels(self, file: Path | IO[bytes], name: str) -> None:
        """Refuse an image by its size in pixels, before it is decoded.

        Args:
            file: path or open file.
            name: for the message.

        Raises:
            UploadError: as of :meth:`check_image`.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(file) as image:
                    width, height = image.size
                    most = self.pixels * (JPEG_FACTOR if image.format in ("JPEG", "MPO") else 1)
        except Image.DecompressionBombError:
            width = height = most = self.pixels
        except Exception:  # damaged files make Pillow's plugins raise errors of many kinds
            return
        if width * height > most:
            raise UploadError(f"{name} has more than {most / 1e6:,.0f} million pixels; resize it first")

    def check_archive(self, path: Path) -> None:
        """Refuse a zip file by its size and by the number of its members, before its directory is read.

        Raises:
            UploadError: it is too large, or has too many members. A file that is no zip passes: the error comes from
                its reader.
        """
        self._check_bytes(path, self.archive_bytes)
        count, length = _directory_of(path)
        if count > self.members or length > self.members * _ENTRY:
            raise UploadError(
                f"{path.name} has {max(count, length // _ENTRY):,} files or more; expected at most {self.members:,}: "
                "zip fewer images"
            )

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
        self.folder = folder.resolve()
        self.most = most
        self._held: OrderedDict[str, tuple[Path, dict[type, Any]]] = OrderedDict()
        self._left: dict[str, tuple[Path, dict[type, Any]]] = {}
        self._open: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def opened(self, visitor: str) -> Iterator[None]:
        """A visitor's page is open within the block; what it leaves behind is dropped at the end.

        Args:
            visitor: a name that is unique among open pages.
        """
        with self._lock:
            self._open[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[visitor] -= 1
                is_left = self._open[visitor] <= 0
                if is_left:
                    del self._open[visitor]
            if is_left:
                self.leave(visitor)

    def is_open(self, visitor: str | None) -> bool:
        """Whether a visitor has the page open."""
        return bool(visitor) and self._open[visitor or ""] > 0

    def of(self, visitor: str | None, kind: type[T], make: Callable[[Path], T]) -> T:
        """A visitor's data of one kind, created on first use.

        Args:
            visitor: a name that is unique among open pages.
            kind: class of the data.
            make: creates it, given the visitor's folder.

        Raises:
            ClosedPageError: it has no name: nothing is shared among those without a page.
        """
        with self._lock:
            folder, things = self._entry(visitor)
            if kind not in things:
                things[kind] = make(folder)
            return cast(T, things[kind])

    def held(self, visitor: str | None, kind: type[T]) -> T | None:
        """A visitor's data of one kind, or None."""
        with self._lock:
            _, things = self._held.get(visitor or "", (None, {}))
            return cast("T | None", things.get(kind))

    def reserve(self, visitor: str, count: int, limits: Limits) -> Path:
        """Set bytes of the disk aside for an upload, until :meth:`release`; returns the visitor's folder.

        Args:
            visitor: who has the page open.
            count: bytes of the upload.
            limits: of the disk.

        Raises:
            ClosedPageError: as of :meth:`of`.
            UploadError: the visitor, or all together, would have more than the limits allow.
        """
        with self._lock:
            folder, _ = self._entry(visitor)
        own, everything = disk_use(folder), disk_use(self.folder)
        with self._lock:
            mine = own + self._reserved[visitor]
            if mine + count > limits.visitor_bytes:
                raise UploadError(
                    f"{count / 2**20:,.0f} MiB more than the {mine / 2**20:,.0f} MiB that this page holds; expected at "
                    f"most {limits.visitor_bytes / 2**20:,.0f} together: upload less, or reload the page"
                )
            if everything + self._reserved.total() + count > limits.total_bytes:
                raise UploadError("the server's space for uploads is used up; try again later")
            self._reserved[visitor] += count
            return folder

    def release(self, visitor: str, count: int) -> None:
        """Give back what :meth:`reserve` set aside."""
        with self._lock:
            self._reserved[visitor] -= count
            if self._reserved[visitor] <= 0:
                del self._reserved[visitor]

    def may_read(self, visitor: str, path: Path) -> bool:
        """Whether a file is the visitor's own, or one that the page itself has made for all.

        Args:
            visitor: who asks for it.
            path: of the file, resolved.
        """
        with self._lock:
            own, _ = self._held.get(visitor, (None, {}))
            others = [folder for held in (self._held, self._left) for folder, _ in held.values() if folder != own]
        return path.is_relative_to(self.folder) and not any(path.is_relative_to(folder) for folder in others)

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

    def _entry(self, visitor: str | None) -> tuple[Path, dict[type, Any]]:
        if not visitor:
            raise ClosedPageError("the page is not open any more; reload it")
        if visitor not in self._held:
            while len(self._held) >= self.most:
                idle, entry = self._held.popitem(last=False)
                self._left[idle] = entry
                self._delete(idle)
            self._held[visitor] = (Path(tempfile.mkdtemp(dir=self.folder)), {})
        self._held.move_to_end(visitor)
        return self._held[visitor]

    def _delete(self, visitor: str) -> None:
        with self._lock:
            folder, _ = self._left.pop(visitor, (None, {}))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _directory_of(path: Path) -> tuple[int, int]:
    """How many members a zip says that it has, and the bytes of its directory; 0 where it is no zip.

    Source: APPNOTE.TXT of PKWARE, sections 4.3.14 to 4.3.16; the last 64 KiB may be a comment.
    """
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - 2**16 - 22 - 76)
        file.seek(start)
        end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 22:
        return 0, 0
    count, length = struct.unpack_from("<HL", end, place + 10)
    large = place - 76
    if large >= 0 and end[place - 20 : place - 16] == b"PK\6\7" and end[large : large + 4] == b"PK\6\6":
        count, length = struct.unpack_from("<QQ", end, large + 32)
    return count, length


def disk_use(folder: Path) -> int:
    """Bytes that everything below a folder takes of the disk."""
    total = 0
    for root, folders, files in os.walk(folder):  # passes over what is deleted meanwhile
        total += _BLOCK * len(folders)
        for name in files:
            with suppress(FileNotFoundError):
                total += max(_BLOCK, Path(root, name).lstat().st_size)
    return total


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


def bars_html(shares: Mapping[str, float], rest: str = "") -> str:
    """Probabilities as a list of bars; names are shown as they were typed.

    Args:
        shares: probabilities by name, in the order in which they are shown.
        rest: a line below them.
    """
    rows = "".join(_bar(html.escape(name), 100 * share) for name, share in shares.items())
    return f'<ul class="bars">{rows}{f"<li>{html.escape(rest)}</li>" if rest else ""}</ul>'


def _bar(name: str, percent: float) -> str:
    return (
        f'<li><span class="name">{name}</span> <span class="share">{percent:.1f} %</span>'
        f'<meter min="0" max="100" value="{percent:.1f}" aria-label="{name}"></meter></li>'
    )


def without_folders(text: str) -> str:
    """A message without the folders that it names: a visitor knows files by name, and others' folders are private."""
    return _FOLDERS.sub("", text)


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
            message = without_folders(str(error))
        return gradio.Error(html.escape(message), print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generating(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                yield from cast(Any, function(*args, **kwargs))
            except Exception as error:
                raise as_message(error) from error

        return cast(Callable[P, R], generating)

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def generating_in_turns(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                async for found in cast(Any, function(*args, **kwargs)):
                    yield found
            except Exception as error:
                raise as_message(error) from error

        return cast(Callable[P, R], generating_in_turns)

    @functools.wraps(function)
    def returning(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise as_message(error) from error

    return returning
