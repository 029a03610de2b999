"""How long an answer takes: one question about a new image, and the command ``clevr-film ask`` with its imports.

    python -m benchmarks.clevr_ask_speed

Both on one core; the answer also from one view and from all four (see :mod:`clevr.answers.second_look`), in turns with
the one that looks again where it is not sure. The answer is timed from the decoded image, with the warning about images
that are none of CLEVR's. A quiet machine only: a second job on the same core doubles all numbers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image

import clevr
from benchmarks.timing import in_turns, timed
from clevr.answers.predict import Answer, Answerer
from clevr.config.commands import SURE
from clevr.questions.writer import write_questions
from clevr.reasoning.network import Reasoner
from clevr.world.placement import Scenes
from clevr.world.render import render
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.seeding import numpy_generator
from fewshot_film.run.settings import Settings, at_least


@dataclass(frozen=True)
class AskSpeedConfig(Settings):
    """What is measured."""

    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    images: Annotated[int, at_least(2)] = 100
    """Images of 480 x 320, one question about each."""
    repeats: Annotated[int, at_least(2)] = 10
    """Calls of the command."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of scenes and questions."""
    out: Path = Path("benchmarks/results/clevr_ask_speed.json")
    """Result file."""


def run(config: AskSpeedConfig) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the command's process too
    reasoner = clevr.load(config.model)
    asked = _asked(config)
    _answer(reasoner, *asked[0])  # does not count
    ways = {"answer, ms": SURE, "answer from one view, ms": 0.0, "answer from four views, ms": 1.0}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for one in asked:
        for way, sure in ways.items():
            spent[way].append(1000 * timed(partial(_answer, reasoner, *one, sure))[1].clock)
    with tempfile.TemporaryDirectory() as folder:
        asked[0][0].save(Path(folder) / "image.png")
        words = [sys.executable, "-m", "clevr", "ask", f"{folder}/image.png", asked[0][1], f"--model={config.model}"]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        call = partial(subprocess.run, words, check=True, capture_output=True, env=one_thread)
        times = in_turns({"command": call}, config.repeats, clock=time.perf_counter)["command"]
    found = {**{way: summary(values) for way, values in spent.items()}, "clevr-film ask, s": summary(times)}
    for name, values in found.items():
        print(f"{name}: median {np.median(values['values']):.4g}, mean {values['mean']:.4g} ± {values['interval']:.2g}")
    write_result(config.out, config=config, seed=config.seed, results=found)


def _asked(config: AskSpeedConfig) -> list[tuple[Image.Image, str]]:
    scenes = Scenes(config.seed, "speed").batch(range(config.images))
    pixels = render(scenes, 480, 320).permute(0, 2, 3, 1).numpy()
    drawn = [numpy_generator(config.seed, "asking", scene.image_index) for scene in scenes]
    questions = [write_questions(scene, rng, 1)[0].question for scene, rng in zip(scenes, drawn, strict=True)]
    return list(zip(map(Image.fromarray, pixels), questions, strict=True))


def _answer(reasoner: Reasoner, image: Image.Image, question: str, sure: float = SURE) -> Answer:
    return Answerer(reasoner, image, sure=sure).ask(question)


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_ask_speed", AskSpeedConfig, sys.argv[1:], description=__doc__ or ""))
