"""What this project shares with learn2learn, side by side in one run: episodes drawn, and prototypes.

    python -m benchmarks.learn2learn_speed

Needs the extra learn2learn. Episodes are drawn as indices alone, and with their pictures, from a set of 64 classes with
600 pictures of 32 x 32 each in memory; prototypes are fitted to features and asked about queries. One thread; times are
the thread's processor time, both sides take turns. learn2learn's MAML is not here: ours runs on its inner loop.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_film.data import ImageSet
from fewshot_film.data.image_set import Pixels
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.extras import learn2learn
from fewshot_film.learners.prototypes import PrototypeHead
from fewshot_film.learners.support import class_means
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result

CLASSES, PER_CLASS, SIDE, FEATURE_DIM, QUERY = 64, 600, 32, 512, 10
GOAL = 10_000
"""Episodes a second as indices, 20-way 5-shot, that were to be reached."""

Work = Callable[[int], object]


@dataclass(frozen=True)
class Learn2LearnSpeedConfig:
    """What is measured."""

    ways: tuple[int, ...] = (5, 20)
    """Classes of each task."""
    shots: tuple[int, ...] = (5, 5)
    """Support pictures a class, of each task; 10 queries a class."""
    rounds: int = 7
    """Measurements of each side."""
    seconds: float = 0.5
    """Processor time of one measurement."""
    out: Path = Path("benchmarks/results/learn2learn_speed.json")
    """Result file."""


class InMemory(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The same pictures as learn2learn reads them."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.images = torch.from_numpy(pixels)
        self.labels = labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index].float().div(255), self.labels[index]


def run(config: Learn2LearnSpeedConfig) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (CLASSES * PER_CLASS, 3, SIDE, SIDE), np.uint8)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    images = image_set(pixels, labels)
    theirs = learn2learn().data.MetaDataset(InMemory(pixels, labels))
    results: dict[str, Any] = {"goal": {"episodes a second as indices, 20-way 5-shot": GOAL}}
    print("| a second | ours | learn2learn | ratio |\n| --- | ---: | ---: | ---: |")
    for way, shot in zip(config.ways, config.shots, strict=True):
        for what, (ours, other) in pairs(images, theirs, way, shot):
            rates = in_turns({"ours": ours, "learn2learn": other}, config)
            middle = {side: statistics.median(values) for side, values in rates.items()}
            name = f"{what}, {way}-way {shot}-shot"
            ratio = middle["ours"] / middle["learn2learn"]
            results[name] = {**{side: summary(values) for side, values in rates.items()}, "ratio of medians": ratio}
            print(f"| {name} | {middle['ours']:.0f} | {middle['learn2learn']:.0f} | {ratio:.1f} |", flush=True)
    write_result(config.out, config=config, seed=0, results=results)


def image_set(pixels: np.ndarray, labels: np.ndarray) -> ImageSet:
    """The pictures as this project holds them."""
    names = [f"class {label:02d}" for label in range(CLASSES)]
    rows = np.arange(len(pixels))
    files = [str(row) for row in rows]
    return ImageSet("noise", Pixels(pixels.shape, pixels), names, labels, rows, files, rows.astype(np.uint64))


def pairs(images: ImageSet, theirs: Any, way: int, shot: int) -> Iterator[tuple[str, tuple[Work, Work]]]:
    """What is compared on one kind of task: ours, and theirs; each is called with a number."""
    l2l = learn2learn()
    sampler = EpisodeSampler(images, way, shot, QUERY)
    transforms = l2l.data.transforms
    indices = [transforms.NWays(theirs, way), transforms.KShots(theirs, shot + QUERY)]
    pictures = [*indices, transforms.LoadData(theirs), transforms.RemapLabels(theirs)]
    described = l2l.data.Taskset(theirs, task_transforms=indices)
    loaded = l2l.data.Taskset(theirs, task_transforms=pictures)
    yield "episodes as indices", (sampler.plan, lambda _: described.sample_task_description())
    yield "episodes with pictures", (sampler.__getitem__, lambda _: loaded.sample())
    support, queries = torch.rand(way * shot, FEATURE_DIM), torch.rand(way * QUERY, FEATURE_DIM)
    labels = torch.arange(way).repeat_interleave(shot)

    def prototypes(_: int) -> Tensor:
        return PrototypeHead(class_means(support, labels), None)(queries)

    def other(_: int) -> Tensor:
        classifier = l2l.nn.PrototypicalClassifier(support, labels)
        answer: Tensor = classifier(queries)
        return answer

    torch.testing.assert_close(prototypes(0), other(0), rtol=1e-4, atol=1e-3)
    yield "prototypes fitted and asked", (prototypes, other)


def in_turns(sides: Mapping[str, Work], config: Learn2LearnSpeedConfig) -> dict[str, list[float]]:
    """Calls a second of every side, by rounds."""
    rates: dict[str, list[float]] = {side: [] for side in sides}
    number = 0
    for work in sides.values():
        work(number)
    for _ in range(config.rounds):
        for side, work in sides.items():
            start, calls = time.thread_time(), 0
            while (spent := time.thread_time() - start) < config.seconds:
                number, calls = number + 1, calls + 1
                work(number)
            rates[side].append(calls / spent)
    return rates


if __name__ == "__main__":
    run(parse("python -m benchmarks.learn2learn_speed", Learn2LearnSpeedConfig, sys.argv[1:], description=__doc__))
