"""How many images that are no CLEVR scenes a model warns of, and how many CLEVR scenes it warns of by mistake.

The description of the training images that is in a saved model (``clevr-film calibrate``) is made from generated images
alone; no real image takes part, neither in it nor in its threshold.

    python -m benchmarks.clevr_familiarity --clevr [CLEVR_v1.0/images/val] --others [photos.zip] --held_out [more.zip]

``others`` are sets that were looked at while the statistics were chosen, ``held_out`` such as were not.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clevr.reasoning import load
from clevr.reasoning.familiarity import Familiarity
from clevr.world.placement import Scenes
from clevr.world.render import render
from fewshot_film.errors import ConfigError
from fewshot_film.images import is_image_name, open_image, read_image, upright
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.seeding import numpy_generator
from fewshot_film.run.settings import Settings, at_least

SIZES = ((128, 96), (320, 240), (480, 320))
"""Of the generated scenes."""
Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class FamiliarityConfig(Settings):
    """Which model, and which images."""

    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    clevr: tuple[Path, ...] = ()
    """Folders or zips of CLEVR's own images."""
    other_clevr: tuple[Path, ...] = ()
    """Folders or zips of CLEVR-like scenes of others; counted apart."""
    others: tuple[Path, ...] = ()
    """Folders or zips of other images, which were looked at while the statistics were chosen."""
    held_out: tuple[Path, ...] = ()
    """Folders or zips of other images, which were not."""
    limit: Annotated[int, at_least(1)] = 1000
    """At most so many images of each set, spread evenly over it."""
    generated: tuple[Path, ...] = ()
    """Folders or zips of generated scenes; empty: they are drawn here, in three sizes."""
    scenes: Annotated[int, at_least(1)] = 400
    """Scenes of each size that are drawn."""
    changed: Annotated[int, at_least(0)] = 100
    """At most so many scenes of each set are also measured as JPEGs, at half the size, and cut."""
    synthetic: Annotated[int, at_least(0)] = 200
    """Images of each kind of noise, blanks and drawings."""
    seed: Annotated[int, at_least(0)] = 20
    """Of scenes and synthetic images."""
    out: Path = Path("benchmarks/results/clevr_ood.json")
    """Result file."""


def run(config: FamiliarityConfig) -> None:
    """Measure, print and write."""
    familiarity = load(config.model).familiarity
    if familiarity is None:
        raise ConfigError(f"{config.model} does not know its training images; run `clevr-film calibrate` on it")
    results: dict[str, Any] = {"threshold": familiarity.threshold, "sets": {}}
    for group, name, images in _sets(config):
        entry = {"group": group, **measure(familiarity, images)}
        results["sets"][name] = entry
        print(f"{group:15} {name:32} {entry['warned']:5} of {entry['count']:5}  {entry['warned_percent']:6.2f} %")
    results["groups"] = groups(results["sets"].values())
    for name, entry in results["groups"].items():
        print(f"{name:48} {entry['warned']:5} of {entry['count']:5}  {entry['warned_percent']:6.2f} %")
    write_result(config.out, config=config, seed=config.seed, results=results)


def measure(familiarity: Familiarity, images: Iterable[Image.Image]) -> dict[str, Any]:
    """Warnings about some images: all, those by the statistics alone, and the images' distances."""
    warned, distances = 0, []
    for image in images:
        distances.append(familiarity.distance(image))
        warned += familiarity.has_unusual_shape(image) or distances[-1] > familiarity.threshold
    values = np.array(distances)
    return {
        "count": len(values),
        "warned": warned,
        "warned_percent": round(100 * warned / len(values), 2),
        "by_statistics_percent": round(100 * float((values > familiarity.threshold).mean()), 2),
        "distance": {str(share): round(float(np.quantile(values, share)), 3) for share in (0, 0.05, 0.5, 0.95, 1)},
    }


