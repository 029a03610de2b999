"""How many scenes and pictures of CLEVR's world are made in a second.

    python -m benchmarks.render_speed

Every process has one thread, and there are as many as cores, as in ``clevr-film generate``. A repetition makes scenes
that were not made before (placement, and the test that every object is seen), then draws them (soft shadows,
reflections and 2x2 anti-aliasing). The rates are those of all processes together by the clock, and halve when a second
job runs on the same cores; the processor's time for each picture suffers less from that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

from clevr.world.placement import Scenes
from clevr.world.render import render
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.workers import available_cores

Made = TypeVar("Made")


@dataclass(frozen=True)
class RenderSpeedConfig:
    """What is measured."""

    processes: int = 0
    """Processes of one thread each; 0: one for each core."""
    repeats: int = 8
    """Repetitions of each measurement."""
    batch: int = 100
    """Scenes drawn at once."""
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (320, 240), (480, 320))
    """Widths and heights of the pictures."""
    seed: int = 0
    """Seed of the scenes."""
    out: Path = Path("benchmarks/results/clevr_render_speed.json")
    """Result file."""


@dataclass(frozen=True)
class Spent:
    """Seconds in which one process made a batch."""

    clock: float
    processor: float


def run(config: RenderSpeedConfig) -> None:
    """Measure, print and write."""
    processes = config.processes or available_cores()
    results: dict[str, Any] = {"processes": processes}
    # A fresh start of every process: forked ones would share the parent's idle threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), partial(torch.set_num_threads, 1)) as pool:
        for width, height in config.sizes:
            for name, values in measure(pool, processes, config, (width, height)).items():
                found = results[f"{name}, {width}x{height}"] = summary(values)
                print(f"{width}x{height}: {name}: {found['mean']:.4g} +- {found['interval']:.2g}")
    write_result(config.out, config=config, seed=config.seed, results=results)


def measure(
    pool: ProcessPoolExecutor, processes: int, config: RenderSpeedConfig, size: tuple[int, int]
) -> dict[str, list[float]]:
    """Rates and times in each repetition, after one that does not count."""
    found: dict[str, list[float]] = {}
    for repeat in range(config.repeats + 1):
        starts = [config.batch * (repeat * processes + i) for i in range(processes)]
        jobs = [pool.submit(make, config.seed, start, config.batch, size) for start in starts]
        spent = [job.result() for job in jobs]
        if repeat:
            for name, value in rates(spent, config.batch).items():
                found.setdefault(name, []).append(value)
    return found


def rates(spent: list[tuple[Spent, Spent]], batch: int) -> dict[str, float]:
    """Scenes and pictures a second of all processes together, and the processor's time for one."""
    scenes, pictures = zip(*spent, strict=True)
    return {
        "pictures alone a second": sum(batch / one.clock for one in pictures),
        "scenes alone a second": sum(batch / one.clock for one in scenes),
        "scenes with pictures a second": sum(batch / (one.clock + two.clock) for one, two in spent),
        "processor ms a picture": sum(one.processor for one in pictures) * 1000 / (batch * len(spent)),
        "processor ms a scene": sum(one.processor for one in scenes) * 1000 / (batch * len(spent)),
    }


def make(seed: int, start: int, number: int, size: tuple[int, int]) -> tuple[Spent, Spent]:
    """Make a batch of scenes, then pictures of them."""
    scenes, placing = timed(lambda: Scenes(seed).batch(range(start, start + number)))
    _, drawing = timed(lambda: render(scenes, *size))
    return placing, drawing


def timed(function: Callable[[], Made]) -> tuple[Made, Spent]:
    """Call a function; its result, and what it took."""
    clock, processor = time.perf_counter(), time.process_time()
    made = function()
    return made, Spent(time.perf_counter() - clock, time.process_time() - processor)


if __name__ == "__main__":
    run(parse("python -m benchmarks.render_speed", RenderSpeedConfig, sys.argv[1:], description=__doc__))
