"""All cells: every backbone and head on every domain, part by part, so that what was stopped is continued."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.photos.bars import judged_heads, summary
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.features import (
    FrozenBackbone,
    cached_features,
    feature_milliseconds,
    features_key,
    load_backbone,
)
from benchmarks.photos.heads import COSINE, LOGISTIC, MAHALANOBIS, MEAN, RIDGE, SVM, LearnerHead, build_head
from benchmarks.photos.kinds import judged_domains, known_without
from benchmarks.photos.measure import (
    ALL,
    FEW,
    Cell,
    Tasks,
    episodes_digest,
    head_milliseconds,
    measure,
    why_left_out,
)
from benchmarks.photos.settings import HeadsConfig
from fewshot_film.classifier.kinds import Judged
from fewshot_film.errors import ConfigError, UserError
from fewshot_film.run.files import write_json_atomically
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import plain

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "results" / "photos.json"
TASKS_CODE = ("fewshot_film/episodes/*.py", "benchmarks/photos/measure.py")
"""Files that decide the tasks, and what is counted: their change makes what was measured before out of date."""
JUDGED_CODE = (
    *TASKS_CODE,
    "benchmarks/photos/heads.py",
    "benchmarks/photos/kinds.py",
    "fewshot_film/classifier/adapting.py",
    "fewshot_film/classifier/calibration.py",
    "fewshot_film/classifier/kinds.py",
)
"""The same for a head whose probabilities and limits are measured too."""
ALL_LEARNERS = "fewshot_film/learners/*.py"
_FILES = {
    LOGISTIC: ("benchmarks/photos/linear.py",),
    SVM: ("benchmarks/photos/linear.py",),
    **{
        name: tuple(f"fewshot_film/learners/{file}.py" for file in files)
        for name, files in {
            MEAN: ("prototypes", "support"),
            COSINE: ("prototypes", "support"),
            MAHALANOBIS: ("simple_cnaps", "scatter", "support"),
            RIDGE: ("ridge", "support"),
        }.items()
    },
}
"""Files of every head; of a method that is not here, all learners."""
OUTSIDERS = 40
"""Images of other domains that must be none of the classes."""


def run(config: HeadsConfig) -> int:
    """Measure what is not measured yet, print, write."""
    torch.set_num_threads(1)
    config = replace(config, shots=(1, 5), episodes=20, judged=10) if config.quick else config
    domains = open_domains(config.root, config.domains)[: 2 if config.quick else None]
    backbones, left_out = load_backbones(config.backbones)
    cells, why = _cells(domains, config)
    results: dict[str, Any] = {
        "domains": {one.name: described(one) for one in domains},
        "left_out": [*left_out, *why],
        "cells": {},
        "milliseconds": {},
        "ours": config.ours,
        "bars": {},
    }
    for backbone in backbones:
        measured = BackboneRun(backbone, domains, config)
        results["cells"][backbone.name] = {one.name: measured.domain(one, cells[one.name]) for one in domains}
        results["bars"][backbone.name] = judged_heads(results["cells"][backbone.name], config.ours)
        results["milliseconds"][backbone.name] = _milliseconds(backbone, domains[0], config)
        write_result(Path(config.out or OUT), config=config, seed=0, results=results)
    for line in results["left_out"]:
        print(f"left out: {line}")
    for name, bars in results["bars"].items():
        print(f"{name}: {'; '.join(f'{kind} {held} of {all_}' for kind, (held, all_) in summary(bars).items())}")
    return 0


def load_backbones(names: Sequence[str]) -> tuple[list[FrozenBackbone], list[str]]:
    """Backbones that can be loaded, and a sentence for each that cannot.

    Raises:
        ConfigError: none of them can.
    """
    found: list[FrozenBackbone] = []
    why: list[str] = []
    for name in names:
        try:
            found.append(load_backbone(name))
        except UserError as error:
            why.append(f"{name}: {error}")
    if not found:
        raise ConfigError(f"no backbone can be loaded: {'; '.join(why) or 'none is named'}")
    return found, why


def described(domain: Domain) -> dict[str, Any]:
    """How many classes and images a domain has."""
    sizes = domain.images.class_sizes
    return {
        "classes": len(sizes),
        "images": len(domain.images),
        "smallest_class": int(sizes.min()),
        "duplicates": len(domain.images.duplicates),
    }


def _cells(domains: Sequence[Domain], config: HeadsConfig) -> tuple[dict[str, list[Cell]], list[str]]:
    """The cells that every domain has enough images for, and why the others are left out."""
    wanted = [Cell(way, shot) for way in (FEW, ALL) for shot in config.shots]
    why = {(one.name, cell): why_left_out(one, cell, config.query) for one in domains for cell in wanted}
    cells = {one.name: [cell for cell in wanted if not why[one.name, cell]] for one in domains}
    return cells, [text for text in why.values() if text]


class BackboneRun:
    """All heads on the features of one backbone.

    Calibration and rejection are those of our head, to which the other domains tell its temperature and distances, and
    calibration that of logistic regression, which has probabilities anyway.

    Args:
        backbone: what gives the features.
        domains: all domains.
        config: which tasks and heads.
    """

    def __init__(self, backbone: FrozenBackbone, domains: Sequence[Domain], config: HeadsConfig) -> None:
        self.backbone = backbone
        self.domains = domains
        self.config = config
        self.cache = Path(config.cache)

    def domain(self, domain: Domain, cells: Sequence[Cell]) -> dict[str, Any]:
        """All heads on one domain, by cell."""
        config = self.config
        found: dict[str, Any] = {
            cell.name: {"episodes_sha256": episodes_digest(domain, cell, config.query, config.episodes), "heads": {}}
            for cell in cells
        }
        for name in config.heads:
            records = self._head(name, domain, cells)
            for cell, record in records.items():
                found[cell]["heads"][name] = record
            print(f"{self.backbone.name}, {domain.name}, {name}: {_line(records)}", flush=True)
        return found

    def _head(self, name: str, domain: Domain, cells: Sequence[Cell]) -> dict[str, Any]:
        """Records of one head on one domain, by cell."""
        config, network, is_ours = self.config, self.backbone.network, name == self.config.ours
        judged = config.judged if is_ours or name == LOGISTIC else 0
        settings = {"query": config.query, "episodes": config.episodes, "judged": judged}

        def part() -> dict[str, Any]:
            head, features = build_head(name, self.backbone), cached_features(self.backbone, domain, self.cache)
            if is_ours and isinstance(head, LearnerHead):
                head = replace(head, measured=known_without(domain, self._judged))
            outsiders = self._outsiders(domain) if is_ours else None
            return {
                cell.name: measure(head, domain, features, cell, outsiders=outsiders, **settings).record()
                for cell in cells
            }

        decisive = [features_key(network, domain), name, settings, [asdict(cell) for cell in cells]]
        decisive.append(plain(self.backbone.template.backbone))
        if is_ours:
            decisive.append([features_key(network, one) for one in self.domains])
        code = (*(JUDGED_CODE if is_ours else TASKS_CODE), *_FILES.get(name, (ALL_LEARNERS,)))
        return remembered(self.cache / "parts", decisive, code, part)

    @cached_property
    def _judged(self) -> dict[int, dict[str, Judged]]:
        """What our head says in episodes of every domain, by shot."""
        head = cast(LearnerHead, build_head(self.config.ours, self.backbone))
        return judged_domains(head, self.backbone, self.domains, self.config.shots, self.config.query, self.cache)

    def _outsiders(self, domain: Domain) -> np.ndarray | None:
        """Features of `OUTSIDERS` images of the other domains, evenly from all; None where there is no other."""
        others = [cached_features(self.backbone, one, self.cache) for one in self.domains if one.name != domain.name]
        if not others:
            return None
        rows = np.concatenate(others)
        chosen: np.ndarray = rows[np.arange(OUTSIDERS) * len(rows) // OUTSIDERS]
        return chosen


def _line(records: Mapping[str, Any]) -> str:
    return " ".join(f"{100 * record['mean']:.1f}" for record in records.values())


def remembered(folder: Path, decisive: Any, code: Sequence[str], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``work`` returns: read from a file where it was done before with the same code, else done and kept.

    Args:
        folder: of the files; made where it is missing.
        decisive: all that the result depends on beside the code, plain values.
        code: patterns of the files of code that it depends on, from the checkout on.
        work: returns plain values.
    """
    text = json.dumps([code_digest(tuple(code)), plain(decisive)], sort_keys=True, default=str)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    if path.is_file():
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return known
    folder.mkdir(parents=True, exist_ok=True)
    found = work()
    write_json_atomically(path, found)
    return found


@cache
def code_digest(patterns: tuple[str, ...]) -> str:
    """Digest of files of the checkout, as they are when this is first asked, without their imports.

    Args:
        patterns: of the files.
    """
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(HERE.parent.parent.glob(pattern)):
            module = ast.parse(path.read_text(encoding="utf-8"))
            body = [part for part in module.body if not isinstance(part, ast.Import | ast.ImportFrom)]
            digest.update("".join(map(ast.dump, body)).encode())
    return digest.hexdigest()


def _milliseconds(backbone: FrozenBackbone, domain: Domain, config: HeadsConfig) -> dict[str, Any]:
    """Processor time of one image's features, and of each head with five classes of five images."""
    heads = {name: build_head(name, backbone) for name in config.heads}
    cell = Cell(min(FEW, len(domain.images.class_names)), min(5, max(config.shots)))
    features = torch.from_numpy(np.asarray(cached_features(backbone, domain, Path(config.cache))))
    task = Tasks(domain, cell, 1).task(0, features)
    times = {name: {"fit": fit, "query": query} for name, fit, query in head_milliseconds(heads, task)}
    return {
        "size": backbone.network.preprocessing.size,
        "features": feature_milliseconds(backbone),
        "task": cell.name,
        "heads": times,
    }
