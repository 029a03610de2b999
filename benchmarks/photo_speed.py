"""What a classifier of photographs costs, from files of 12 megapixels to names, in float32 and in int8 side by side.

    python -m benchmarks.photo_speed

``FewShotClassifier("photos-small")`` on JPEGs that are made for it, in a temporary folder: 5 classes of 5 photos
as cameras of phones take them, and 1,000 to be named. Seconds by the clock on two threads, the least of several rounds;
float32 and int8 take turns, so that what else the machine does disturbs both alike. The bars stand beside the values:
they are meant for a machine that does nothing else.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import in_turns
from fewshot_film.classifier import FewShotClassifier, read_images
from fewshot_film.classifier.fitted import Precision
from fewshot_film.commands.classify import run as classify
from fewshot_film.config.commands import ClassifyConfig
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result

Values = dict[str, float]
"""By precision; "any" where it makes no difference."""
Classifiers = dict[str, FewShotClassifier]
RESULTS = Path(__file__).parent / "results"
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
CAMERA, SHARED = (4032, 3024), (1600, 1200)
"""Sizes of photos: as a camera of 12 megapixels takes them, and as they are sent on."""
BARS: dict[str, tuple[str, float]] = {
    "fit to 25 files, s": ("<", 1.5),
    "network, one photo, ms": ("<", 15),
    "files of 2 megapixels, a second": (">=", 100),
    "files of 12 megapixels, a second": (">=", 100),
    "classify, files of 2 megapixels, a second": (">=", 100),
    "partial_fit of one more file, ms": ("<", 100),
    "partial_fit of one more decoded photo, ms": ("<", 100),
    "int8: times as fast, 32 photos": (">=", 2),
    "int8: times as fast, one photo": (">=", 2),
}
"""What each value is to be."""


@dataclass(frozen=True)
class PhotoSpeedConfig:
    """What is measured."""

    model: str = "photos-small"
    """Classifier; ``efficientnet-lite0`` is the same network without FiLM."""
    rounds: int = 7
    """Repetitions of every measurement but the folders."""
    threads: int = 2
    """Threads of PyTorch."""
    files: int = 1000
    """Photos of 2 megapixels to be named; of 12 megapixels it is a quarter as many."""
    camera: tuple[int, int] = CAMERA
    """Width and height of the large photos."""
    shared: tuple[int, int] = SHARED
    """Width and height of the small ones."""
    out: Path = field(default=RESULTS / "photo_speed.json")
    """Result file."""


def photo(rng: np.random.Generator, size: tuple[int, int], quality: int = 90) -> bytes:
    """A JPEG with structure at all scales and a sensor's noise: about 2.5 bits per pixel, as cameras write."""
    width, height = size
    quarter = (max(width // 4, 2), max(height // 4, 2))  # nothing is finer, but the noise
    scene = np.full((quarter[1], quarter[0], 3), 128, np.float32)
    for octave in range(2, 10):
        coarse = rng.normal(size=(max(height >> octave, 2), max(width >> octave, 2), 3)).astype(np.float32)
        coarse = (127.5 + 40 * coarse).clip(0, 255).astype(np.uint8)
        fine = Image.fromarray(coarse).resize(quarter, Image.Resampling.BILINEAR)
        scene += (np.asarray(fine, np.float32) - 127.5) * (0.1 * octave)
    large = Image.fromarray(scene.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(large) + 6 * rng.standard_normal((height, width, 1), np.float32)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[274] = int(rng.choice([1, 3, 6, 8]))  # how the camera was held
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality, exif=exif)
    return file.getvalue()


def write_photos(folder: Path, size: tuple[int, int], shot: int, classes: int = 5) -> list[Path]:
    """Photos of some classes, one subfolder each."""
    paths = []
    for label in range(classes):
        (folder / f"class {label}").mkdir(parents=True)
        for number in range(shot):
            paths.append(folder / f"class {label}" / f"{number}.jpg")
            paths[-1].write_bytes(photo(np.random.default_rng([label, number]), size))
    return paths


def repeated(paths: list[Path], count: int, folder: Path) -> list[Path]:
    """As many files as asked for, links to the given ones in turns."""
    folder.mkdir()
    found = [folder / f"{index}.jpg" for index in range(count)]
    for index, path in enumerate(found):
        path.hardlink_to(paths[index % len(paths)])
    return found


def seconds(work: Callable[[FewShotClassifier], Any], classifiers: Classifiers, rounds: int) -> Values:
    """The least time of all rounds by precision; in a round the classifiers take turns."""
    sides = {precision: partial(work, classifier) for precision, classifier in classifiers.items()}
    return {side: min(times) for side, times in in_turns(sides, rounds, clock=time.perf_counter).items()}


def measure(config: PhotoSpeedConfig, folder: Path) -> dict[str, Values]:
    """All values, by name and precision."""
    support, more = write_photos(folder / "support", config.camera, shot=5), folder / "more.jpg"
    more.write_bytes(photo(np.random.default_rng(5), config.camera))
    labels = [path.parent.name for path in support]
    small = repeated(write_photos(folder / "small", config.shared, shot=5), config.files, folder / "shared")
    large = repeated(support, -(-config.files // 4), folder / "camera")
    ours: Classifiers = {each: FewShotClassifier(config.model, device="cpu", precision=each) for each in PRECISIONS}
    pixels = ours["float32"].preprocessing.pixels
    time_of = partial(seconds, classifiers=ours, rounds=config.rounds)
    fit = time_of(lambda classifier: classifier.fit(support, labels))
    images = torch.cat([ours["float32"].support()[0]] * 2)[:32]
    answers = [classifier.answer(images) for classifier in ours.values()]
    return {
        "megabytes of a file of 12 megapixels": {"any": support[0].stat().st_size / 1e6},
        "decoding 25 files, s": {"any": time_of(lambda _: read_images(support, **pixels))["float32"]},
        "decoding one file, ms": in_ms({"any": time_of(lambda _: read_images(more, **pixels))["float32"]}),
        "fit to 25 files, s": fit,
        "network, one photo, ms": in_ms(one := time_of(lambda classifier: classifier.predict_proba(images[:1]))),
        "network, 32 photos, ms": in_ms(many := time_of(lambda classifier: classifier.predict_proba(images))),
        "one file, ms": in_ms(time_of(lambda classifier: classifier.predict_proba(more))),
        "partial_fit of one more file, ms": in_ms(
            time_of(lambda classifier: copy(classifier).partial_fit(more, labels[:1]))
        ),
        "partial_fit of one more decoded photo, ms": in_ms(
            time_of(lambda classifier: copy(classifier).partial_fit(images[:1], labels[:1]))
        ),
        "int8: times as fast, one photo": {"int8": one["float32"] / one["int8"]},
        "int8: times as fast, 32 photos": {"int8": many["float32"] / many["int8"]},
        "int8: share of the same names": {"int8": float(np.mean(answers[0].labels == answers[1].labels))},
        "decoding files of 2 megapixels, a second": decoding_rate(small, pixels),
        "decoding files of 12 megapixels, a second": decoding_rate(large, pixels),
        "network alone, a second": {side: len(images) / value for side, value in many.items()},
        "files of 2 megapixels, a second": rates(ours, small),
        "files of 12 megapixels, a second": rates(ours, large),
        "classify, files of 2 megapixels, a second": commanded(config, folder),
    }


def in_ms(values: Values) -> Values:
    """Seconds in milliseconds."""
    return {side: 1000 * value for side, value in values.items()}


def rates(classifiers: Classifiers, paths: list[Path]) -> Values:
    """Files that ``predict`` names in a second, once."""
    times = seconds(lambda classifier: classifier.predict(paths), classifiers, 1)
    return {side: len(paths) / value for side, value in times.items()}


def decoding_rate(paths: list[Path], pixels: dict[str, Any]) -> Values:
    """Files that are read in a second, once, as ``predict`` reads them; no network sees them."""
    start = time.perf_counter()
    read_images(paths, **pixels)
    return {"any": len(paths) / (time.perf_counter() - start)}


def commanded(config: PhotoSpeedConfig, folder: Path) -> Values:
    """Files that ``fewshot-film classify`` names in a second, once; loading and fitting are part of it."""
    found: Values = {}
    for precision in PRECISIONS:
        settings = ClassifyConfig(
            str(folder / "support"), str(folder / "shared"), config.model, precision=precision, device="cpu"
        )
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            classify(settings)
        found[precision] = config.files / (time.perf_counter() - start)
    return found


def with_bars(values: dict[str, Values]) -> dict[str, dict[str, Any]]:
    """What was measured, what it was to be, and whether it is."""
    found: dict[str, dict[str, Any]] = {}
    for name, by_precision in values.items():
        found[name] = dict(by_precision)
        if name in BARS:
            sign, bar = BARS[name]
            reached = {side: value < bar if sign == "<" else value >= bar for side, value in by_precision.items()}
            found[name] |= {"bar": f"{sign} {bar:g}", "reached": reached}
    return found


def run(config: PhotoSpeedConfig) -> None:
    """Measure, write and print."""
    torch.set_num_threads(config.threads)
    with tempfile.TemporaryDirectory() as folder:
        results = with_bars(measure(config, Path(folder)))
    write_result(config.out, config=config, seed=0, results=results)
    print(f"{'':50}{'float32':>10}{'int8':>10}  bar")
    for name, found in results.items():
        cells = [found.get(side, found.get("any") if side == "float32" else None) for side in PRECISIONS]
        shown = "".join(f"{'' if value is None else format(value, '.3g'):>10}" for value in cells)
        print(f"{name:50}{shown}  {found.get('bar', '')}")


if __name__ == "__main__":
    run(parse("python -m benchmarks.photo_speed", PhotoSpeedConfig, sys.argv[1:], description=__doc__ or ""))
