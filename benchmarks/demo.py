"""The demo: what this project does, in a few minutes and without a download.

``python -m benchmarks.demo`` classifies images from a handful of labelled ones, with the learner that comes with the
package, and compares learners on them; trains a small Simple CNAPS on generated glyphs; and has the reasoning model
that comes with the package answer questions about generated scenes. Everything it makes is in ``runs/demo``. What a
command prints is cut where it would fill more than a screen, and the rest is in the file that is named.
"""

from __future__ import annotations

import contextlib
import io
import json
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
FIRST_CLASS, CLASSES, SUPPORT, QUERIES = 6, 6, 5, 15
"""Which of the generated creatures are classified, and how many images of each are labelled and asked about."""
MAX_LINES = 18
"""Of a command's output that are shown."""
MAX_MISTAKES = 5
"""Of the reasoning model that are listed."""
SHOWN = {
    "named/predictions.png": "six creatures from five images each: what was taken for what, mistakes first",
    "episode.png": "five letters of unseen alphabets from one image each, by the learner that was just trained",
    "answers.png": "scenes with questions and answers; a wrong answer has the true one beside it",
    "answer.png": "where in the image an answer comes from",
}
"""What there is to look at when all is done."""


def demo() -> int:
    """Run every part; the exit status is that of the first command that fails."""
    began = time.monotonic()
    shutil.rmtree(RUNS, ignore_errors=True)
    for number, (title, part) in enumerate(PARTS.items(), 1):
        print(f"\n=== {number} of {len(PARTS)}: {title}", flush=True)
        status = part()
        if status:
            return status
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look at:")
    print("\n".join(f"  {RUNS / name}  {text}" for name, text in SHOWN.items()))
    print("Next: your own images, `fewshot-film classify --help`, or `make app` in the browser.")
    return 0


def own_images() -> int:
    """Classify the images of a folder from a few labelled ones; compare learners on it."""
    folder = RUNS / "creatures"
    write_folders(open_source("creatures", split="test"), folder)
    return run(
        f"fewshot-film classify --support {folder / 'few'} --query {folder / 'more'} --out {RUNS / 'named'}",
        f"fewshot-film compare --data {folder / 'more'} --shot 3 --splits 20 --out {RUNS / 'compared'}",
    )


def meta_training() -> int:
    """Train on generated glyphs, evaluate on alphabets that were not trained on."""
    cache, model = f"--data.cache {RUNS / 'images'}", RUNS / "train" / "model"
    weights = f"--learner.backbone.weights {RUNS / 'pretrain' / 'model'}"
    pretraining, training = "--loop.log_every 200", "--loop.steps 60 --loop.validate_every 30"
    status = run(
        f"fewshot-film pretrain --config {CONFIGS / 'pretrain.yaml'} {pretraining} --out {RUNS / 'pretrain'} {cache}",
        f"fewshot-film train --config {CONFIGS / 'train.yaml'} {training} --out {RUNS / 'train'} {weights} {cache}",
        f"fewshot-film evaluate {model} --ways [5,20] --episodes 40 --out {RUNS / 'few.json'} {cache}",
    )
    if not status:
        draw_episode(model)
    return status


def reasoning() -> int:
    """Draw a few scenes, ask the reasoning model about them, and show where an answer comes from."""
    world, answers = RUNS / "world", RUNS / "answers.json"
    files = f"--sheet {RUNS / 'answers.png'} --predictions {answers} --out {RUNS / 'clevr.json'}"
    status = run(
        f"clevr-film generate --split val --scenes 30 --seed 7 --width 320 --height 240 --out {world}",
        f"clevr-film evaluate clevr-small {world} {files}",
        rest=RUNS / "clevr.md",
    )
    if status:
        return status
    split = ClevrSplit.open(world, "val")
    print(mistakes(split, answers))
    question = next(split.questions())
    image = world / "images" / "val" / question.image_filename
    return run(f'clevr-film ask {image} "{question.question}" --out {RUNS / "answer.png"}')


PARTS = {
    "images classified from five labelled ones per class, by the learner that comes with the package": own_images,
    "a learner trained here": meta_training,
    "questions about scenes": reasoning,
}


def run(*lines: str, rest: Path | None = None) -> int:
    """Run command lines one after the other; the exit status of the first one that fails.

    Args:
        lines: as one types them.
        rest: the file that holds what the last of them prints, to be named where it is cut.
    """
    for line in lines:
        print(f"\n$ {line}", flush=True)
        program, *words = shlex.split(line)
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            status = main(program, PROGRAMS[program], words)
        print(screenful(text.getvalue(), rest), end="", flush=True)
        if status:
            return status
    return 0


def screenful(text: str, rest: Path | None = None) -> str:
    """The first lines of a text, and how many more there are in a file."""
    lines = text.splitlines(keepends=True)
    if len(lines) <= MAX_LINES:
        return text
    where = f" in {rest}" if rest else ""
    return "".join([*lines[:MAX_LINES], f"... {len(lines) - MAX_LINES} more lines{where}\n"])


def mistakes(split: ClevrSplit, answers: Path) -> str:
    """The first questions that were answered wrongly, and how many more there are."""
    given = {one["question_index"]: one["answer"] for one in json.loads(answers.read_text("utf-8"))}
    wrong = [
        f"  {one.image_filename}: {one.question} {given[one.question_index]} (true: {one.answer})"
        for one in split.questions()
        if given[one.question_index] != one.answer
    ]
    left = [f"  ... {len(wrong) - MAX_MISTAKES} more in {answers}"] if len(wrong) > MAX_MISTAKES else []
    return "\n".join([f"\n{len(wrong)} of {len(given)} answers are wrong:", *wrong[:MAX_MISTAKES], *left])


def write_folders(source: ImageSource, folder: Path) -> None:
    """Images of a few classes as files: some with their names to learn from, others to be classified."""
    for label, name in enumerate(source.class_names[FIRST_CLASS : FIRST_CLASS + CLASSES], FIRST_CLASS):
        for place, index in enumerate(np.flatnonzero(source.labels == label)[: SUPPORT + QUERIES]):
            path = folder / ("few" if place < SUPPORT else "more") / name.replace("/", "-") / f"{place:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            source.load(int(index)).save(path)


def draw_episode(model: Path, num_episodes: int = 21) -> Path:
    """Draw a typical 5-way 1-shot episode of unseen alphabets: of some, the one with the median accuracy."""
    learner = load_learner(model)
    backbone = learner.config.backbone
    images = decode(open_source("glyphs", split="test"), backbone.image_size, backbone.channels, RUNS / "images")
    sampler = EpisodeSampler(images, way=5, shot=1, query=8, split="test")
    episodes = [sampler[index] for index in range(num_episodes)]
    with torch.no_grad():
        logits = [learner(episode) for episode in episodes]
    right = [int((of.argmax(1) == one.query_labels).sum()) for of, one in zip(logits, episodes, strict=True)]
    middle = int(np.argsort(right, kind="stable")[num_episodes // 2])
    path = RUNS / "episode.png"
    episode_sheet(episodes[middle], logits[middle]).savefig(path)
    return path


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(demo())
