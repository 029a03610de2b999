"""From support and query pictures to logits: this project beside a plain implementation of the papers, in one run.

    python -m benchmarks.task_speed

Simple CNAPS with the published networks at 84 x 84, random weights, 10 queries a class, one thread. Times are the
thread's processor time, so that what else the machine does disturbs them little; both sides take turns. ``folded`` has
FiLM and BatchNorm folded into the convolutions, which the classifier for people does. The goals are ratios that a
prototype reached, on one thread of a Zen 4 core.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks import task_reference as plain
from fewshot_film.classifier.adapting import CHUNK, Adapter
from fewshot_film.config import SimpleCNAPSConfig
from fewshot_film.film import Modulations
from fewshot_film.learners import SimpleCNAPS, fit_mahalanobis
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result

GOALS = {
    "head": {"5-way 1-shot": 100, "5-way 5-shot": 100, "20-way 5-shot": 100, "50-way 10-shot": 40},
    "task": {"5-way 5-shot": 1.25},
    "one query after fit": {"5-way 5-shot": 30},
}
"""Ratios of plain to ours that were to be reached."""

Work = Callable[[], object]


@dataclass(frozen=True)
class TaskSpeedConfig:
    """What is measured."""

    ways: tuple[int, ...] = (5, 5, 20, 50)
    """Classes of each task."""
    shots: tuple[int, ...] = (1, 5, 5, 10)
    """Support pictures a class, of each task."""
    query: int = 10
    """Query pictures a class."""
    seconds: float = 10.0
    """Time for each pair that is compared; every side is measured at least once beside the first time."""
    most: int = 50
    """Measurements of each side, at most."""
    bfloat16: bool = False
    """Also measure ours with bfloat16 convolutions: for processors that have them."""
    seed: int = 0
    """Seed of weights and pictures."""
    out: Path = Path("benchmarks/results/task_speed.json")
    """Result file."""


@dataclass(frozen=True)
class Task:
    """One task and the learner that is timed on it."""

    learner: SimpleCNAPS
    adapter: Adapter
    support: Tensor
    labels: Tensor
    queries: Tensor


def run(config: TaskSpeedConfig) -> None:
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


def measure(task: Task, config: TaskSpeedConfig) -> dict[str, Any]:
    """Every pair on one task, and how far the two sides' logits are apart."""
    found: dict[str, Any] = {}
    for name, sides in pairs(task, config.bfloat16).items():
        times = in_turns(sides, config)
        middle = {side: statistics.median(values) for side, values in times.items()}
        ratios = {f"plain / {side}": middle["plain"] / middle[side] for side in middle if side != "plain"}
        found[name] = {"milliseconds": times, **ratios}
    expected = plain.logits(task.learner, task.support, task.labels, task.queries)
    ours = task.learner.adapt(task.support, task.labels)(task.queries)
    found["largest relative difference"] = float((ours - expected).abs().max() / expected.abs().max())
    return found


def pairs(task: Task, bfloat16: bool) -> dict[str, dict[str, Work]]:
    """What is timed, by part and side; every part has ``plain`` and at least one other side."""
    learner, adapter = task.learner, task.adapter
    support, labels, queries = task.support, task.labels, task.queries
    modulations = cast(Modulations, learner.modulations(support))
    features = learner.features(support, modulations)
    asked = learner.features(queries, modulations)
    adapted = learner.adapt(support, labels)
    network = adapter.network(modulations)
    one = queries[:1]

    def folded_task() -> Tensor:
        network = adapter.network(cast(Modulations, learner.modulations(support)))
        return fit_mahalanobis(through(network, support), labels)(through(network, queries))

    def half_task() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return folded_task()

    return {
        "set encoder": {"plain": lambda: plain.task_code(learner, support), "ours": lambda: learner.encode(support)},
        "query features": {
            "plain": lambda: plain.features(learner, queries, modulations),
            "ours": lambda: learner.features(queries, modulations),
            "folded": lambda: through(network, queries),
        },
        "head": {
            "plain": lambda: plain.predict(plain.fit(features, labels), asked),
            "ours": lambda: fit_mahalanobis(features, labels)(asked),
        },
        "task": {
            "plain": lambda: plain.logits(learner, support, labels, queries),
            "ours": lambda: learner.adapt(support, labels)(queries),
            "folded": folded_task,
            **({"folded, bfloat16": half_task} if bfloat16 else {}),
        },
        "one query after fit": {
            "plain": lambda: plain.logits(learner, support, labels, one),
            "ours": lambda: adapted(one),
            "folded": lambda: adapted.head(through(network, one)),
        },
    }


def through(network: nn.Module, images: Tensor, chunk: int = CHUNK) -> Tensor:
    """Features of pictures, in chunks that stay in the processor's caches."""
    laid_out = images.contiguous(memory_format=torch.channels_last)
    return torch.cat([network(piece) for piece in laid_out.split(chunk)])


def in_turns(sides: Mapping[str, Work], config: TaskSpeedConfig) -> dict[str, list[float]]:
    """Milliseconds of processor time of every side, one after the other, until the time is spent."""
    for work in sides.values():
        work()
    times: dict[str, list[float]] = {side: [] for side in sides}
    began = time.perf_counter()
    for _ in range(config.most):
        for side, work in sides.items():
            start = time.thread_time()
            work()
            times[side].append(1e3 * (time.thread_time() - start))
        if time.perf_counter() - began > config.seconds:
            break
    return times


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


if __name__ == "__main__":
    run(parse("python -m benchmarks.task_speed", TaskSpeedConfig, sys.argv[1:], description=__doc__))
