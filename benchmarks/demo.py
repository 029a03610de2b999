"""The demo: what this project does, in a few minutes and without a download.

``python -m benchmarks.demo`` names pictures by a few labelled ones, with the learner that comes with the package, and
compares learners on them; trains a small Simple CNAPS on generated glyphs; and has the reasoning model that comes with
the package answer questions about a few generated scenes. What it makes lies in ``runs/demo``.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import clevr.cli
import fewshot_film.cli
from clevr.data import ClevrSplit
from fewshot_film.data import ImageSource, decode, open_source
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.figures import episode_sheet
from fewshot_film.learners import load_learner
from fewshot_film.run.command import Command, main

RUNS = Path("runs/demo")
CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "glyphs"
PROGRAMS: dict[str, Sequence[Command]] = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}
CLASSES, SUPPORT, QUERIES = 6, 5, 15
"""Of the folder of pictures that is classified."""


def demo() -> int:
    """Run every part; the exit status is that of the first command that fails."""
    began = time.monotonic()
    shutil.rmtree(RUNS, ignore_errors=True)
    for title, part in PARTS.items():
        print(f"\n=== {title}", flush=True)
        status = part()
        if status:
            return status
    print(f"\n{time.monotonic() - began:.0f} s in all; pictures to look at:")
    print("\n".join(f"  {path}" for path in sorted(RUNS.glob("*.png")) + sorted(RUNS.glob("named/*.png"))))
    return 0


def own_pictures() -> int:
    """Name the pictures of a folder by a few labelled ones; compare learners on it."""
    folder = RUNS / "textures"
    write_folders(open_source("textures", split="test"), folder)
    return run(
        f"fewshot-film classify --support {folder / 'few'} --query {folder / 'more'} --out {RUNS / 'named'}",
        f"fewshot-film compare --data {folder / 'more'} --shot 3 --splits 20 --out {RUNS / 'compared'}",
    )


def meta_training() -> int:
    """Train on generated glyphs, evaluate on alphabets that were not trained on."""
    cache, model = f"--data.cache {RUNS / 'pictures'}", RUNS / "train" / "model"
    weights = f"--learner.backbone.weights {RUNS / 'pretrain' / 'model'}"
    status = run(
        f"fewshot-film pretrain --config {CONFIGS / 'pretrain.yaml'} --out {RUNS / 'pretrain'} {cache}",
        f"fewshot-film train --config {CONFIGS / 'train.yaml'} --out {RUNS / 'train'} {weights} {cache}",
        f"fewshot-film evaluate {model} --ways [5,20] --episodes 100 --out {RUNS / 'few.json'} {cache}",
    )
    if not status:
        draw_episode(model)
    return status


def reasoning() -> int:
    """Draw a few scenes, ask the reasoning model about them, and show where an answer comes from."""
    world = RUNS / "world"
    status = run(
        f"clevr-film generate --split val --scenes 30 --seed 7 --width 320 --height 240 --out {world}",
        f"clevr-film evaluate clevr-small {world} --sheet {RUNS / 'answers.png'} --out {RUNS / 'clevr.json'}",
    )
    if status:
        return status
    question = next(ClevrSplit.open(world, "val").questions())
    picture = world / "images" / "val" / question.image_filename
    return run(f'clevr-film ask {picture} "{question.question}" --out {RUNS / "answer.png"}')


PARTS = {
    "Your own pictures, with the learner that comes along": own_pictures,
    "A learner of your own": meta_training,
    "Questions about pictures": reasoning,
}


def run(*lines: str) -> int:
    """Run command lines one after the other; the exit status of the first one that fails."""
    for line in lines:
        print(f"\n$ {line}", flush=True)
        program, *words = shlex.split(line)
        status = main(program, PROGRAMS[program], words)
        if status:
            return status
    return 0


def write_folders(source: ImageSource, folder: Path) -> None:
    """Pictures of a few classes as files: some with their names to learn from, others to be named."""
    for label, name in enumerate(source.class_names[:CLASSES]):
        for place, index in enumerate(np.flatnonzero(source.labels == label)[: SUPPORT + QUERIES]):
            path = folder / ("few" if place < SUPPORT else "more") / name.replace("/", "-") / f"{place:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            source.load(int(index)).save(path)


def draw_episode(model: Path, index: int = 0) -> Path:
    """A picture of one 5-way 1-shot episode of unseen alphabets."""
    learner = load_learner(model)
    backbone = learner.config.backbone
    images = decode(open_source("glyphs", split="test"), backbone.image_size, backbone.channels, RUNS / "pictures")
    episode = EpisodeSampler(images, way=5, shot=1, query=8, split="test")[index]
    with torch.no_grad():
        figure = episode_sheet(episode, learner(episode))
    path = RUNS / "episode.png"
    figure.savefig(path)
    return path


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(demo())
