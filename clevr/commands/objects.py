"""``clevr-film objects``: objects cropped from CLEVR scenes, one folder per class, for few-shot learning.

``OUT/<part>/<colour>_<material>_<shape>/<scene>_<object>.png``. A class is colour, material and shape; size varies
within it, as a cut-out says little of it. Classes are dealt to ``train``, ``val`` and ``test`` for good, see `part_of`:
every colour, material and shape is among the training classes, so what is new in a test class is the combination.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from clevr.config.commands import ObjectsConfig
from clevr.data.writer import Chunk, GenerateError, encode_png, split_into_chunks
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import boxes, object_ids, render
from clevr.world.spec import CLEVR, WorldSpec
from clevr.world.world_file import read_world, world_record
from fewshot_film.run.files import temporary_path, write_json_atomically
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores, run_jobs

logger = logging.getLogger(__name__)

INFO_FILE = "objects.json"
DONE_FOLDER = ".objects"
SPLIT = "objects"
"""Name of the scenes: they are none of those that ``clevr-film generate`` makes, unless for a split of this name."""


def class_name(color: str, material: str, shape: str) -> str:
    """Name of a class, and of its folder."""
    return f"{color}_{material}_{shape}"


def part_of(color: str, material: str, shape: str, world: WorldSpec = CLEVR) -> str:
    """The part that a class is in: of CLEVR's 48 classes 30 are for training, 6 for validation, 12 for test.

    The parts go round along the colours, shifted by shape and material, so that every colour, material and shape is
    both in training and in test.
    """
    colors, materials, shapes = (world.values[name] for name in ("color", "material", "shape"))
    step = (colors.index(color) + 3 * shapes.index(shape) + 4 * materials.index(material)) % len(colors)
    return "test" if 4 * step < len(colors) else "val" if 8 * step < 3 * len(colors) else "train"


def _world(config: ObjectsConfig) -> WorldSpec:
    """The world of the scenes; every part must have classes, and training all values.

    Raises:
        GenerateError: the world has too few values for that.
    """
    world = read_world(config.world) if config.world else CLEVR
    named = [world.values[name] for name in ("color", "material", "shape")]
    parts: dict[str, list[tuple[str, ...]]] = {"train": [], "val": [], "test": []}
    for color, material, shape in product(*named):
        parts[part_of(color, material, shape, world)].append((color, material, shape))
    trained = [set(values) for values in zip(*parts["train"], strict=True)]
    if not all(parts.values()) or trained != [set(values) for values in named]:
        counts = ", ".join(str(len(values)) for values in named)
        raise GenerateError(
            f"the world {world.name!r} has too few colors, materials or shapes ({counts}) to deal its classes to "
            "train, val and test with every value in train; give it as many as CLEVR has (8, 2, 3)"
        )
    return world


def run(config: ObjectsConfig) -> None:
    """Cut up the scenes that are not done yet.

    Raises:
        GenerateError: the folder holds cut-outs made with other settings, or something else.
        ProcessLostError: a worker was killed.
    """
    _begin(config, _world(config))
    chunks = split_into_chunks(config.scenes, config.chunk)
    missing = [chunk for chunk in chunks if not _mark(config, chunk).exists()]
    workers = available_cores() if config.workers == "auto" else config.workers
    done = config.scenes - sum(map(len, missing))
    bar = tqdm(total=config.scenes, initial=done, unit="scene", disable=hides_bars(), dynamic_ncols=True)
    with bar:
        for chunk in run_jobs(functools.partial(make_chunk, config), missing, workers):
            bar.update(len(chunk))
    _finish(config)


def make_chunk(config: ObjectsConfig, chunk: Chunk) -> Chunk:
    """Cut up a range of scenes and write what they give; runs in a worker process."""
    temporary = temporary_path(_mark(config, chunk))
    for cutout in cut_out(config, range(chunk.start, chunk.stop)):
        path = config.out / cutout.part / cutout.class_name / f"{cutout.scene:06d}_{cutout.index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(encode_png(cutout.pixels))
        temporary.replace(path)
    _mark(config, chunk).touch()
    return chunk


@dataclass(frozen=True)
class Cutout:
    """One object."""

    scene: int
    """Number of its scene."""
    index: int
    """Its place among the scene's objects."""
    class_name: str
    part: str
    pixels: NDArray[np.uint8]
    """RGB, ``(3, size, size)``."""


