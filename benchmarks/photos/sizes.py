"""How large images should be, and how they become square: one backbone and one head on images prepared differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.experiment import ALL_LEARNERS, TASKS_CODE, remembered
from benchmarks.photos.features import (
    FrozenBackbone,
    cached_features,
    feature_milliseconds,
    features_key,
    load_backbone,
)
from benchmarks.photos.heads import build_head
from benchmarks.photos.measure import FEW, Cell, accuracies, measure, why_left_out
from benchmarks.photos.settings import SizesConfig
from fewshot_film.run.results import paired_difference, write_result
from fewshot_film.run.settings import plain

OUT = Path(__file__).resolve().parent.parent / "results" / "photos_sizes.json"
CROP = 0.875
"""Share of the side that is kept where images are cropped: 224 of 256 pixels."""


def variants(backbone: FrozenBackbone, config: SizesConfig) -> Iterator[tuple[str, str, FrozenBackbone]]:
    """Names, what each is compared with, and the backbone: on images of every size, then made square in other ways.

    Sizes are compared with the largest, other ways with the middle cut out at the same size.
    """
    sizes = sorted({*config.sizes, *([config.ways_at] if config.ways_at else [])}, reverse=True)
    for size in sizes:
        yield _cropped(size), _cropped(sizes[0]), backbone.reading(size=size, resize="crop", crop=CROP)
    size = config.ways_at or sizes[0]
    yield f"{size}, crop 1", _cropped(size), backbone.reading(size=size, resize="crop", crop=1.0)
    for resize in ("stretch", "pad"):
        yield f"{size}, {resize}", _cropped(size), backbone.reading(size=size, resize=resize, crop=1.0)


def _cropped(size: int) -> str:
    return f"{size}, crop {CROP}"


def run(config: SizesConfig) -> int:
    """Measure, print, write."""
    torch.set_num_threads(1)
    domains, backbone = open_domains(config.root, config.domains), load_backbone(config.backbone)
    cells = [Cell(FEW, shot) for shot in config.shots]
    why = [text for one in domains for cell in cells if (text := why_left_out(one, cell, config.query))]
    results: dict[str, Any] = {"left_out": why, "variants": {}}
    for name, reference, changed in variants(backbone, config):
        found = {one.name: _domain(changed, one, cells, config) for one in domains}
        first = results["variants"].get(reference, {"domains": found})["domains"]
        results["variants"][name] = {
            "compared_with": reference,
            "milliseconds": feature_milliseconds(changed),
            "domains": {domain: with_differences(cells_of, first[domain]) for domain, cells_of in found.items()},
        }
        write_result(Path(config.out or OUT), config=config, seed=0, results=results)
        print(f"{name}: {means(results['variants'][name]['domains'])}", flush=True)
    return 0


def _domain(backbone: FrozenBackbone, domain: Domain, cells: list[Cell], config: SizesConfig) -> dict[str, Any]:
    """Accuracies on one domain, by cell."""

    def part() -> dict[str, Any]:
        head, features = build_head(config.head, backbone), cached_features(backbone, domain, Path(config.cache))
        enough = [cell for cell in cells if not why_left_out(domain, cell, config.query)]

        def measured(cell: Cell) -> dict[str, Any]:
            tally = measure(head, domain, features, cell, query=config.query, episodes=config.episodes, judged=0)
            return tally.record()

        return {cell.name: measured(cell) for cell in enough}

    decisive = [features_key(backbone.network, domain), config.head, config.query, config.episodes, config.shots]
    return remembered(Path(config.cache) / "parts", plain(["sizes", *decisive]), (*TASKS_CODE, ALL_LEARNERS), part)


def with_differences(cells: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """Records of cells with the paired difference to those of another variant."""
    found = {}
    for cell, record in cells.items():
        mean, interval = paired_difference(accuracies(record), accuracies(first[cell]))
        found[cell] = {**record, "difference": {"mean": mean, "interval": interval}}
    return found


def means(domains: Mapping[str, Any]) -> dict[str, float]:
    """Mean accuracy over the domains in per cent, by cell."""
    by_cell: dict[str, list[float]] = {}
    for cells in domains.values():
        for cell, record in cells.items():
            by_cell.setdefault(cell, []).append(100 * record["mean"])
    return {cell: round(sum(values) / len(values), 2) for cell, values in by_cell.items()}
