"""``clevr-film render``: images of a data set's scenes again, and what is where in them, as files.

Scenes keep the places of their camera and lamps, so nothing changed gives the same images to the last bit. Files of
images, masks, depth and normals have the image's name, below ``OUT/PART/SPLIT``; see :func:`write_truth` for the forms.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from clevr.config.commands import RenderConfig
from clevr.data.naming import scenes_name
from clevr.data.reader import ClevrSplit
from clevr.data.writer import COMPRESS_LEVEL, GenerateError, encode_png, info_block, keep_world, write_scenes
from clevr.world.camera import camera_of, project
from clevr.world.ground_truth import GroundTruth, ground_truth
from clevr.world.render import compile_loops, render
from clevr.world.scene import Scene
from clevr.world.spec import WorldSpec
from clevr.world.world_file import read_world
from fewshot_film.errors import ConfigError, counted
from fewshot_film.run.files import write_json_atomically
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores, run_jobs

logger = logging.getLogger(__name__)

_AT_ONCE = 20
"""Scenes that a worker renders together."""
DEPTH_STEP = 0.001
"""What one level of a depth file stands for, in the scene's units."""


def run(config: RenderConfig) -> None:
    """Render, and write the scenes as they are seen now.

    Raises:
        DataNotFoundError: there is no such split, or it has no scenes.
        GenerateError: the folder holds scenes of another world, or the data set itself.
        ConfigError: a world with other values than that of the scenes.
    """
    split = ClevrSplit.open(config.data, config.split)
    if config.out.resolve() == config.data.resolve():
        raise GenerateError(
            f"{config.out} is the data set itself, whose images would be replaced; choose another --out"
        )
    world = _world(config, split.world)
    size = _size(config, split)
    scenes = [_seen_again(scene, config, world, size) for scene in split.scenes()][: config.scenes]
    keep_world(config.out, world)
    if config.compiled:
        compile_loops(config.device)
    job = functools.partial(_render_some, config, size)
    parts = [scenes[start : start + _AT_ONCE] for start in range(0, len(scenes), _AT_ONCE)]
    boxes: dict[str, Any] = {}
    workers = available_cores() if config.workers == "auto" else config.workers
    bar = tqdm(total=len(scenes), unit="scene", disable=hides_bars(), dynamic_ncols=True)
    with bar, closing(run_jobs(job, parts, workers)) as done:
        for found in done:
            boxes |= found
            bar.update(len(found))
    info = info_block(config.split, rendered_from=config.data.name, width=size[0], height=size[1])
    write_scenes(config.out / scenes_name(config.split), scenes, info)
    if "boxes" in config.parts:
        (config.out / "boxes").mkdir(exist_ok=True)
        write_json_atomically(config.out / "boxes" / f"{config.split}.json", dict(sorted(boxes.items())))
    logger.info("%s in %dx%d pixels: %s", counted(len(scenes), "scene"), *size, config.out)


def _world(config: RenderConfig, world: WorldSpec) -> WorldSpec:
    """The world to show the scenes in: theirs, or one with the same values in another look or light."""
    given = read_world(config.world) if config.world else world
    if given.values != world.values or given.forms != world.forms or given.half_widths != world.half_widths:
        raise ConfigError(
            f"{config.world} has other values, forms or sizes than the world {world.name!r} of the scenes; expected "
            "the same with other colours, materials' looks, camera or lamps"
        )
    if config.light == 1.0:
        return given
    lamps = tuple(
        replace(lamp, strength=(lamp.strength[0] * f, lamp.strength[1] * f, lamp.strength[2] * f))
        for lamp, f in ((lamp, config.light) for lamp in given.lamps)
    )
    return replace(given, lamps=lamps)


def _size(config: RenderConfig, split: ClevrSplit) -> tuple[int, int]:
    """Size of the new images: as asked for, else that of the images that are there, else CLEVR's 480x320."""
    if config.width and config.height:
        return config.width, config.height
    there = split.load_image(min(split.images)).size if split.images else (480, 320)
    return config.width or there[0], config.height or there[1]


def _seen_again(scene: Scene, config: RenderConfig, world: WorldSpec, size: tuple[int, int]) -> Scene:
    """A scene with the camera and lamps that it is shown with, and its pixel coordinates."""
    extra = dict(scene.extra)
    if not config.jitter:
        extra |= {"camera": list(world.camera), "lamps": {}}
    elif config.camera:
        extra["camera"] = list(config.camera)
    else:
        extra["camera"] = camera_of(scene)
    places = project([thing.coords for thing in scene.objects], extra["camera"], *size).tolist()
    objects = tuple(
        replace(thing, pixel_coords=(round(column), round(row), depth))
        for thing, (column, row, depth) in zip(scene.objects, places, strict=True)
    )
    return replace(scene, objects=objects, extra=extra, world=world)


def _render_some(config: RenderConfig, size: tuple[int, int], scenes: Sequence[Scene]) -> dict[str, Any]:
    """Render and write some scenes; returns their boxes by file name. Runs in a worker process."""
    if "images" in config.parts:
        images = render(scenes, *size, device=config.device, compiled=config.compiled).cpu().numpy()
        for scene, pixels in zip(scenes, images, strict=True):
            _file(config, "images", scene).write_bytes(encode_png(pixels))
    if {*config.parts} == {"images"}:
        return {scene.image_filename: None for scene in scenes}
    return {scene.image_filename: write_truth(config, scene, size) for scene in scenes}


def write_truth(config: RenderConfig, scene: Scene, size: tuple[int, int]) -> list[dict[str, list[int]]]:
    """Write what is where in one image.

    ``visible``: 8-bit PNG, 1 + the object that a pixel shows, 0 is the ground. ``whole``: 16-bit PNG, bit ``i`` is set
    where object ``i`` would be seen if it stood alone. ``depth``: 16-bit PNG in thousandths of the scene's units, 0
    where nothing is met. ``normals``: RGB, 0 to 255 for -1 to 1, to the right, up and toward the camera.

    Returns:
        Boxes of the objects, left, top, right and bottom in pixels, around what is visible and the whole.
    """
    found = ground_truth(scene, *size, device=config.device)
    for part in config.parts:
        if part in _ENCODE:
            pixels = _ENCODE[part](found)
            Image.fromarray(pixels).save(_file(config, part, scene), format="png", compress_level=COMPRESS_LEVEL)
    pairs = zip(found.boxes.tolist(), found.whole_boxes.tolist(), strict=True)
    return [{"visible": visible, "whole": whole} for visible, whole in pairs]


def _visible(found: GroundTruth) -> NDArray[Any]:
    return (found.ids + 1).numpy().astype(np.uint8)


def _whole(found: GroundTruth) -> NDArray[Any]:
    bits = np.zeros(found.ids.shape, np.uint16)
    for number, mask in enumerate(found.whole.numpy()):
        bits |= mask.astype(np.uint16) << np.uint16(number)
    return bits


def _depth(found: GroundTruth) -> NDArray[Any]:
    levels = (found.depth / DEPTH_STEP).round().clamp(max=65535)
    return levels.where(found.depth.isfinite(), 0.0).numpy().astype(np.uint16)


def _normals(found: GroundTruth) -> NDArray[Any]:
    return ((found.normals.permute(1, 2, 0) + 1.0) * 127.5).round().numpy().astype(np.uint8)


_ENCODE: Mapping[str, Any] = {"visible": _visible, "whole": _whole, "depth": _depth, "normals": _normals}


def _file(config: RenderConfig, part: str, scene: Scene) -> Path:
    """Where a part of a scene is written; the folder is made."""
    path = config.out / part / config.split / Path(scene.image_filename).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
