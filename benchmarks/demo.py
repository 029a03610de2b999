"""The demo: from nothing to a table of accuracies on unseen alphabets, in a few minutes and without a download.

``python -m benchmarks.demo`` draws glyphs, pre-trains and meta-trains a small Simple CNAPS, evaluates it on alphabets
that it never saw, and writes a picture of one episode with its predictions.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from pathlib import Path

import torch

from fewshot_film.cli import COMMANDS
from fewshot_film.data import decode, open_source
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.figures import episode_sheet
from fewshot_film.learners import load_learner
from fewshot_film.run.command import main

RUNS = Path("runs/demo")
CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "glyphs"


def demo() -> int:
    """Run every step; the exit status is that of the first one that fails."""
    began = time.monotonic()
    shutil.rmtree(RUNS, ignore_errors=True)
    cache, model = f"--data.cache={RUNS / 'pictures'}", RUNS / "train" / "model"
    steps = [
        ["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={RUNS / 'pretrain'}", cache],
        [
            "train",
            f"--config={CONFIGS / 'train.yaml'}",
            f"--out={RUNS / 'train'}",
            f"--learner.backbone.weights={RUNS / 'pretrain' / 'model'}",
            cache,
        ],
        ["evaluate", str(model), "--ways=[5,20]", "--episodes=200", f"--out={RUNS / 'result.json'}", cache],
    ]
    for words in steps:
        print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
        status = main("fewshot-film", COMMANDS, words)
        if status:
            return status
    sheet = draw_episode(model)
    print(f"one episode with its predictions: {sheet}\n{time.monotonic() - began:.0f} s in all")
    return 0


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
