"""``clevr-film confound``: images in one folder per class, the classes confounded in some splits and not in others."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from contextlib import closing

import yaml
from tqdm import tqdm

from clevr.config.commands import ConfoundConfig
from clevr.data.naming import scenes_name
from clevr.data.writer import encode_png, info_block, keep_world, write_scenes
from clevr.world.confounds import SceneClass, class_scene, classes_from
from clevr.world.placement import PlacementError, SceneConfig
from clevr.world.render import render
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, WorldSpec
from clevr.world.world_file import read_world
from fewshot_film.errors import counted
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.workers import available_cores, run_jobs
from fewshot_film.run.yaml_files import load_yaml

logger = logging.getLogger(__name__)

_AT_ONCE = 20


def run(config: ConfoundConfig) -> None:
    """Write the splits ``train`` and ``val``, which are confounded, and ``test``, which is not.

    Raises:
        WorldError: the file with the world does not describe one.
        PlacementError: the rules describe no classes, or none that scenes can have.
    """
    world = read_world(config.world) if config.world else CLEVR
    try:
        record = load_yaml(config.rules.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlacementError(f"{config.rules}: not YAML ({str(error).splitlines()[0]})") from None
    classes = classes_from(record, world)
    keep_world(config.out, world)
    sizes = {"train": config.train, "val": config.val, "test": config.test}
    workers = available_cores() if config.workers == "auto" else config.workers
    for split, count in sizes.items():
        for older in (config.out / split).glob(f"*/CLEVR_{split}_*.png"):  # it may be of another class now
            older.unlink()
        parts = [range(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]
        job = functools.partial(_make_some, config, world, classes, split)
        scenes: list[Scene] = []
        bar = tqdm(total=count, unit="scene", disable=hides_bars(), dynamic_ncols=True)
        with bar, closing(run_jobs(job, parts, workers)) as made:
            for some in made:
                scenes += some
                bar.update(len(some))
        info = info_block(split, classes=[one.name for one in classes], confounded=split != "test")
        write_scenes(config.out / scenes_name(split), sorted(scenes, key=lambda scene: scene.image_index), info)
        logger.info("%s: %s of %d classes in %s", split, counted(count, "scene"), len(classes), config.out / split)


def _make_some(
    config: ConfoundConfig, world: WorldSpec, classes: Sequence[SceneClass], split: str, indices: range
) -> list[Scene]:
    """Make some scenes and write their images; runs in a worker process."""
    rules = SceneConfig.of(world)
    found = [class_scene(config.seed, split, index, classes, rules, confounded=split != "test") for index in indices]
    images = render([scene for scene, _ in found], config.width, config.height, device=config.device).cpu().numpy()
    for (scene, of), pixels in zip(found, images, strict=True):
        folder = config.out / split / of.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / scene.image_filename).write_bytes(encode_png(pixels))
    return [scene for scene, _ in found]
