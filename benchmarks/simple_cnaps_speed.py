"""How fast Simple CNAPS is: beside the papers written down plainly, and by the number of images that go at once.

    python -m benchmarks.simple_cnaps_speed task
    python -m benchmarks.simple_cnaps_speed head
    python -m benchmarks.simple_cnaps_speed chunk-size

``task`` goes from support and query images to logits, with the published networks at 84 x 84, random weights, 10
queries per class. ``folded`` has FiLM and BatchNorm folded into the convolutions, which `FewShotClassifier` does. The
goals are ratios that a prototype reached, on one thread of a Zen 4 core. ``head`` is the classifier alone, on random
features with the 512 dimensions of a ResNet-18: one inverse per class against the shared small system. ``chunk-size``
runs images through FiLM-ed backbones in chunks, without gradients. One thread; times are the processor's, but for
``head``, where nothing else may run meanwhile; all sides take turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from benchmarks.timing import in_turns
from fewshot_film.classifier.adapting import CHUNK, Adapter
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.film import Modulation, Modulations
from fewshot_film.learners import SimpleCNAPS, fit_mahalanobis
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, above, at_least

GOALS = {
    "head": {"5-way 1-shot": 100, "5-way 5-shot": 100, "20-way 5-shot": 100, "50-way 10-shot": 40},
    "task": {"5-way 5-shot": 1.25},
    "one query after fit": {"5-way 5-shot": 30},
}
"""Ratios of plain to ours that were to be reached."""

Work = Callable[[], object]
RESULTS = Path(__file__).resolve().parent / "results"


# Simple CNAPS as the papers write it down, without any of the shortcuts: the same mathematics and the same weights,
# with FiLM as layers of its own, all images of a set at once in the plain memory layout, one covariance and one inverse
# of D x D per class, and the support set worked through again for every batch of queries. Requeima et al. 2019 (set
# encoder, generator, FiLM-ed residual blocks), Bateni et al. 2020 (eq. 2-4).


def plain_task_code(learner: SimpleCNAPS, images: Tensor) -> Tensor:
    """Five blocks of convolution, BatchNorm by the set's statistics, ReLU and pooling; the mean, ``(1, 64)``."""
    assert learner.set_encoder is not None
    x = _normalised(learner, images)
    for block in learner.set_encoder.blocks:
        conv, norm = cast(nn.Conv2d, block.conv), cast(nn.BatchNorm2d, block.norm)
        x = F.conv2d(x, conv.weight, conv.bias, padding=1)
        x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
        x = F.max_pool2d(F.relu(x), 2)
    return x.mean((2, 3)).mean(0, keepdim=True)


def plain_features(learner: SimpleCNAPS, images: Tensor, modulations: Modulations) -> Tensor:
    """Adapted features ``(B, D)``: every block with FiLM after both of its BatchNorms."""
    backbone = learner.backbone
    x = _normalised(learner, images)
    for module in backbone.stem_modules()[1:]:
        x = module(x)
    for stage in backbone.stage_names:
        for index, block in enumerate(cast(nn.Sequential, backbone.get_submodule(stage))):
            x = _block(cast(BasicBlock, block), x, *(modulations[f"{stage}.{index}.bn{part}"] for part in (1, 2)))
    return x.mean((2, 3))


def _block(block: BasicBlock, x: Tensor, first: Modulation, second: Modulation) -> Tensor:
    shortcut = x if block.downsample is None else block.downsample(x)
    x = F.relu(_film(block.bn1(block.conv1(x)), first))
    return F.relu(_film(block.bn2(block.conv2(x)), second) + shortcut)


def _film(x: Tensor, modulation: Modulation) -> Tensor:
    gamma, beta = modulation
    return gamma[:, :, None, None] * x + beta[:, :, None, None]


def _normalised(learner: SimpleCNAPS, images: Tensor) -> Tensor:
    normalize = learner.backbone.normalize
    return (images.contiguous() - normalize.mean) / normalize.std


