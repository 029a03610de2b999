"""Decode a source once, in parallel, into an `ImageSet` that episodes are drawn from.

With a cache folder the pixels go to a file there and are memory-mapped, so that the next run, and every
worker of this one, starts at once. What may happen to it:

- the key is the source's fingerprint (file names, sizes and times, or the checksums that a zip keeps) with
  the settings: a changed image or another size is another cache;
- it is written under a temporary name and renamed when complete: a run that is killed leaves nothing that
  looks like a cache;
- two processes at once: the second waits for the first; where the file system has no locks both decode, and
  the first to finish wins.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from fewshot_film.config.preprocessing import Interpolation, Resize, least_side
from fewshot_film.data import cache
from fewshot_film.data.errors import SourceError
from fewshot_film.data.image_set import ImageSet, Pixels
from fewshot_film.data.pixels import check_settings, to_array
from fewshot_film.data.repeats import find_repeats
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import InvalidValueError, counted, listed, shown
from fewshot_film.images import MAX_PIXELS, ImageError
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores

log = logging.getLogger(__name__)

OnBad = Literal["skip", "raise"]
"""An image that cannot be decoded: left out and listed in ``ImageSet.skipped``, or an error."""

OnDuplicate = Literal["drop", "raise", "keep"]
"""An image that equals an earlier one of its class, pixel for pixel: left out and listed in
``ImageSet.duplicates``, an error, or kept (and listed)."""

MAX_PAIRS = 3
"""Pairs of equal images that are named."""

MAX_LISTED = 10
"""Files that are listed with the reason why they are not used."""

_CHUNK = 2048
_TASK = 16  # images that a thread takes at once: handing over one small image costs as much as decoding it


def decode(
    source: ImageSource,
    image_size: int = 84,
    channels: int = 3,
    cache_dir: str | Path | None = None,
    *,
    resize: Resize = "stretch",
    interpolation: Interpolation = "bilinear",
    crop: float = 1.0,
    on_bad: OnBad = "skip",
    on_duplicate: OnDuplicate = "drop",
    max_pixels: int = MAX_PIXELS,
) -> ImageSet:
    """Decode every image of a source.

    Args:
        source: the images.
        image_size: height and width to bring them to.
        channels: 3 for RGB, 1 for grey.
        cache_dir: where to keep the pixels; None keeps them in memory.
        resize: how an image becomes square, see `fewshot_film.config.preprocessing.Resize`.
        interpolation: resampling filter.
        crop: share of the square's side that is kept, from its middle.
        on_bad: what to do with an image that cannot be decoded.
        on_duplicate: what to do with an image that its class has already. Dropped by default: drawn once
            as support and once as query it would be a question with its answer. Images that are equal
            across classes are kept, listed in ``ImageSet.conflicts`` and logged, unless this is ``raise``.
        max_pixels: width times height above which an image counts as bad.

    Raises:
        ImageError: a bad image, where ``on_bad`` is ``raise``.
        SourceError: no image is left, or ``on_duplicate`` is ``raise`` and there are equal images.
        ValueError: a setting has no meaning.
    """
    check_settings(image_size, channels, resize)
    _check_choice("on_bad", on_bad, get_args(OnBad))
    _check_choice("on_duplicate", on_duplicate, get_args(OnDuplicate))
    pixels = {"image_size": image_size, "channels": channels, "resize": resize, "interpolation": interpolation}
    decoder = _Decoder(source, {**pixels, "crop": crop}, max_pixels)
    decoded = decoder.in_memory() if cache_dir is None else decoder.cached(Path(cache_dir))
    _report_bad(source, decoded.skipped, on_bad)
    return _assemble(source, decoded, on_duplicate)


class _Decoder:
    """One source with the settings that decide its pixels."""

    def __init__(self, source: ImageSource, settings: Mapping[str, Any], max_pixels: int) -> None:
        self.source = source
        self.shape = (settings["channels"], settings["image_size"], settings["image_size"])
        self.settings = settings
        self.max_pixels = max_pixels

    def in_memory(self) -> cache.Decoded:
        array = np.empty((len(self.source), *self.shape), np.uint8)
        rows = cache.Rows()
        for index, result in self.all():
            if not isinstance(result, ImageError):
                array[rows.count] = result
            rows.add(index, result)
        array = array[: rows.count]
        return rows.decoded(Pixels(array.shape, array))

    def cached(self, cache_dir: Path) -> cache.Decoded:
        how = f"{self.settings['resize']}/{self.settings['interpolation']}/{self.settings['crop']}"
        settings = f"{cache.FORMAT}/{self.source.fingerprint()}/{self.shape}/{how}/{self.max_pixels}"
        key = hashlib.sha256(settings.encode()).hexdigest()[:32]
        return cache.read_or_build(cache_dir, key, self.source, self.shape, self.all)

    def one(self, index: int) -> np.ndarray | ImageError:
        min_side = least_side(self.settings["image_size"], self.settings["crop"])
        try:
            picture = self.source.load(index, min_side=min_side, max_pixels=self.max_pixels)
            return to_array(picture, self.source.files[index], **self.settings)
        except ImageError as error:
            return error

    def several(self, indices: range) -> list[np.ndarray | ImageError]:
        """Some images in order."""
        return [self.one(index) for index in indices]

    def all(self) -> Iterator[tuple[int, np.ndarray | ImageError]]:
        """Every image in order, decoded by as many threads as there are cores (Pillow frees the GIL)."""
        from tqdm import tqdm

        count = len(self.source)
        bar = tqdm(total=count, desc=f"decoding {self.source.name}", unit="image", leave=False, disable=hides_bars())
        with bar, ThreadPoolExecutor(available_cores()) as pool:
            for start in range(0, count, _CHUNK):  # in chunks, so that results never pile up
                stop = min(start + _CHUNK, count)
                tasks = [range(first, min(first + _TASK, stop)) for first in range(start, stop, _TASK)]
                for task, results in zip(tasks, pool.map(self.several, tasks), strict=True):
                    yield from zip(task, results, strict=True)
                    bar.update(len(task))


def _assemble(source: ImageSource, decoded: cache.Decoded, on_duplicate: OnDuplicate) -> ImageSet:
    if not len(decoded.indices):
        raise SourceError(
            f"{source.name}: none of {len(source)} files is a usable image"
            + "".join(f"; {line}" for line in lines_of([*source.set_aside, *decoded.skipped]))
        )
    labels = source.labels[decoded.indices]
    lost = [f"'{source.class_names[number]}'" for number in np.setdiff1d(range(len(source.class_names)), labels)]
    if lost:
        log.warning("%s: %s without any usable image: %s", source.name, counted(len(lost), "class"), listed(lost))
    files = [source.files[index] for index in decoded.indices]
    repeats = find_repeats(labels, decoded.digests)
    duplicates = [(files[row], files[first]) for row, first in repeats.within]
    conflicts = [(files[row], files[first]) for row, first in repeats.across]
    _report_repeats(source, duplicates, conflicts, on_duplicate)
    kept = np.arange(len(files))
    if on_duplicate == "drop":
        kept = np.setdiff1d(kept, [row for row, _ in repeats.within])
    return ImageSet(
        source.name,
        decoded.pixels,
        source.class_names,
        labels[kept],
        kept,
        [files[row] for row in kept],
        decoded.digests[kept],
        skipped=(*source.set_aside, *decoded.skipped),
        duplicates=duplicates,
        conflicts=conflicts,
        ordered=source.ordered,
        groups=source.groups,
    )


def lines_of(skipped: Sequence[tuple[str, str]], most: int = MAX_LISTED) -> list[str]:
    """One line per file with its own reason; after the first ``most``, one that says how many are left."""
    lines = [f"{file}: {reason}" for file, reason in skipped[:most]]
    return [*lines, f"... and {len(skipped) - most} more"] if len(skipped) > most else lines


def _report_bad(source: ImageSource, skipped: list[tuple[str, str]], on_bad: OnBad) -> None:
    if skipped and on_bad == "raise":
        raise ImageError(*skipped[0])
    if source.set_aside:
        lines = "\n  ".join(lines_of(source.set_aside))
        log.warning("%s: not used (%d):\n  %s", source.name, len(source.set_aside), lines)
    if skipped:
        lines = "\n  ".join(lines_of(skipped))
        log.warning("%s: skipped %d of %d images:\n  %s", source.name, len(skipped), len(source), lines)


def _report_repeats(
    source: ImageSource,
    duplicates: list[tuple[str, str]],
    conflicts: list[tuple[str, str]],
    on_duplicate: OnDuplicate,
) -> None:
    for pairs, where in ((duplicates, "in the same class"), (conflicts, "in another class")):
        if not pairs:
            continue
        equal = f"{counted(len(pairs), 'image')} {'equals' if len(pairs) == 1 else 'equal'} another one {where}"
        first = listed((f"'{file}' and '{other}'" for file, other in pairs), MAX_PAIRS)
        if on_duplicate == "raise":
            raise SourceError(
                f"{source.name}: {equal}: {first}; remove one of each pair, or pass on_duplicate='drop' or 'keep'"
            )
        if pairs is conflicts:
            what = "kept: remove the one whose class is wrong"
        else:
            what = "dropped" if on_duplicate == "drop" else "kept"
        log.warning("%s: %s: %s (%s)", source.name, equal, first, what)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidValueError(f"{name} must be one of {', '.join(allowed)}, got {shown(value)}")
