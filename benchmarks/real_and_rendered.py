"""How near the world's images come to real ones: a sheet of pairs, and their differences in numbers.

    python -m benchmarks.real_and_rendered --real ../shared/data/clevr-v1-sample/images

``docs/real-scenes.json`` describes eleven images of CLEVR v1.0 as scenes. Each is rendered and held against the real
image. Differences are absolute ones in levels of 255; real images have about one level of noise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from clevr.world.render import object_ids, render
from clevr.world.scene import Scene
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PairsConfig(Settings):
    """What is compared."""

    real: Path
    """Folder of the real images, with the folders val and unlabelled."""
    scenes: Path = Path("docs/real-scenes.json")
    """The same images as scenes."""
    sheet: Path = Path("docs/images/real-and-rendered.png")
    """The sheet of pairs."""
    shown: Annotated[tuple[int, ...], at_least(0)] = (0, 3, 4, 10)
    """Which of the images go on the sheet."""
    out: Path = Path("benchmarks/results/clevr_real_and_rendered.json")
    """Result file."""


def run(config: PairsConfig) -> None:
    """Compare, print and write."""
    scenes = [Scene.from_json(record) for record in json.loads(config.scenes.read_text())["scenes"]]
    real = [load(config.real / scene.image_filename) for scene in scenes]
    width, height = real[0].shape[1], real[0].shape[0]
    drawn = [np.ascontiguousarray(p) for p in render(scenes, width, height).permute(0, 2, 3, 1).numpy()]
    bodies = [ids.numpy() >= 0 for ids in object_ids(scenes, width, height)]
    results = compare(real, drawn, bodies)
    results["objects by colour"] = objects_by_color(scenes, real, drawn)
    for name in ("whole image", "ground", "objects"):
        print(f"{name}: {results[name]['mean']:.2f} +- {results[name]['interval']:.2f} levels")
    for name, (of_real, of_drawn) in results["objects by colour"].items():
        print(f"{name:15} real {of_real}  rendered {of_drawn}")
    pairs_sheet([(real[i], drawn[i]) for i in config.shown], config.sheet)
    write_result(config.out, config=config, seed=0, results=results)


def load(path: Path) -> Picture:
    """An image as ``(H, W, 3)`` bytes."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def compare(
    real: Sequence[Picture], drawn: Sequence[Picture], bodies: Sequence[npt.NDArray[np.bool_]]
) -> dict[str, Any]:
    """Differences of pairs on the whole image, on the ground and on objects, and the ground's brightness."""
    errors = [np.abs(a.astype(float) - b).mean(-1) for a, b in zip(real, drawn, strict=True)]
    quantiles = (0.05, 0.5, 0.95)
    return {
        "whole image": summary([float(error.mean()) for error in errors]),
        "ground": summary([float(error[~seen].mean()) for error, seen in zip(errors, bodies, strict=True)]),
        "objects": summary([float(error[seen].mean()) for error, seen in zip(errors, bodies, strict=True)]),
        "brightness of the ground at 5, 50 and 95 %, real and rendered": [
            [[round(float(q), 1) for q in np.quantile(picture[~seen], quantiles)] for picture in pair]
            for *pair, seen in zip(real, drawn, bodies, strict=True)
        ],
    }


def objects_by_color(scenes: Sequence[Scene], real: Sequence[Picture], drawn: Sequence[Picture]) -> dict[str, Any]:
    """Mean RGB of objects of each material and colour, real and rendered."""
    pixels: dict[str, list[npt.NDArray[Any]]] = {}
    height, width = real[0].shape[:2]
    for scene, a, b, ids in zip(scenes, real, drawn, object_ids(scenes, width, height).numpy(), strict=True):
        for number, thing in enumerate(scene.objects):
            both = np.stack([a[ids == number], b[ids == number]])
            pixels.setdefault(f"{thing.color} {thing.material}", []).append(both)
    means = {name: np.concatenate(parts, axis=1).mean(1) for name, parts in sorted(pixels.items())}
    return {name: [[round(float(v)) for v in row] for row in rows] for name, rows in means.items()}


def pairs_sheet(pairs: Sequence[tuple[Picture, Picture]], path: Path) -> None:
    """Pairs under each other, real on the left, rendered on the right."""
    head = 24
    rows = np.concatenate([np.concatenate(pair, axis=1) for pair in pairs])
    sheet = Image.new("RGB", (rows.shape[1], rows.shape[0] + head), "white")
    sheet.paste(Image.fromarray(rows), (0, head))
    text = ImageDraw.Draw(sheet)
    text.text((8, 6), "real: CLEVR v1.0, Johnson et al. 2017, CC BY 4.0", fill="black")
    text.text((rows.shape[1] // 2 + 8, 6), "rendered by clevr.world", fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    run(parse("python -m benchmarks.real_and_rendered", PairsConfig, sys.argv[1:], description=__doc__))
