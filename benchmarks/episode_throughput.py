"""Episodes a second: with the cache of decoded pictures and without it, and indices alone.

    python -m benchmarks.episode_throughput --source omniglot --root omniglot.zip --image-size 28 --channels 1

One process, one thread, no loader workers. A second is one of the processor's, so that other work on the
machine hardly matters. Every measurement is repeated in rounds; the values are the rounds' rates.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_film.data import ImageSet, ImageSource, decode, open_source
from fewshot_film.data.pictures import to_array
from fewshot_film.episodes import EpisodeSampler, MetaDatasetSampler, fingerprint
from fewshot_film.run.results import summary, write_result

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Config:
    """What is measured."""

    source: str
    """Name of the source, see `fewshot_film.data.source_names`."""
    split: str
    """Classes to draw from."""
    image_size: int
    """Side of the pictures, pixels."""
    channels: int
    """3 or 1."""
    rounds: int
    """Repetitions of every measurement."""
    seconds: float
    """Least time of one round."""
    query: int = 10
    """Query pictures a class."""


def rate(work: Callable[[int], Any], config: Config) -> dict[str, Any]:
    """Calls a second of ``work(20)``, ``work(21)``, ..., after 20 calls that do not count."""
    for index in range(20):
        work(index)
    index, values = 20, []
    for _ in range(config.rounds):
        start, first = time.process_time(), index
        while time.process_time() - start < config.seconds:
            work(index)
            index += 1
        values.append((index - first) / (time.process_time() - start))
    return summary(values)


def fetch_undecoded(source: ImageSource, sampler: EpisodeSampler, config: Config, index: int) -> torch.Tensor:
    """Pictures of an episode from their files, as a loader without a cache does."""
    plan = sampler.plan(index)
    pictures = [
        to_array(
            source.load(picture, min_side=2 * config.image_size),
            source.files[picture],
            image_size=config.image_size,
            channels=config.channels,
        )
        for picture in (*plan.support.tolist(), *plan.query.tolist())
    ]
    return torch.from_numpy(np.stack(pictures)).float().div_(255)


def measure(source: ImageSource, images: ImageSet, config: Config, seed: int) -> dict[str, Any]:
    """All rates, by name."""
    results: dict[str, Any] = {}
    for way, shot in ((5, 1), (5, 5), (20, 5)):
        sampler = EpisodeSampler(images, way, shot, config.query, seed=seed)
        name = f"{way}-way {shot}-shot"
        results[f"{name}, indices"] = rate(sampler.plan, config)
        results[f"{name}, with cache"] = rate(sampler.__getitem__, config)
        fetch = partial(fetch_undecoded, source, sampler, config)
        results[f"{name}, without cache"] = rate(fetch, config)
    variable = MetaDatasetSampler(images, seed=seed)
    results["Meta-Dataset, indices"] = rate(variable.plan, config)
    results["Meta-Dataset, with cache"] = rate(variable.__getitem__, config)
    return results


def main() -> None:
    """Measure one source and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="omniglot")
    parser.add_argument("--root", default=None, help="folder or zip; none for generated sources")
    parser.add_argument("--split", default="train")
    parser.add_argument("--image-size", type=int, default=84)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = Config(
        options.source, options.split, options.image_size, options.channels, options.rounds, options.seconds
    )
    source = open_source(options.source, options.root, options.split)
    with tempfile.TemporaryDirectory() as cache_dir:
        start = time.process_time()
        decode(source, config.image_size, config.channels, cache_dir)
        decoding = time.process_time() - start
        start = time.process_time()
        # Kept, so that an index means the same picture in the source and in the set.
        images = decode(source, config.image_size, config.channels, cache_dir, on_duplicate="keep")
        if images.skipped:
            parser.error(f"{len(images.skipped)} pictures cannot be decoded; measure a set without such")
        opening = time.process_time() - start
        results = measure(source, images, config, options.seed)
        digest = fingerprint(EpisodeSampler(images, 5, 1, config.query, seed=options.seed), 100)
    results |= {
        "pictures": len(images),
        "processor seconds to decode": decoding,
        "processor seconds to open the cache": opening,
        "fingerprint of 100 episodes": digest,
    }
    name = f"episode_throughput_{config.source.replace(':', '_')}_{config.image_size}.json"
    write_result(options.out or RESULTS / name, config=config, seed=options.seed, results=results)
    for what, value in results.items():
        if isinstance(value, dict):
            print(f"{what:32} {value['mean']:10.0f} ± {value['interval']:.0f} a processor second")


if __name__ == "__main__":
    main()
