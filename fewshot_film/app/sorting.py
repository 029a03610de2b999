"""A whole folder of images: classified, written into a table, and sorted into one folder per class."""

from __future__ import annotations

import itertools
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from fewshot_film.app.groups import pixels
from fewshot_film.app.images import PageImage
from fewshot_film.app.taught import TeachingError
from fewshot_film.app.teaching import Teaching
from fewshot_film.commands.predictions import Prediction, as_csv, summarise
from fewshot_film.commands.queries import Queries
from fewshot_film.errors import MissingFileError
from fewshot_film.images import ImageError
from fewshot_film.page import Limits, UploadError

MAX_SORTED = 5000
"""Most images of one folder."""
_BATCH, _STEP = 16, 1.0
"""Most images that are read before they are classified, and the seconds after which no more are read."""
_NO_FILE_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^\.+|[. ]+$')
"""What the name of a folder may not have on one system or another."""

Read = Callable[[], bytes]


@dataclass(frozen=True)
class Sorting:
    """How far a folder has been sorted."""

    done: int
    """Images looked at."""
    total: int
    """Images in the folder."""
    predictions: tuple[Prediction, ...]
    """What was found out about each that could be read."""
    troubles: tuple[str, ...]
    """What is wrong with the others."""
    table: Path | None = None
    """All predictions as a CSV file, at the end."""
    archive: Path | None = None
    """A zip file with the images in one folder per class, at the end."""


def sort_images(teaching: Teaching, files: Sequence[Path]) -> Iterator[Sorting]:
    """Classify images, and sort them into one folder per class.

    Args:
        teaching: the visitor's classes.
        files: images, or one zip file with images at any depth.

    Raises:
        UploadError: the files are too large or too many.
        TeachingError: there is no classifier yet, or too many images.
        FileNotFoundError: the zip file holds no images.
    """
    sources = _sources(teaching, files)
    predictions: list[Prediction] = []
    troubles: list[str] = []
    archive = teaching.folder / "sorted.zip"
    yield Sorting(0, len(sources), (), ())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:  # images are compressed already
        named = iter(sources.items())
        while len(predictions) + len(troubles) < len(sources):
            images, contents = _read(teaching, named, troubles)
            found = _classify(teaching, images)
            for one in found:
                target.writestr(f"{folder_name(one.label)}/{one.file}", contents[one.file])
            predictions += found
            done = len(predictions) + len(troubles)
            yield Sorting(done, len(sources), tuple(predictions), tuple(troubles))
    table = teaching.folder / "predictions.csv"
    table.write_text(as_csv(predictions), encoding="utf-8")
    yield Sorting(len(sources), len(sources), tuple(predictions), tuple(troubles), table, archive)


def _sources(teaching: Teaching, files: Sequence[Path]) -> dict[str, Read]:
    """What reads each image, by its name."""
    if len(files) == 1 and zipfile.is_zipfile(files[0]):
        teaching.limits.check_archive(files[0])
        queries = Queries(files[0])
        queries.store.max_bytes = teaching.limits.file_bytes
        sources: dict[str, Read] = {name: _reader(queries, name) for name in queries.names}
    else:
        teaching.limits.check_count(len(files))
        sources = {}
        for path in files:
            sources[_unused(path.name, sources)] = partial(_content, path, teaching.limits)
    if len(sources) > MAX_SORTED:
        raise TeachingError(
            f"{len(sources):,} images; the page sorts at most {MAX_SORTED:,}: use `fewshot-film classify` for more"
        )
    if not sources:
        raise MissingFileError("expected images, or a zip file that holds some")
    return sources


def _content(path: Path, limits: Limits) -> bytes:
    limits.check_image(path)
    return path.read_bytes()


def _reader(queries: Queries, name: str) -> Read:
    return lambda: queries.store.read(name)


def _read(
    teaching: Teaching, named: Iterator[tuple[str, Read]], troubles: list[str]
) -> tuple[list[PageImage], dict[str, bytes]]:
    """The next images that can be read, and their files by name: as many as take about a second."""
    images: list[PageImage] = []
    contents: dict[str, bytes] = {}
    end = time.monotonic() + _STEP
    for name, read in itertools.islice(named, _BATCH):
        try:
            content = read()
            images.append(teaching.reader.image(content, name))
            contents[name] = content
        except (ImageError, UploadError, OSError) as error:
            troubles.append(f"{name}: {error}" if name not in str(error) else str(error))
        if time.monotonic() > end:
            break
    return images, contents


def _classify(teaching: Teaching, images: Sequence[PageImage]) -> list[Prediction]:
    if not images:
        return []
    answers, names = teaching.classify(pixels(images))
    return summarise([image.name for image in images], answers, names)


def folder_name(name: str) -> str:
    """The name of a class as that of a folder on any system."""
    return _NO_FILE_NAME.sub("_", name) or "_"


def _unused(name: str, used: dict[str, Read]) -> str:
    path, number = PurePosixPath(name), 1
    while name in used:
        number += 1
        name = f"{path.stem} ({number}){path.suffix}"
    return name
