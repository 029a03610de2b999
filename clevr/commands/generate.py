"""``clevr-film generate``: generates a data set in CLEVR's format, in parallel; it can be interrupted and restarted."""

from __future__ import annotations

import dataclasses
import functools
import logging
import signal
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from clevr.config.commands import GenerateConfig
from clevr.data.naming import image_filename
from clevr.data.reader import ClevrSplit
from clevr.data.shard_store import ShardStore
from clevr.data.writer import Chunk, ChunkContent, ChunkStore, keep_world, select_chunks, split_into_chunks
from clevr.questions.families import CLOSURE_FAMILIES, FAMILIES
from clevr.questions.question import Question
from clevr.questions.tokens import vocabulary_of
from clevr.questions.writer import write_questions
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import compile_loops, render
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, WorldSpec
from clevr.world.world_file import read_world, world_record
from fewshot_film.errors import Interrupted, counted
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.ray_jobs import run_ray_jobs
from fewshot_film.run.seeding import numpy_generator
from fewshot_film.run.workers import available_cores, run_jobs

logger = logging.getLogger(__name__)

Store = ChunkStore | ShardStore
"""Where chunks are kept: as CLEVR's files, or as shards."""


def run(config: GenerateConfig) -> None:
    """Make the scenes of the range that are not done yet; merge when all of the split are.

    Raises:
        GenerateError: the folder holds another set, or cannot be written to.
        WorldError: the file with the world is missing, or does not describe one.
        ConfigError: the range does not fit.
        DataNotFoundError: the data set that the scenes are taken from has no such split, or no scenes.
        DataError: a record or an image of it is damaged.
        ProcessLostError: a worker was killed.
        MissingExtraError: an extra that the settings need is not installed.
    """
    began = time.monotonic()
    if config.scenes_from:
        _, there = _source(config.scenes_from, config.split)
        config = dataclasses.replace(config, scenes=min(config.scenes, len(there)))
    world = _world(config)
    vocabulary_of(world)  # says which words clash with those of the questions
    chunks = split_into_chunks(config.scenes, config.chunk)
    share = select_chunks(chunks, config.start, config.stop)[config.part :: config.parts]
    kind = ShardStore if config.shards else ChunkStore
    settings = {**config.content, **({} if world == CLEVR else {"world": world_record(world)})}
    store: Store = kind(config.out, config.split, settings, chunks, config.date)
    keep_world(config.out, world)
    store.begin()
    missing = [chunk for chunk in share if not store.is_done(chunk)]
    num_missing = sum(map(len, missing))
    scenes = counted(config.scenes, "scene")
    logger.info("%s: %d of %s to generate in %s", config.split, num_missing, scenes, config.out)
    workers = available_cores() if config.workers == "auto" else config.workers
    if config.compiled and missing:
        compile_loops(config.device)
    job = functools.partial(make_chunk, config, world, store)
    bar = tqdm(
        total=sum(map(len, share)),
        initial=sum(map(len, share)) - num_missing,
        unit="scene",
        disable=hides_bars(),
        dynamic_ncols=True,
    )
    try:
        run_all = run_ray_jobs if config.engine == "ray" else run_jobs
        with bar, closing(run_all(job, missing, workers)) as made:
            for chunk in made:
                bar.update(len(chunk))
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; finished scenes are kept in {config.out}, and the same command continues from there",
            signal.SIGINT,
        ) from None
    _say_goodbye(config, store, num_missing, time.monotonic() - began)


def _world(config: GenerateConfig) -> WorldSpec:
    """The world of the scenes: that of the file, of the data set that they are taken from, or CLEVR's."""
    if config.scenes_from:
        return _source(config.scenes_from, config.split)[0].world
    return read_world(config.world) if config.world else CLEVR


def make_chunk(config: GenerateConfig, world: WorldSpec, store: Store, chunk: Chunk) -> Chunk:
    """Make one chunk and write it; runs in a worker process."""
    store.publish(chunk, make(config, chunk, world))
    return chunk


def make(config: GenerateConfig, chunk: Chunk, world: WorldSpec = CLEVR) -> ChunkContent:
    """Everything about a range of scenes; a function of the settings, the world and each scene's number alone."""
    scenes = make_scenes(config, chunk, world)
    questions = [question for scene in scenes for question in make_questions(config, scene)]
    return ChunkContent(scenes, questions, make_images(config, scenes))


def make_scenes(config: GenerateConfig, chunk: Chunk, world: WorldSpec = CLEVR) -> list[Scene]:
    """The scenes of a range; those of another data set get the numbers and file names of this one."""
    if config.scenes_from:
        _, there = _source(config.scenes_from, config.split)
        return [
            dataclasses.replace(scene, image_index=index, image_filename=image_filename(config.split, index))
            for index, scene in enumerate(there[chunk.start : chunk.stop], start=chunk.start)
        ]
    rules = SceneConfig.of(world, "plain" if config.condition == "none" else config.condition)
    scenes = Scenes(config.seed, config.split, rules, width=config.width, height=config.height)
    return scenes.batch(range(chunk.start, chunk.stop))


def make_images(config: GenerateConfig, scenes: list[Scene]) -> Iterable[NDArray[np.uint8]]:
    """Images of scenes, each ``(3, H, W)``."""
    if config.scenes_from:
        split, there = _source(config.scenes_from, config.split)
        loaded = (split.load_image(there[scene.image_index].image_filename) for scene in scenes)
        return (np.asarray(image).transpose(2, 0, 1) for image in loaded)
    images = render(scenes, config.width, config.height, device=config.device, compiled=config.compiled)
    array: NDArray[np.uint8] = images.cpu().numpy()
    return array


def make_questions(config: GenerateConfig, scene: Scene) -> list[Question]:
    """The questions of one scene, from random numbers of its own."""
    rng = numpy_generator(config.seed, "questions", scene.split, scene.image_index)
    families = CLOSURE_FAMILIES if config.families == "closure" else FAMILIES
    return write_questions(scene, rng, config.questions_per_scene, families)


@functools.cache
def _source(root: Path, split: str) -> tuple[ClevrSplit, tuple[Scene, ...]]:
    """A split to ask about, and its scenes; each process reads them once."""
    source = ClevrSplit.open(root, split)
    return source, tuple(source.scenes())


def _say_goodbye(config: GenerateConfig, store: Store, num_made: int, seconds: float) -> None:
    logger.info("%s generated in %s", counted(num_made, "scene"), tqdm.format_interval(seconds))
    if store.finish():
        logger.info("%s is complete; view it with: clevr-film inspect %s", config.split, config.out)
    else:
        logger.info("this part is done; to merge parts, copy them into one folder and run the command without a range")
