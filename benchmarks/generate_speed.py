"""How fast the world is made: each step alone on one core, and ``clevr-film generate`` as a whole.

    python -m benchmarks.generate_speed

The goals of the project: 10,000 scenes with 100,000 questions at 128x96 in under 10 minutes on 2 cores, and
1,000 questions a second on one core. Quiet machines only: a second job on the same cores halves every number.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clevr.commands.generate import GenerateConfig, make_images, make_questions, make_scenes
from clevr.commands.generate import run as generate
from clevr.data.writer import Chunk, encode_png
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.workers import available_cores


@dataclass(frozen=True)
class SpeedConfig:
    """What is measured."""

    out: Path = Path("benchmarks/results/clevr_generate_speed.json")
    """Result file."""
    scenes: int = 10_000
    """Scenes that ``clevr-film generate`` makes, ten questions each; 0 leaves that out."""
    sample: int = 200
    """Scenes for the steps alone."""
    width: int = 128
    """Width of the pictures."""
    height: int = 96
    """Height of the pictures."""
    folder: Path | None = None
    """Where to keep the data set; null: a temporary folder."""


def run(config: SpeedConfig) -> None:
    """Measure, print and write."""
    results = {"one_core_per_second": measure_steps(config)}
    if config.scenes:
        results["generate"] = measure_generate(config)
    for name, values in results.items():
        print(name, *(f"  {key}: {value:,.1f}" for key, value in values.items()), sep="\n")
    write_result(config.out, config=config, seed=0, results=results)


def measure_steps(config: SpeedConfig) -> dict[str, float]:
    """Scenes, pictures, questions and PNG files a second, each step alone with one thread."""
    torch.set_num_threads(1)
    settings = GenerateConfig(out=Path(), width=config.width, height=config.height)
    chunk = Chunk(0, config.sample)
    make_images(settings, make_scenes(settings, Chunk(0, 2)))  # what is made once only
    speed: dict[str, float] = {}
    scenes = _timed(speed, "scenes", lambda: make_scenes(settings, chunk))
    pictures = _timed(speed, "pictures", lambda: make_images(settings, scenes))
    _timed(speed, "png files", lambda: [encode_png(picture) for picture in pictures])
    _timed(speed, "questions", lambda: [one for scene in scenes for one in make_questions(settings, scene)])
    return speed


def measure_generate(config: SpeedConfig) -> dict[str, float]:
    """Seconds of the whole command with all cores, and pictures a second."""
    folder = config.folder or Path(tempfile.mkdtemp())
    began = time.monotonic()
    generate(GenerateConfig(out=folder, scenes=config.scenes, width=config.width, height=config.height))
    seconds = time.monotonic() - began
    if config.folder is None:
        shutil.rmtree(folder)
    return {"seconds": seconds, "scenes per second": config.scenes / seconds, "cores": available_cores()}


def _timed(speed: dict[str, float], name: str, step: Callable[[], Any]) -> Any:
    """Run a step and note how many of its results came a second."""
    began = time.perf_counter()
    made = step()
    speed[name] = len(made) / (time.perf_counter() - began)
    return made


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(parse("python -m benchmarks.generate_speed", SpeedConfig, sys.argv[1:], description=__doc__))
