"""How many pictures should go through a frozen network at once: CPU time a picture by the size of the chunk.

``python -m benchmarks.chunk_size`` runs 128 pictures through FiLM-ed backbones in chunks, without gradients, on one
thread, and writes ``benchmarks/results/chunk_size.json``. The sizes take turns, the time is the process's own, and the
smallest of several counts: what else runs on the machine can only add to it.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from fewshot_film.config.learners import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.learners import SimpleCNAPS
from fewshot_film.run.results import write_result

OUT = Path(__file__).resolve().parent / "results" / "chunk_size.json"
CHUNKS = (4, 8, 16, 32, 64, 128)
PICTURES, ROUNDS = 128, 5
BACKBONES = {
    "CNAPS's ResNet-18, 84 x 84": BackboneConfig(),
    "torchvision's ResNet-18, 84 x 84": BackboneConfig(name="resnet18"),
    "width 32, stride 1, 32 x 32": BackboneConfig(width=32, image_size=32, stem_kernel=3, stem_stride=1),
    "width 32, 3 stages, 28 x 28, grey": BackboneConfig(
        width=32, blocks=(1, 1, 1), image_size=28, channels=1, stem_kernel=3, stem_stride=1
    ),
}


def measure(backbone: BackboneConfig) -> dict[str, list[float]]:
    """Milliseconds a picture of every round, by the size of the chunk."""
    learner = SimpleCNAPS(SimpleCNAPSConfig(backbone=backbone, set_encoder_layers=2, chunk=PICTURES)).eval()
    images = torch.rand(PICTURES, backbone.channels, backbone.image_size, backbone.image_size)
    images = images.contiguous(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {str(chunk): [] for chunk in CHUNKS}
    with torch.no_grad():
        modulations = learner.modulations(images[:4])
        for _ in range(ROUNDS):
            for chunk in CHUNKS:
                began = time.process_time()
                for piece in images.split(chunk):
                    learner.features(piece, modulations)
                times[str(chunk)].append(1e3 * (time.process_time() - began) / PICTURES)
    return times


def main() -> None:
    """Measure every backbone, print the table, write the result."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    print(f"| ms of CPU time a picture | {' | '.join(map(str, CHUNKS))} |\n| --- {'| ---: ' * len(CHUNKS)}|")
    for name, backbone in BACKBONES.items():
        results[name] = times = measure(backbone)
        print(f"| {name} | {' | '.join(f'{min(values):.3f}' for values in times.values())} |", flush=True)
    relative = {
        chunk: statistics.geometric_mean(
            min(times[chunk]) / min(min(values) for values in times.values()) for times in results.values()
        )
        for chunk in map(str, CHUNKS)
    }
    print(f"| times the best, geometric mean | {' | '.join(f'{value:.2f}' for value in relative.values())} |")
    settings = {"pictures": PICTURES, "rounds": ROUNDS, "backbones": BACKBONES}
    write_result(OUT, config=settings, seed=0, results={"ms_per_picture": results, "times_the_best": relative})


if __name__ == "__main__":
    main()
