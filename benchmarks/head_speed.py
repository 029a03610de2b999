"""Simple CNAPS's classifier: the plain formula with one inverse a class against the fast one, in one run.

``python -m benchmarks.head_speed`` times fit and prediction on random features with the 512 dimensions of a ResNet-18
and 10 queries a class, one thread, and writes ``benchmarks/results/head_speed.json``. Nothing else may run meanwhile.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewshot_film.learners import fit_mahalanobis
from fewshot_film.run.results import write_result

OUT = Path(__file__).resolve().parent / "results" / "head_speed.json"
FEATURE_DIM, QUERIES = 512, 10
TASKS = {
    "5-way 1-shot": [1] * 5,
    "5-way 5-shot": [5] * 5,
    "20-way 5-shot": [5] * 20,
    "50-way 10-shot": [10] * 50,
    "30-way, 16 distinct shots": [1 + index % 16 for index in range(30)],
}


def plain_distances(features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The formula as it is written: a covariance and an inverse of 512 x 512 for every class."""
    task = torch.cov(features.T)
    identity = torch.eye(features.shape[1])
    columns = []
    for label in labels.unique():
        own = features[labels == label]
        weight = len(own) / (len(own) + 1)
        covariance = torch.cov(own.T) if len(own) > 1 else torch.zeros_like(task)
        inverse = torch.inverse(weight * covariance + (1 - weight) * task + identity)
        offset = queries - own.mean(0)
        columns.append(((offset @ inverse) * offset).sum(1))
    return torch.stack(columns, 1)


def fast_distances(features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The classifier of this project."""
    return fit_mahalanobis(features, labels).distances(queries)


def milliseconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Times of single calls, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - began))
    return times


def measure(shots: list[int]) -> dict[str, Any]:
    """Both ways on one task, in turn, and how far their answers are apart."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    centres = torch.randn(len(shots), FEATURE_DIM, generator=generator)
    features = centres[labels] + torch.randn(len(labels), FEATURE_DIM, generator=generator)
    queries = torch.randn(QUERIES * len(shots), FEATURE_DIM, generator=generator)
    plain = milliseconds(lambda: plain_distances(features, labels, queries), 5)
    fast = milliseconds(lambda: fast_distances(features, labels, queries), 30)
    apart = (plain_distances(features, labels, queries) - fast_distances(features, labels, queries)).abs().max()
    return {
        "plain_ms": plain,
        "fast_ms": fast,
        "ratio_of_medians": statistics.median(plain) / statistics.median(fast),
        "largest_difference": float(apart),
    }


def main() -> None:
    """Measure every task, print the table, write the result."""
    torch.set_num_threads(1)
    results = {}
    print("| task | plain, ms | fast, ms | ratio |\n| --- | ---: | ---: | ---: |")
    with torch.no_grad():
        for name, shots in TASKS.items():
            results[name] = row = measure(shots)
            plain, fast = statistics.median(row["plain_ms"]), statistics.median(row["fast_ms"])
            print(f"| {name} | {plain:.1f} | {fast:.2f} | {row['ratio_of_medians']:.0f} |", flush=True)
    write_result(OUT, config={"feature_dim": FEATURE_DIM, "queries": QUERIES, "tasks": TASKS}, seed=0, results=results)


if __name__ == "__main__":
    main()
