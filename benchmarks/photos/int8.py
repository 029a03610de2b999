"""Do 8-bit integers cost accuracy? One head on a backbone's features in float32 and in integers, on the same tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.photos.bars import judged_int8
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.experiment import ALL_LEARNERS, TASKS_CODE, remembered
from benchmarks.photos.features import FrozenBackbone, cached_features, features_key, kept_rows, load_backbone
from benchmarks.photos.heads import build_head
from benchmarks.photos.measure import FEW, Cell, Tasks, accuracies, measure, why_left_out
from benchmarks.photos.settings import Int8Config
from fewshot_film.classifier.adapting import Adapter, features_of
from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.data import decode
from fewshot_film.learners import PrototypicalNetworks
from fewshot_film.run.results import paired_difference, write_result
from fewshot_film.run.settings import plain

OUT = Path(__file__).resolve().parent.parent / "results" / "photos_int8.json"
CALIBRATED = Cell(FEW, 5)
"""The network is calibrated on the support set of the first of these tasks, as `fit` would."""


def run(config: Int8Config) -> int:
    """Measure, print, write."""
    torch.set_num_threads(1)
    backbone, found = load_backbone(config.backbone), {}
    for domain in open_domains(config.root, config.domains):
        found[domain.name] = _domain(backbone, domain, config)
        line = (f"{task} {100 * cell['difference']['mean']:+.2f}" for task, cell in found[domain.name].items())
        print(f"{domain.name}: {', '.join(line)}", flush=True)
    write_result(Path(config.out or OUT), config=config, seed=0, results={"domains": found, "bars": judged_int8(found)})
    return 0


def _domain(backbone: FrozenBackbone, domain: Domain, config: Int8Config) -> dict[str, Any]:
    """Accuracies in both precisions, by cell."""
    cells = [cell for shot in config.shots if not why_left_out(domain, cell := Cell(FEW, shot), config.query)]

    def part() -> dict[str, Any]:
        if not cells:
            return {}
        features = {
            "float32": cached_features(backbone, domain, Path(config.cache)),
            "int8": int8_features(backbone, domain, Path(config.cache) / "int8"),
        }
        head, found = build_head(config.head, backbone), {}
        settings: dict[str, Any] = {"query": config.query, "episodes": config.episodes, "judged": 0}
        for cell in cells:
            records = {name: measure(head, domain, rows, cell, **settings).record() for name, rows in features.items()}
            mean, interval = paired_difference(accuracies(records["int8"]), accuracies(records["float32"]))
            found[cell.name] = {**records, "difference": {"mean": mean, "interval": interval}}
        return found

    decisive = [features_key(backbone.network, domain), config.head, config.query, config.episodes, config.shots]
    code = (*TASKS_CODE, ALL_LEARNERS, "fewshot_film/classifier/quantized.py", "fewshot_film/classifier/int8_layers.py")
    return remembered(Path(config.cache) / "parts", plain(["int8", *decisive]), code, part)


def int8_features(backbone: FrozenBackbone, domain: Domain, folder: Path) -> np.ndarray:
    """Features ``(N, D)`` of a domain's images, by a network in integers that is calibrated on one support set.

    Args:
        backbone: the network, in float32.
        domain: the images.
        folder: keeps the features; made where it is missing.
    """
    return kept_rows(backbone.network, domain, folder, partial(_calibrated, backbone, domain))


def _calibrated(backbone: FrozenBackbone, domain: Domain) -> Callable[[Tensor], Tensor]:
    adapter = Adapter(PrototypicalNetworks(PrototypesConfig(backbone=backbone.template.backbone), backbone.network))
    decoded = decode(domain.source, **backbone.network.preprocessing.pixels, on_duplicate="keep")
    place = {file: number for number, file in enumerate(decoded.files)}
    plan, _ = Tasks(domain, CALIBRATED, 1).split(0)
    images = decoded.get(np.array([place[domain.images.files[number]] for number in plan.support]))
    network, _ = adapter.calibrated({}, images, torch.from_numpy(plan.support_labels))
    return lambda images: features_of(network, images, adapter.device)