def plain_fit(support: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Mean and inverse covariance of every class, ``(D,)`` and ``(D, D)``."""
    task = torch.cov(support.T)
    identity = torch.eye(support.shape[1])
    found = []
    for label in labels.unique():
        own = support[labels == label]
        weight = len(own) / (len(own) + 1)
        covariance = torch.cov(own.T) if len(own) > 1 else torch.zeros_like(task)
        found.append((own.mean(0), torch.inverse(weight * covariance + (1 - weight) * task + identity)))
    return found


def plain_predict(classes: list[tuple[Tensor, Tensor]], queries: Tensor) -> Tensor:
    """Logits ``(Q, way)``."""
    columns = []
    for mean, inverse in classes:
        offset = queries - mean
        columns.append(-((offset @ inverse) * offset).sum(1))
    return torch.stack(columns, 1)


def plain_logits(learner: SimpleCNAPS, support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The whole task, as for every batch of queries: ``(Q, way)``."""
    assert learner.generator is not None
    modulations = cast(Modulations, learner.generator(plain_task_code(learner, support)))
    classes = plain_fit(plain_features(learner, support, modulations), labels)
    return plain_predict(classes, plain_features(learner, queries, modulations))


# from support and query images to logits


@dataclass(frozen=True)
class TaskSpeedConfig(Settings):
    """What is measured."""

    ways: Annotated[tuple[int, ...], at_least(2)] = (5, 5, 20, 50)
    """Classes of each task."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5, 5, 10)
    """Support images a class, of each task."""
    query: Annotated[int, at_least(1)] = 10
    """Query images a class."""
    seconds: Annotated[float, above(0)] = 10.0
    """Time for each pair that is compared; every side is measured at least once beside the first time."""
    most: Annotated[int, at_least(1)] = 50
    """Measurements of each side, at most."""
    bfloat16: bool = False
    """Also measure ours with bfloat16 convolutions: for processors that have them."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of weights and images."""
    out: Path = RESULTS / "task_speed.json"
    """Result file."""


@dataclass(frozen=True)
class Task:
    """One task and the learner that is timed on it."""

    learner: SimpleCNAPS
    adapter: Adapter
    support: Tensor
    labels: Tensor
    queries: Tensor


def task(config: TaskSpeedConfig) -> None:
    """Measure every task, print the ratios, write the result."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    learner = SimpleCNAPS(SimpleCNAPSConfig()).eval()
    adapter = Adapter(learner)
    results: dict[str, Any] = {"goals": GOALS}
    with torch.no_grad():
        for way, shot in zip(config.ways, config.shots, strict=True):
            labels = torch.arange(way).repeat_interleave(shot)
            support, queries = torch.rand(way * shot, 3, 84, 84), torch.rand(way * config.query, 3, 84, 84)
            name = f"{way}-way {shot}-shot"
            results[name] = measure(Task(learner, adapter, support, labels, queries), config)
            print(as_table(name, results[name]), flush=True)
    write_result(config.out, config=config, seed=config.seed, results=results)


def measure(one: Task, config: TaskSpeedConfig) -> dict[str, Any]:
    """Every pair on one task, and how far the two sides' logits are apart."""
    found: dict[str, Any] = {}
    for name, sides in pairs(one, config.bfloat16).items():
        times = milliseconds(sides, config.most, clock=time.thread_time, budget=config.seconds)
        middle = {side: statistics.median(values) for side, values in times.items()}
        ratios = {f"plain / {side}": middle["plain"] / middle[side] for side in middle if side != "plain"}
        found[name] = {"milliseconds": times, **ratios}
    expected = plain_logits(one.learner, one.support, one.labels, one.queries)
    ours = one.learner.adapt(one.support, one.labels)(one.queries)
    found["largest relative difference"] = float((ours - expected).abs().max() / expected.abs().max())
    return found


def pairs(one: Task, bfloat16: bool) -> dict[str, dict[str, Work]]:
    """What is timed, by part and side; every part has ``plain`` and at least one other side."""
    learner, support, labels, queries = one.learner, one.support, one.labels, one.queries
    modulations = cast(Modulations, learner.modulations(support))
    network = one.adapter.network(modulations)
    features, asked = (learner.features(images, modulations) for images in (support, queries))
    return {
        "set encoder": {
            "plain": lambda: plain_task_code(learner, support),
            "ours": lambda: learner.encode(support),
        },
        "query features": {
            "plain": lambda: plain_features(learner, queries, modulations),
            "ours": lambda: learner.features(queries, modulations),
            "folded": lambda: through(network, queries),
        },
        "head": {
            "plain": lambda: plain_predict(plain_fit(features, labels), asked),
            "ours": lambda: fit_mahalanobis(features, labels)(asked),
        },
        **_whole_tasks(one, network, bfloat16),
    }


def _whole_tasks(one: Task, network: nn.Module, bfloat16: bool) -> dict[str, dict[str, Work]]:
    """The sides of a whole task, and of one query where that was done before."""
    learner, support, labels, queries = one.learner, one.support, one.labels, one.queries
    adapted, query = learner.adapt(support, labels), queries[:1]

    def folded() -> Tensor:
        anew = one.adapter.network(cast(Modulations, learner.modulations(support)))
        return fit_mahalanobis(through(anew, support), labels)(through(anew, queries))

    def half() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return folded()

    return {
        "task": {
            "plain": lambda: plain_logits(learner, support, labels, queries),
            "ours": lambda: learner.adapt(support, labels)(queries),
            "folded": folded,
            **({"folded, bfloat16": half} if bfloat16 else {}),
        },
        "one query after fit": {
            "plain": lambda: plain_logits(learner, support, labels, query),
            "ours": lambda: adapted(query),
            "folded": lambda: adapted.head(through(network, query)),
        },
    }


def through(network: nn.Module, images: Tensor, chunk: int = CHUNK) -> Tensor:
    """Features of images, in chunks that stay in the processor's caches."""
    laid_out = images.contiguous(memory_format=torch.channels_last)
    return torch.cat([network(piece) for piece in laid_out.split(chunk)])


def milliseconds(sides: Mapping[str, Work], rounds: int, **settings: Any) -> dict[str, list[float]]:
    """See `benchmarks.timing.in_turns`."""
    return {side: [1e3 * each for each in times] for side, times in in_turns(sides, rounds, **settings).items()}


def as_table(name: str, found: Mapping[str, Any]) -> str:
    """Medians and ratios of one task as a Markdown table."""
    lines = [f"| {name} | plain, ms | ours, ms | ratio | folded, ms | ratio | goal |", "| --- " + "| ---: " * 6 + "|"]
    for part, row in found.items():
        if not isinstance(row, Mapping):
            continue
        middle = {side: statistics.median(values) for side, values in row["milliseconds"].items()}
        cells = [f"{middle['plain']:.2f}"]
        for side in ("ours", "folded"):
            known = side in middle
            cells += [f"{middle[side]:.2f}", f"{row[f'plain / {side}']:.2f}"] if known else ["", ""]
        goal = cast(Mapping[str, Mapping[str, float]], GOALS).get(part, {}).get(name, "")
        lines.append(f"| {part} | {' | '.join(cells)} | {goal} |")
    lines.append(f"largest relative difference of the logits: {found['largest relative difference']:.1e}\n")
    return "\n".join(lines)


# the classifier alone

FEATURE_DIM, QUERIES = 512, 10
TASKS = {
    "5-way 1-shot": [1] * 5,
    "5-way 5-shot": [5] * 5,
    "20-way 5-shot": [5] * 20,
    "50-way 10-shot": [10] * 50,
    "30-way, 16 distinct shots": [1 + index % 16 for index in range(30)],
}


@dataclass(frozen=True)
class HeadSpeedConfig(Settings):
    """Where the result goes."""

    out: Path = RESULTS / "head_speed.json"
    """Result file."""


def measure_head(shots: list[int]) -> dict[str, Any]:
    """Both ways on one task, in turn, and how far their answers are apart."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    centres = torch.randn(len(shots), FEATURE_DIM, generator=generator)
    features = centres[labels] + torch.randn(len(labels), FEATURE_DIM, generator=generator)
    queries = torch.randn(QUERIES * len(shots), FEATURE_DIM, generator=generator)
    sides: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: -plain_predict(plain_fit(features, labels), queries),
        "fast": lambda: fit_mahalanobis(features, labels).distances(queries),
    }
    plain = milliseconds({"": sides["plain"]}, 5, clock=time.perf_counter)[""]
    fast = milliseconds({"": sides["fast"]}, 30, clock=time.perf_counter)[""]
    apart = (sides["plain"]() - sides["fast"]()).abs().max()
    return {
        "plain_ms": plain,
        "fast_ms": fast,
        "ratio_of_medians": statistics.median(plain) / statistics.median(fast),
        "largest_difference": float(apart),
    }


def head(config: HeadSpeedConfig) -> None:
    """Measure every task, print the table, write the result."""
    torch.set_num_threads(1)
    results = {}
    print("| task | plain, ms | fast, ms | ratio |\n| --- | ---: | ---: | ---: |")
    with torch.no_grad():
        for name, shots in TASKS.items():
            results[name] = row = measure_head(shots)
            plain, fast = statistics.median(row["plain_ms"]), statistics.median(row["fast_ms"])
            print(f"| {name} | {plain:.1f} | {fast:.2f} | {row['ratio_of_medians']:.0f} |", flush=True)
    settings = {"feature_dim": FEATURE_DIM, "queries": QUERIES, "tasks": TASKS}
    write_result(config.out, config=settings, seed=0, results=results)


# how many images should go through a frozen network at once

CHUNKS = (4, 8, 16, 32, 64, 128)
IMAGES, ROUNDS = 128, 5
BACKBONES = {
    "CNAPS's ResNet-18, 84 x 84": BackboneConfig(),
    "torchvision's ResNet-18, 84 x 84": BackboneConfig(name="resnet18"),
    "width 32, stride 1, 32 x 32": BackboneConfig(width=32, image_size=32, stem_kernel=3, stem_stride=1),
    "width 32, 3 stages, 28 x 28, grey": BackboneConfig(
        width=32, blocks=(1, 1, 1), image_size=28, channels=1, stem_kernel=3, stem_stride=1
    ),
}


@dataclass(frozen=True)
class ChunkSizeConfig(Settings):
    """Where the result goes."""

    out: Path = RESULTS / "chunk_size.json"
    """Result file."""


def measure_chunks(backbone: BackboneConfig) -> dict[str, list[float]]:
    """Milliseconds per image in every round, by the size of the chunk."""
    learner = SimpleCNAPS(SimpleCNAPSConfig(backbone=backbone, set_encoder_layers=2, chunk=IMAGES)).eval()
    images = torch.rand(IMAGES, backbone.channels, backbone.image_size, backbone.image_size)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        modulations = learner.modulations(images[:4])

        def work(chunk: int) -> None:
            for piece in images.split(chunk):
                learner.features(piece, modulations)

        times = milliseconds({str(chunk): partial(work, chunk) for chunk in CHUNKS}, ROUNDS)
    return {chunk: [each / IMAGES for each in values] for chunk, values in times.items()}


def chunk_size(config: ChunkSizeConfig) -> None:
    """Measure every backbone, print the table, write the result."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    print(f"| ms of CPU time per image | {' | '.join(map(str, CHUNKS))} |\n| --- {'| ---: ' * len(CHUNKS)}|")
    for name, backbone in BACKBONES.items():
        results[name] = times = measure_chunks(backbone)
        print(f"| {name} | {' | '.join(f'{min(values):.3f}' for values in times.values())} |", flush=True)
    relative = {
        chunk: statistics.geometric_mean(
            min(times[chunk]) / min(min(values) for values in times.values()) for times in results.values()
        )
        for chunk in map(str, CHUNKS)
    }
    print(f"| times the best, geometric mean | {' | '.join(f'{value:.2f}' for value in relative.values())} |")
    settings = {"images": IMAGES, "rounds": ROUNDS, "backbones": BACKBONES}
    write_result(config.out, config=settings, seed=0, results={"ms_per_image": results, "times_the_best": relative})


COMMANDS = [
    Command(
        "task",
        TaskSpeedConfig,
        "benchmarks.simple_cnaps_speed:task",
        "From support and query images to logits: this project beside a plain implementation of the papers.",
        ("python -m benchmarks.simple_cnaps_speed task",),
    ),
    Command(
        "head",
        HeadSpeedConfig,
        "benchmarks.simple_cnaps_speed:head",
        "The classifier: the plain formula with one inverse per class against the fast one.",
        ("python -m benchmarks.simple_cnaps_speed head",),
    ),
    Command(
        "chunk-size",
        ChunkSizeConfig,
        "benchmarks.simple_cnaps_speed:chunk_size",
        "CPU time per image by the number of images that go through a frozen network at once.",
        ("python -m benchmarks.simple_cnaps_speed chunk-size",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.simple_cnaps_speed", COMMANDS))