def groups(entries: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sums over the sets of each group."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        total = found.setdefault(entry["group"], {"count": 0, "warned": 0})
        total["count"] += entry["count"]
        total["warned"] += entry["warned"]
        total["warned_percent"] = round(100 * total["warned"] / total["count"], 2)
    return found


def _sets(config: FamiliarityConfig) -> Iterator[tuple[str, str, Iterable[Image.Image]]]:
    """Group, name and images of every set."""
    if config.generated:
        scenes = {path.stem: list(read_images(path, config.limit)) for path in config.generated}
    else:
        scenes = {f"{width}x{height}": _scenes(config, width, height) for width, height in SIZES}
    real = {path.stem: list(read_images(path, config.limit)) for path in config.clevr}
    like = {path.stem: list(read_images(path, config.limit)) for path in config.other_clevr}
    for group, sets in (("generated", scenes), ("CLEVR", real), ("CLEVR-like", like)):
        for name, images in sets.items():
            yield group, name, images
            for change, do in CHANGES.items():
                yield f"{group}, changed", f"{name}, {change}", map(do, _spread(images, config.changed))
    for group, paths in (("others", config.others), ("held out", config.held_out)):
        for path in paths:
            yield group, path.stem, read_images(path, config.limit)
    for name, draw in SYNTHETIC.items():
        rng = numpy_generator(config.seed, name)
        yield "synthetic", name, (_to_image(draw, rng, number) for number in range(config.synthetic))


def read_images(path: Path, limit: int) -> Iterator[Image.Image]:
    """Images below a folder or in a zip, in RGB, spread evenly if there are more than ``limit``."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if is_image_name(file.name))
        for file in _spread(files, limit):
            yield upright(read_image(file), str(file))
        return
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if is_image_name(name))
        for name in _spread(names, limit):
            yield upright(open_image(archive.read(name), name), name)


def _spread(items: Sequence[Any], limit: int) -> list[Any]:
    return [items[number] for number in np.unique(np.linspace(0, len(items) - 1, min(limit, len(items))).astype(int))]


def _scenes(config: FamiliarityConfig, width: int, height: int) -> list[Image.Image]:
    world = Scenes(config.seed, "familiarity", width=width, height=height)
    images: list[Image.Image] = []
    for first in range(0, config.scenes, 20):
        scenes = world.batch(range(first, min(first + 20, config.scenes)))
        images += [Image.fromarray(one) for one in render(scenes, width, height).permute(0, 2, 3, 1).numpy()]
    return images


def _jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


def _half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def _cut(image: Image.Image) -> Image.Image:
    columns, rows = image.width // 20, image.height // 20
    return image.crop((columns, rows, image.width - columns, image.height - rows))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as a JPEG of quality 75": _jpeg,
    "at half the size": _half,
    "with 5 % cut off on each side": _cut,
}


# synthetic images, as (height, width, 1 or 3) levels


def _uniform(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return rng.integers(0, 256, (height, width, 3)).astype(np.float64)


def _gaussian(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return rng.normal(rng.uniform(60, 200), rng.uniform(8, 60), (height, width, 3))


def _grey_gaussian(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return rng.normal(rng.uniform(60, 200), rng.uniform(8, 60), (height, width, 1))


def _coloured(rng: np.random.Generator, width: int, height: int, channels: int = 3) -> Pixels:
    """Noise whose amplitude falls with a power of its frequency."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    amplitude = np.maximum(frequency, 1 / max(width, height)) ** -rng.uniform(0.5, 2)
    spectra = np.fft.fft2(rng.normal(size=(channels, height, width))) * amplitude
    noise: Pixels = np.real(np.fft.ifft2(spectra)).transpose(1, 2, 0)
    scaled: Pixels = (noise - noise.mean()) / noise.std() * rng.uniform(15, 60) + rng.uniform(80, 170)
    return scaled


def _grey_coloured(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return _coloured(rng, width, height, 1)


def _low(rng: np.random.Generator, width: int, height: int, channels: int = 3) -> Pixels:
    """A few random cells, blown up smoothly."""
    side = int(rng.integers(2, 7))
    cells = rng.integers(0, 256, (channels, side, side)).astype(np.uint8)
    large = [Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in cells]
    return np.stack([np.asarray(one) for one in large], -1).astype(np.float64)


def _grey_low(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return _low(rng, width, height, 1)


def _blank(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return np.full((height, width, 3), rng.integers(0, 256, 3), np.float64)


def _grey_blank(rng: np.random.Generator, width: int, height: int) -> Pixels:
    return np.full((height, width, 1), rng.integers(0, 256), np.float64)


def _slope(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """Grey that changes evenly from top to bottom, as a backdrop does."""
    rows = np.linspace(rng.uniform(0, 255), rng.uniform(0, 255), height)
    return np.broadcast_to(rows[:, None, None], (height, width, 1))


def _text(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """Lines of letters on paper or on a dark screen."""
    paper, ink = (int(rng.integers(200, 256)), 20) if rng.random() < 0.7 else (int(rng.integers(10, 60)), 230)
    image = Image.new("RGB", (width, height), (paper,) * 3)
    pen = ImageDraw.Draw(image)
    for row in range(4, height - 8, int(rng.integers(12, 20))):
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz     "), int(rng.integers(5, max(6, width // 6))))
        pen.text((6, row), "".join(letters), fill=(ink,) * 3)
    return np.asarray(image).astype(np.float64)


def _shapes(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """Flat coloured shapes on a flat grey or coloured ground: the nearest a drawing comes to a scene."""
    ground = rng.integers(0, 256, 3) if rng.random() < 0.5 else np.repeat(rng.integers(60, 200), 3)
    image = Image.new("RGB", (width, height), tuple(map(int, ground)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.uniform(0, 0.8) * width, rng.uniform(0, 0.8) * height
        box = (x, y, x + rng.uniform(0.08, 0.25) * width, y + rng.uniform(0.1, 0.3) * height)
        draw = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        draw(box, fill=tuple(map(int, rng.integers(0, 256, 3))))
    return np.asarray(image).astype(np.float64)


SYNTHETIC: dict[str, Callable[[np.random.Generator, int, int], Pixels]] = {
    "uniform noise": _uniform,
    "Gaussian noise": _gaussian,
    "grey Gaussian noise": _grey_gaussian,
    "coloured noise": _coloured,
    "grey coloured noise": _grey_coloured,
    "low frequencies": _low,
    "grey low frequencies": _grey_low,
    "blank, any colour": _blank,
    "blank, grey": _grey_blank,
    "grey from top to bottom": _slope,
    "text": _text,
    "flat shapes": _shapes,
}


def _to_image(
    draw: Callable[[np.random.Generator, int, int], Pixels], rng: np.random.Generator, number: int
) -> Image.Image:
    """One image, in the sizes of generated scenes and others in turn."""
    sizes = (*SIZES, (224, 224), (96, 64), (1200, 800))
    levels = draw(rng, *sizes[number % len(sizes)])
    levels = np.repeat(levels, 3 // levels.shape[2], 2)
    return Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_familiarity", FamiliarityConfig, sys.argv[1:], description=__doc__ or ""))
