"""What it gives to look at all images of a folder together: `FewShotClassifier`'s ``together``, on few photos.

Each task is answered twice by the same fitted head: every image on its own, and all queries together. Queries are
balanced over the classes, or their shares are drawn from a Dirichlet distribution, the protocol of Veilleux et al.,
"Realistic Evaluation of Transductive Few-Shot Learning", NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.methods import paired_gain
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.features import FrozenBackbone, cached_features, load_backbone
from benchmarks.photos.heads import LearnerHead, build_head
from benchmarks.photos.settings import TogetherConfig
from fewshot_film.classifier.calibration import calibration_error
from fewshot_film.classifier.together import agreeing
from fewshot_film.episodes import EpisodeSampler, fingerprint
from fewshot_film.run.results import mean_and_interval, write_result

OUT = Path(__file__).resolve().parent.parent / "results" / "photos_together.json"
WAY, DIRICHLET = 5, 2
"""Classes of a task; concentration of the classes' shares of unbalanced queries."""

Answer = Callable[[Tensor], Tensor]
"""Features of queries ``(Q, D)`` to logarithms of their probabilities, ``(Q, way)``, up to a constant."""


def run(config: TogetherConfig) -> int:
    """Measure, print, write."""
    torch.set_num_threads(1)
    backbone = load_backbone(config.backbone)
    results: dict[str, Any] = {}
    for domain in open_domains(config.root, config.domains):
        results[domain.name] = measure(backbone, domain, config)
        for task, cell in results[domain.name].items():
            print(f"{domain.name}, {task}: {_line(cell)}", flush=True)
    write_result(Path(config.out or OUT), config=config, seed=0, results=results)
    return 0


def _line(cell: Mapping[str, Any]) -> str:
    gain, errors = cell["gain"], [cell[name]["calibration_error"] for name in ("alone", "together")]
    return (
        f"{100 * cell['alone']['mean']:.1f} {100 * gain['mean']:+.2f} ± {100 * gain['interval']:.2f}, calibration "
        f"error {' -> '.join(f'{100 * error:.1f}' for error in errors)}"
    )


@torch.no_grad()
def measure(backbone: FrozenBackbone, domain: Domain, config: TogetherConfig) -> dict[str, Any]:
    """Both answers to the tasks of a domain, by cell; classes with too few images are left out."""
    head = cast(LearnerHead, build_head(backbone.template.method, backbone))
    features = torch.from_numpy(cached_features(backbone, domain, Path(config.cache)))
    numbers = {file: number for number, file in enumerate(domain.images.files)}
    cells = {}
    for shot in config.shots:
        images = domain.images.with_at_least(shot + WAY * config.query)
        if len(images.class_names) < WAY:
            continue
        rows = features[[numbers[file] for file in images.files]]
        for name, dirichlet in (("", 0), (", unbalanced", DIRICHLET)):
            sampler = EpisodeSampler(images, WAY, shot, config.query, dirichlet=dirichlet, split="photos")
            cells[f"{WAY}-way, {shot}-shot{name}"] = _cell(head, rows, sampler, config.episodes)
    return cells


def _cell(head: LearnerHead, features: Tensor, sampler: EpisodeSampler, episodes: int) -> dict[str, Any]:
    answers: dict[str, list[Tensor]] = {"alone": [], "together": []}
    truth = []
    for index in range(episodes):
        plan = sampler.plan(index)
        task, temperature, _ = head.fit(features[plan.support], torch.from_numpy(plan.support_labels))
        alone = (task.logits(features[plan.query]) / temperature).log_softmax(1)
        answers["alone"].append(alone)
        answers["together"].append(agreeing(alone, features[plan.query]).log_softmax(1))
        truth.append(torch.from_numpy(plan.query_labels))
    records = {name: _record(found, truth) for name, found in answers.items()}
    right = [[int(number) for number in record["right"].split()] for record in records.values()]
    shares = [[number / len(truth[0]) for number in each] for each in right]
    return {**records, "gain": paired_gain(shares[1], shares[0]), "episodes_sha256": fingerprint(sampler, episodes)}


def _record(answers: list[Tensor], truth: list[Tensor]) -> dict[str, Any]:
    """Accuracy with its interval, right answers of every task, cross-entropy and calibration error."""
    right = [int((found.argmax(1) == labels).sum()) for found, labels in zip(answers, truth, strict=True)]
    mean, interval = mean_and_interval([number / len(truth[0]) for number in right])
    rows, labels = torch.cat(answers), torch.cat(truth)
    return {
        "mean": mean,
        "interval": interval,
        "right": " ".join(map(str, right)),
        "cross_entropy": float(F.nll_loss(rows, labels)),
        "calibration_error": calibration_error(rows.exp().numpy(), labels.numpy()).error,
    }
