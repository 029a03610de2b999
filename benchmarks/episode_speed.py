"""Episodes per second: with the cache of decoded images and without it, as indices alone, and beside learn2learn.

    python -m benchmarks.episode_speed throughput --source omniglot --root omniglot.zip --image_size 28 --channels 1
    python -m benchmarks.episode_speed learn2learn

``learn2learn`` needs the extra of that name: episodes are drawn as indices alone, and with their images, from a set of
64 classes with 600 images of 32 x 32 each in memory; prototypes are fitted to features and asked about queries. Its
MAML is not here: ours runs on its inner loop. One process, one thread, no loader workers; seconds are the processor's,
so that other work on the machine hardly matters. Every measurement is repeated in rounds; the values are the rounds'
rates.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import rates, timed
from fewshot_film.data import ImageSet, ImageSource, decode, open_source
from fewshot_film.data.image_set import Pixels
from fewshot_film.data.pixels import to_array
from fewshot_film.episodes import EpisodeSampler, MetaDatasetSampler, fingerprint
from fewshot_film.errors import InvalidValueError
from fewshot_film.extras import learn2learn
from fewshot_film.learners.prototypes import PrototypeHead
from fewshot_film.learners.support import class_means
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, above, at_least

Work = Callable[[int], object]
RESULTS = Path(__file__).resolve().parent / "results"

# ours, with and without the cache


@dataclass(frozen=True)
class ThroughputConfig(Settings):
    """What is measured."""

    source: str = "omniglot"
    """Name of the source, see `fewshot_film.data.source_names`."""
    root: str | None = None
    """Folder or zip; null for generated sources."""
    split: str = "train"
    """Classes to draw from."""
    image_size: Annotated[int, at_least(1)] = 84
    """Side of the images, pixels."""
    channels: Annotated[int, at_least(1)] = 3
    """3 or 1."""
    rounds: Annotated[int, at_least(1)] = 10
    """Repetitions of every measurement."""
    seconds: Annotated[float, above(0)] = 0.5
    """Least time of one round."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the episodes."""
    out: Path | None = None
    """Result file; null: named by source and size, in benchmarks/results."""


def throughput(config: ThroughputConfig) -> None:
    """Measure one source, print and write.

    Raises:
        InvalidValueError: the source has images that cannot be decoded.
    """
    torch.set_num_threads(1)
    source = open_source(config.source, config.root, config.split)
    with tempfile.TemporaryDirectory() as cache_dir:
        # Duplicates are kept, so that an index means the same image in the source and in the set.
        read = partial(decode, source, config.image_size, config.channels, cache_dir, on_duplicate="keep")
        _, decoding = timed(partial(decode, source, config.image_size, config.channels, cache_dir))
        images, opening = timed(read)
        if images.skipped:
            raise InvalidValueError(f"{len(images.skipped)} images cannot be decoded; measure a set without such")
        results = measure(source, images, config)
        digest = fingerprint(EpisodeSampler(images, 5, 1, config.query, seed=config.seed), 100)
    results |= {
        "images": len(images),
        "processor seconds to decode": decoding.processor,
        "processor seconds to open the cache": opening.processor,
        "fingerprint of 100 episodes": digest,
    }
    name = f"episode_throughput_{config.source.replace(':', '_')}_{config.image_size}.json"
    write_result(config.out or RESULTS / name, config=config, seed=config.seed, results=results)
    for what, value in results.items():
        if isinstance(value, dict):
            print(f"{what:32} {value['mean']:10.0f} ± {value['interval']:.0f} a processor second")


def measure(source: ImageSource, images: ImageSet, config: ThroughputConfig) -> dict[str, Any]:
    """All rates, by name."""
    works: dict[str, Work] = {}
    for way, shot in ((5, 1), (5, 5), (20, 5)):
        sampler = EpisodeSampler(images, way, shot, config.query, seed=config.seed)
        name = f"{way}-way {shot}-shot"
        works[f"{name}, indices"] = sampler.plan
        works[f"{name}, with cache"] = sampler.__getitem__
        works[f"{name}, without cache"] = partial(fetch_undecoded, source, sampler, config)
    variable = MetaDatasetSampler(images, seed=config.seed)
    works["Meta-Dataset, indices"] = variable.plan
    works["Meta-Dataset, with cache"] = variable.__getitem__
    return {name: summary(each) for name, each in rates(works, config.rounds, config.seconds, warm_up=20).items()}


def fetch_undecoded(source: ImageSource, sampler: EpisodeSampler, config: ThroughputConfig, index: int) -> torch.Tensor:
    """Images of an episode from their files, as a loader without a cache does."""
    plan = sampler.plan(index)
    images = [
        to_array(
            source.load(picture, min_side=2 * config.image_size),
            source.files[picture],
            image_size=config.image_size,
            channels=config.channels,
        )
        for picture in (*plan.support.tolist(), *plan.query.tolist())
    ]
    return torch.from_numpy(np.stack(images)).float().div_(255)


# beside learn2learn

CLASSES, PER_CLASS, SIDE, FEATURE_DIM, QUERY = 64, 600, 32, 512, 10
GOAL = 10_000
"""Episodes a second as indices, 20-way 5-shot, that were to be reached."""


@dataclass(frozen=True)
class Learn2LearnSpeedConfig(Settings):
    """What is measured."""

    ways: Annotated[tuple[int, ...], at_least(2)] = (5, 20)
    """Classes of each task."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (5, 5)
    """Support images a class, of each task; 10 queries a class."""
    rounds: Annotated[int, at_least(1)] = 7
    """Measurements of each side."""
    seconds: Annotated[float, above(0)] = 0.5
    """Processor time of one measurement."""
    out: Path = RESULTS / "learn2learn_speed.json"
    """Result file."""


class InMemory(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The same images as learn2learn reads them."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.images = torch.from_numpy(pixels)
        self.labels = labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index].float().div(255), self.labels[index]


def beside_learn2learn(config: Learn2LearnSpeedConfig) -> None:
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
            sides = {"ours": ours, "learn2learn": other}
            found = rates(sides, config.rounds, config.seconds, clock=time.thread_time)
            middle = {side: statistics.median(values) for side, values in found.items()}
            name = f"{what}, {way}-way {shot}-shot"
            ratio = middle["ours"] / middle["learn2learn"]
            results[name] = {**{side: summary(values) for side, values in found.items()}, "ratio of medians": ratio}
            print(f"| {name} | {middle['ours']:.0f} | {middle['learn2learn']:.0f} | {ratio:.1f} |", flush=True)
    write_result(config.out, config=config, seed=0, results=results)


def image_set(pixels: np.ndarray, labels: np.ndarray) -> ImageSet:
    """The images as this project holds them."""
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
    yield "episodes with images", (sampler.__getitem__, lambda _: loaded.sample())
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


COMMANDS = [
    Command(
        "throughput",
        ThroughputConfig,
        "benchmarks.episode_speed:throughput",
        "Episodes per second of one source, with the cache of decoded images and without it.",
        (
            "python -m benchmarks.episode_speed throughput --source omniglot --root omniglot.zip"
            " --image_size 28 --channels 1",
        ),
    ),
    Command(
        "learn2learn",
        Learn2LearnSpeedConfig,
        "benchmarks.episode_speed:beside_learn2learn",
        "Episodes and prototypes beside learn2learn's.",
        ("python -m benchmarks.episode_speed learn2learn",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.episode_speed", COMMANDS))
