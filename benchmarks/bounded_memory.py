"""One training episode of Simple CNAPS: gradients in full, exact ones in bounded memory, and LITE's estimate.

``python -m benchmarks.bounded_memory`` takes a 10-way 10-shot episode with 10 queries a class through loss and
gradient, with the paper's backbone at 84 x 84 and with a small one at 32 x 32, every way in a fresh process of one
thread, and writes ``benchmarks/results/bounded_memory.json``; ``--small`` does the small one alone. Peak memory is the
resident set's, less what the process held before the episode; time is the process's own, so other work on the machine
disturbs it less than the clock's. Errors are relative to the gradient in full, over all parameters together; those of
LITE are a mean over three subsets. Exact gradients differ by single precision's rounding alone, which random weights
magnify: in double precision the tests hold them to 1e-10.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import timed
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.config.memory import MemoryConfig
from fewshot_film.learners import SimpleCNAPS
from fewshot_film.learners.objectives import bound_memory
from fewshot_film.run.results import write_result

OUT = Path(__file__).resolve().parent / "results" / "bounded_memory.json"
WAY, SHOT, QUERY = 10, 10, 10
MODELS = {
    "width 16, 32 x 32": SimpleCNAPSConfig(
        backbone=BackboneConfig(width=16, image_size=32, stem_kernel=3, stem_stride=1), set_encoder_layers=4
    ),
    "ResNet-18 of CNAPS, 84 x 84": SimpleCNAPSConfig(),
}
WAYS = {
    "full": MemoryConfig(),
    "exact, 64 images": MemoryConfig("exact", chunk=64),
    "exact, 16 images": MemoryConfig("exact", chunk=16),
    "exact, 4 images": MemoryConfig("exact", chunk=4),
    "LITE, 40 of 100": MemoryConfig("lite", lite_support=40),
    "LITE, 10 of 100": MemoryConfig("lite", lite_support=10),
}


def main() -> None:
    """Measure every way, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the small model alone")
    parser.add_argument("--out", type=Path, default=OUT, help="the result file")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    settings = {"way": WAY, "shot": SHOT, "query": QUERY, "models": MODELS, "ways": WAYS}
    results = {}
    for name in list(MODELS)[: 1 if arguments.small else None]:
        results[name] = compare(name)
        write_result(arguments.out, config=settings, seed=0, results=results)


def compare(model: str) -> dict[str, Any]:
    """All ways on one model; prints its table."""
    rows: dict[str, Any] = {}
    print(f"| {model} | CPU time, s | memory, MiB | error of the gradient |\n| --- | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            file = Path(folder) / f"{len(rows)}.safetensors"
            command = [sys.executable, "-m", "benchmarks.bounded_memory", "--one", model, way, str(file)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            full = safetensors.torch.load_file(Path(folder) / "0.safetensors")
            rows[way] = row = json.loads(done.stdout)
            row["errors"] = [distance(found, full) for found in draws(safetensors.torch.load_file(file))]
            error, seconds = statistics.mean(row["errors"]), statistics.median(row["cpu_seconds"])
            print(f"| {way} | {seconds:.2f} | {row['memory_mib']:.0f} | {error:.1e} |", flush=True)
    return rows


def measure(model: str, way: str, file: str) -> dict[str, Any]:
    """Time and memory of one way in this process; its gradients go to a file, ``DRAW/PARAMETER``."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    learner = SimpleCNAPS(MODELS[model]).train()
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            if "regulariser" in name:  # FiLM far enough from the identity that its gradients say something
                parameter.normal_(std=0.1)
    bound_memory(learner, WAYS[way])
    episode = an_episode(MODELS[model].backbone)
    gradients_of(learner, *an_episode(MODELS[model].backbone, shot=1, query=1))  # code and libraries are loaded by it
    before = peak_mib()
    seconds: list[float] = []
    gradients: dict[str, Tensor] = {}
    for draw in range(3 if WAYS[way].mode == "lite" else 1):
        found, spent = timed(partial(gradients_of, learner, *episode))
        seconds.append(spent.processor)
        if draw == 0:
            memory = peak_mib() - before
        gradients |= {f"{draw}/{name}": gradient for name, gradient in found.items()}
    safetensors.torch.save_file(gradients, file)
    return {"cpu_seconds": seconds, "memory_mib": memory, "before_mib": before}


def an_episode(backbone: BackboneConfig, shot: int = SHOT, query: int = QUERY) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random images of every class about a random one: support, labels, queries, labels."""
    generator = torch.Generator().manual_seed(1)
    shape = (backbone.channels, backbone.image_size, backbone.image_size)
    centres = torch.rand(WAY, *shape, generator=generator)
    support, query_labels = torch.arange(WAY).repeat_interleave(shot), torch.arange(WAY).repeat_interleave(query)
    images = [
        (centres[labels] + 0.5 * torch.randn(len(labels), *shape, generator=generator)).clamp(0, 1)
        for labels in (support, query_labels)
    ]
    return images[0], support, images[1], query_labels


def gradients_of(learner: SimpleCNAPS, *episode: Tensor) -> dict[str, Tensor]:
    """Gradient of the episode's loss by every parameter that is trained."""
    support, labels, query, query_labels = episode
    learner.zero_grad()
    loss = F.cross_entropy(learner.adapt(support, labels)(query), query_labels)
    if learner.generator is not None:
        loss = loss + learner.generator.penalty()
    loss.backward()
    return {name: each.grad.clone() for name, each in learner.named_parameters() if each.grad is not None}


def draws(gradients: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The gradients of every draw by parameter."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in gradients.items():
        draw, _, name = key.partition("/")
        found.setdefault(draw, {})[name] = value
    return list(found.values())


def distance(found: dict[str, Tensor], full: dict[str, Tensor]) -> float:
    """Norm of the difference over the norm of the gradient in full."""
    expected = torch.cat([full[f"0/{name}"].double().flatten() for name in found])
    difference = torch.cat([value.double().flatten() for value in found.values()]) - expected
    return float(difference.norm() / expected.norm())


def peak_mib() -> float:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
