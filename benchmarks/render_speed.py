"""How many scenes and pictures of CLEVR's world are made in a second.

    python -m benchmarks.render_speed

Every process has one thread, and there are as many as cores, as in ``clevr-film generate``. A repetition makes scenes
that were not made before: placement, the test that every object is seen, and the picture with soft shadows,
reflections and 2x2 anti-aliasing. Quiet machines only: a second job on the same cores halves every number.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from clevr.workers import available_cores
from clevr.world.render import render
from clevr.world.scenes import Scenes
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result


@dataclass(frozen=True)
class RenderSpeedConfig:
    """What is measured."""

    processes: int = 0
    """Processes of one thread each; 0: one for each core."""
    repeats: int = 8
    """Repetitions of each measurement."""
    batch: int = 32
    """Scenes drawn at once."""
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (320, 240), (480, 320))
    """Widths and heights of the pictures."""
    seed: int = 0
    """Seed of the scenes."""
    out: Path = Path("benchmarks/results/clevr_render_speed.json")
    """Result file."""


def run(config: RenderSpeedConfig) -> None:
    """Measure, print and write."""
    processes = config.processes or available_cores()
    results: dict[str, Any] = {"processes": processes}
    # A fresh start of every process: forked ones would share the parent's idle threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), partial(torch.set_num_threads, 1)) as pool:
        for width, height in config.sizes:
            for name, pictures in (("scenes with pictures", True), ("scenes alone", False)):
                rates = measure(pool, processes, config, (width, height), pictures)
                found = summary(rates)
                results[f"{name} a second, {width}x{height}"] = found
                print(f"{name} a second at {width}x{height}: {found['mean']:.1f} +- {found['interval']:.1f}")
    write_result(config.out, config=config, seed=config.seed, results=results)


def measure(
    pool: ProcessPoolExecutor, processes: int, config: RenderSpeedConfig, size: tuple[int, int], pictures: bool
) -> list[float]:
    """Scenes a second in each repetition, after one that does not count."""
    rates = []
    for repeat in range(config.repeats + 1):
        starts = [config.batch * (repeat * processes + i) for i in range(processes)]
        began = time.perf_counter()
        jobs = [pool.submit(make, config.seed, start, config.batch, size, pictures) for start in starts]
        made = sum(job.result() for job in jobs)
        rates.append(made / (time.perf_counter() - began))
    return rates[1:]


def make(seed: int, start: int, number: int, size: tuple[int, int], pictures: bool) -> int:
    """Make a batch of scenes, and pictures of them; the number made."""
    scenes = Scenes(seed).batch(range(start, start + number))
    return len(render(scenes, *size)) if pictures else len(scenes)


if __name__ == "__main__":
    run(parse("python -m benchmarks.render_speed", RenderSpeedConfig, sys.argv[1:], description=__doc__))
