"""The demo: what this project does, in a few minutes and without a download.

``python -m benchmarks.demo`` classifies photos from a handful of labelled ones, with the model that comes with the
package; compares learners on generated creatures; trains a small Simple CNAPS on generated glyphs; and has the
reasoning model that comes with the package answer questions about generated scenes. Everything it makes is in
``runs/demo``.
"""

from __future__ import annotations

import json
import logging
import os
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
from fewshot_film.data.photos import photos_folder
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.figures import episode_sheet
from fewshot_film.learners import load_learner
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import paired_difference

RUNS = Path("runs/demo")
PROGRAMS: dict[str, Sequence[Command]] = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}
FIRST_CLASS, CLASSES, IMAGES = 6, 6, 15
"""Which of the generated creatures learners are compared on, and how many images of each."""
MAX_MISTAKES = 5
"""Of the reasoning model that are listed."""
SHOWN = {
    "named/predictions.png": "photos classified from four labelled ones per class, and what is none of these",
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
    """Classify photos from a few labelled ones; compare learners on a folder of images."""
    photos = os.path.relpath(photos_folder())
    write_folders(open_source("creatures", split="test"), RUNS / "creatures")
    return run(
        f"fewshot-film classify --support {photos}/labelled --query {photos}/unknown --out {RUNS / 'named'}",
        "# Which learner suits other images, here generated creatures? All classify the same random splits.",
        f"fewshot-film compare --data {RUNS / 'creatures'} --shot 3 --splits 20 --out {RUNS / 'compared'}",
    )


def meta_training() -> int:
    """Train on generated letters, evaluate on alphabets that were not trained on."""
    cache, model, before = f"--data.cache {RUNS / 'images'}", RUNS / "train" / "model", RUNS / "pretrain" / "model"
    pretraining = f"--loop.log_every 200 --out {RUNS / 'pretrain'}"
    training = "--loop.steps 60 --loop.warmup_steps 5 --loop.validate_every 30"
    training += f" --learner.train_backbone false --learner.backbone.weights {before} --out {RUNS / 'train'}"
    episodes = "--ways '[5,20]' --shots '[1]' --episodes 40"
    status = run(
        "# Pre-training: a small network learns to tell apart the letters of the training alphabets. For validation it"
        "\n# tells 20 letters of unseen alphabets apart from one image of each: 20-way 1-shot, by nearest class means.",
        f"fewshot-film pretrain --config glyphs/pretrain {pretraining} {cache}",
        "# Meta-training: the network stays as it is, and Simple CNAPS learns to adapt it to each task by FiLM."
        "\n# Validation has the same episodes, but the classifier is another one, by Mahalanobis distances.",
        f"fewshot-film train --config glyphs/train {training} {cache}",
        "# On letters of the test alphabets: first without FiLM and meta-training, then with both.",
        f"fewshot-film evaluate {before} {episodes} --out {RUNS / 'before.json'} {cache}",
        f"fewshot-film evaluate {model} {episodes} --out {RUNS / 'after.json'} {cache}",
    )
    if not status:
        print(gains(RUNS / "before.json", RUNS / "after.json"), flush=True)
        draw_episode(model)
    return status


def gains(before: Path, after: Path) -> str:
    """What a training gained, episode by episode, and whether that can be told from chance."""
    old, new = (json.loads(file.read_text("utf-8"))["results"] for file in (before, after))
    lines = ["\nGain of meta-training, with its 95 % interval over the episodes:"]
    for name in new:
        gain, interval = (100 * value for value in paired_difference(new[name]["values"], old[name]["values"]))
        verdict = "no clear difference" if abs(gain) <= interval else "better" if gain > 0 else "worse"
        lines.append(f"  {name}: {gain:+.1f} ± {interval:.1f} points: {verdict}")
    lines.append(
        "So short a meta-training, on the classes that the network has just learned, adds little. Where FiLM helps, "
        "and how much: docs/results.md."
    )
    return "\n".join(lines)


def reasoning() -> int:
    """Draw a few scenes, ask the reasoning model about them, and show where an answer comes from."""
    world, answers = RUNS / "world", RUNS / "answers.json"
    files = f"--sheet {RUNS / 'answers.png'} --predictions {answers} --out {RUNS / 'clevr.json'}"
    status = run(
        f"clevr-film generate --split val --scenes 30 --seed 7 --width 320 --height 240 --out {world}",
        f"clevr-film evaluate clevr-small {world} {files}",
    )
    if status:
        return status
    split = ClevrSplit.open(world, "val")
    print(mistakes(split, answers))
    question = next(split.questions())
    image = world / "images" / "val" / question.image_filename
    return run(f'clevr-film ask {image} "{question.question}" --out {RUNS / "answer.png"}')


PARTS = {
    "photos classified from four labelled ones per class, by the model that comes with the package": own_images,
    "letters of unseen alphabets (generated glyphs), by a learner trained here": meta_training,
    "questions about scenes": reasoning,
}


def run(*lines: str) -> int:
    """Run command lines one after the other; the exit status of the first one that fails.

    Args:
        lines: as one types them; those that begin with ``#`` are only shown.
    """
    for line in lines:
        if line.startswith("#"):
            print(f"\n{line}", end="")
            continue
        print(f"\n$ {line}", flush=True)
        program, *words = shlex.split(line)
        status = main(program, PROGRAMS[program], words)
        sys.stdout.flush()
        if status:
            return status
    return 0


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
    """Images of a few classes as files, one folder per class."""
    for label, name in enumerate(source.class_names[FIRST_CLASS : FIRST_CLASS + CLASSES], FIRST_CLASS):
        for place, index in enumerate(np.flatnonzero(source.labels == label)[:IMAGES]):
            path = folder / name.replace("/", "-") / f"{place:02}.png"
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