def cut_out(config: ObjectsConfig, indices: Sequence[int]) -> Iterator[Cutout]:
    """Cut the objects out of some scenes, but for those of which too little is seen."""
    world = _world(config)
    rules = SceneConfig.of(world)
    scenes = Scenes(config.seed, SPLIT, rules, width=config.width, height=config.height).batch(indices)
    images = render(scenes, config.width, config.height, device=config.device).cpu().numpy()
    ids = object_ids(scenes, config.width, config.height, device=config.device)
    for number, scene, image, shown in zip(indices, scenes, images, ids, strict=True):
        page = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        for index, (thing, box) in enumerate(
            zip(scene.objects, boxes(shown, len(scene.objects)).tolist(), strict=True)
        ):
            if min(box[2] - box[0], box[3] - box[1]) < config.min_side:
                continue
            square = square_around(box, config.margin, config.width, config.height)
            cut = np.asarray(page.resize((config.size, config.size), Image.Resampling.BILINEAR, box=square))
            described = (thing.color, thing.material, thing.shape)
            yield Cutout(number, index, class_name(*described), part_of(*described, world), cut.transpose(2, 0, 1))


def square_around(box: Sequence[int], margin: float, width: int, height: int) -> tuple[float, float, float, float]:
    """The square about a box with a margin, moved, and if need be shrunk, into the image.

    Args:
        box: left, top, right, bottom in pixels, the last two exclusive.
        margin: on each side, a share of the box's longer side.
        width: of the image, pixels.
        height: of the image, pixels.
    """
    left, top, right, bottom = box
    side = min((1 + 2 * margin) * max(right - left, bottom - top), width, height)
    x = min(max((left + right - side) / 2, 0.0), width - side)
    y = min(max((top + bottom - side) / 2, 0.0), height - side)
    return x, y, x + side, y + side


def _mark(config: ObjectsConfig, chunk: Chunk) -> Path:
    return config.out / DONE_FOLDER / f"{chunk.start}-{chunk.stop}"


def _begin(config: ObjectsConfig, world: WorldSpec) -> None:
    """Create the folder, or continue in one with the same settings.

    The settings are written first, so whatever the folder then holds is of them.
    """
    path = config.out / INFO_FILE
    content = {**config.content, **({} if world == CLEVR else {"world": world_record(world)})}
    if not path.exists():
        if config.out.is_dir() and any(not there.name.startswith(".") for there in config.out.iterdir()):
            raise GenerateError(f"'{config.out}' has other content; choose an empty or new folder")
        (config.out / DONE_FOLDER).mkdir(parents=True, exist_ok=True)
        write_json_atomically(path, content)
        return
    made = json.loads(path.read_text("utf-8"))
    differing = [name for name in {**content, **made} if made.get(name) != content.get(name)]
    if "world" in differing:
        raise GenerateError(f"'{config.out}' was made with another world; choose another folder")
    if differing:
        name = differing[0]
        raise GenerateError(
            f"'{config.out}' was made with different settings: {name} is {made.get(name)} there and "
            f"{content.get(name)} here; choose another one"
        )


def _finish(config: ObjectsConfig) -> None:
    counts = {
        part: sorted(len(list(folder.glob("*.png"))) for folder in (config.out / part).iterdir() if folder.is_dir())
        for part in ("train", "val", "test")
        if (config.out / part).is_dir()
    }
    for part, sizes in counts.items():
        logger.info("%s: %d classes of %d to %d images", part, len(sizes), sizes[0], sizes[-1])
