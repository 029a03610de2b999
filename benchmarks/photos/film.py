"""Does FiLM help? A saved model beside the very same model without its FiLM, on the same tasks.

``DOMAIN`` in a model's path is replaced by the name of each domain: ``runs/without-DOMAIN/model`` names for every
domain a model that was trained without it, so that none is measured on images of a kind that it learned from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.photos.bars import judged_film, summary
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.experiment import ALL_LEARNERS, JUDGED_CODE, remembered
from benchmarks.photos.features import add_weights
from benchmarks.photos.heads import LearnerHead
from benchmarks.photos.measure import FEW, Cell, Tally, Task, Tasks, accuracies, episodes_digest, why_left_out
from benchmarks.photos.settings import FilmGainConfig, FilmPrecision
from fewshot_film.classifier.adapting import CHUNK, Adapter, PlainPass, features_of
from fewshot_film.classifier.calibration import Measured
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.data import ImageSet, decode
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulations
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.run.results import paired_difference, write_result
from fewshot_film.run.settings import plain

OUT = Path(__file__).resolve().parent.parent / "results" / "photos_film.json"
CODE = (
    *JUDGED_CODE,
    ALL_LEARNERS,
    "fewshot_film/film/*.py",
    "benchmarks/photos/film.py",
    "fewshot_film/learners/prefix.py",
)
"""Files whose change makes what was measured before out of date."""


def run(config: FilmGainConfig) -> int:
    """Measure, print, write."""
    torch.set_num_threads(1)
    domains = open_domains(config.root, config.domains)
    results: dict[str, Any] = {"models": {}, "bars": {}, "left_out": []}
    for text in config.models:
        name, path = named(text)
        found: dict[str, Any] = {}
        for domain in domains:
            cells = found[domain.name] = gains(path.replace("DOMAIN", domain.name), domain, config)
            print(f"{name}, {domain.name}: {', '.join(_line(task, cell) for task, cell in cells.items())}", flush=True)
        results["models"][name] = found
        results["bars"][name] = judged_film(found)
        held = summary(results["bars"][name])
        print(f"{name}: {'; '.join(f'{kind} {some} of {count}' for kind, (some, count) in held.items())}", flush=True)
        write_result(Path(config.out or OUT), config=config, seed=0, results=results)
    return 0


def named(text: str) -> tuple[str, str]:
    """Name and path of a model that is given as ``NAME=PATH``, or by its name or path alone."""
    name, equals, path = text.partition("=")
    return (name, path) if equals else (Path(text).name, text)


def _line(task: str, cell: Mapping[str, Any]) -> str:
    gain = cell["gain"]
    return f"{task} {100 * gain['mean']:+.1f} ± {100 * gain['interval']:.1f}"


def gains(model: str, domain: Domain, config: FilmGainConfig) -> dict[str, Any]:
    """A model's paired gain by FiLM in one domain, by cell.

    Args:
        model: what `load_pretrained` knows.
        domain: the images.
        config: which tasks.

    Raises:
        ConfigError: the model has no FiLM.
    """
    pretrained = load_pretrained(model)
    learner = pretrained.learner
    if not isinstance(learner, FilmLearner) or not learner.has_film:
        raise ConfigError(f"{model} has no FiLM to measure; expected a model whose adaptation is not none")
    decisive = [weights_digest(learner), plain(learner.config), domain.source.fingerprint(), domain.name, config.query]
    decisive += [config.precision, config.episodes, config.judged]
    features = cache(partial(AdaptedFeatures, learner, domain, config.precision))
    cells = [cell for shot in config.shots if not why_left_out(domain, cell := Cell(FEW, shot), config.query)]
    return {
        cell.name: remembered(
            Path(config.cache) / "parts",
            [*decisive, cell.shot],
            CODE,
            partial(_measured, features, pretrained.measured, cell, config),
        )
        for cell in cells
    }


def _measured(
    of_domain: Callable[[], AdaptedFeatures], known: Measured, cell: Cell, config: FilmGainConfig
) -> dict[str, Any]:
    features = of_domain()
    domain, head = features.domain, LearnerHead(features.adapter, known)
    tasks, tallies = Tasks(domain, cell, config.query), {"film": Tally(), "none": Tally()}
    for index in range(config.episodes):
        judge = index < config.judged
        for name, tally in tallies.items():
            task = features.task(tasks, index, adapted=name == "film", strangers=judge)
            tally.add(task, head(task.support, task.labels, judge=judge), judge=judge)
    records = {name: tally.record() for name, tally in tallies.items()}
    mean, interval = paired_difference(*(accuracies(record) for record in records.values()))
    digest = episodes_digest(domain, cell, config.query, config.episodes)
    return {**records, "gain": {"mean": mean, "interval": interval}, "episodes_sha256": digest}


def weights_digest(network: nn.Module) -> str:
    """Digest of all weights."""
    digest = hashlib.sha256()
    add_weights(digest, network)
    return digest.hexdigest()


class AdaptedFeatures:
    """A learner's features of the images of a domain, as the support set of a task adapts them.

    They are those of the network that a classifier uses, FiLM folded into its weights. What comes before the first
    site is computed once where FiLM depends on the maps at its sites alone.

    Args:
        learner: in evaluation mode.
        domain: the images.
        precision: of what follows the first site, in the second case.
    """

    def __init__(self, learner: FilmLearner, domain: Domain, precision: FilmPrecision = "float32") -> None:
        self.domain = domain
        self.adapter = Adapter(learner)
        self.dtype: torch.dtype = getattr(torch, precision)
        decoded = decode(domain.source, **learner.backbone.preprocessing.pixels, on_duplicate="keep")
        self.images = _in_order_of(domain.images, decoded)
        self.known = self.adapter.plain_pass(self.images)
        self.plain = self._features({}, torch.arange(len(self.images)))

    def task(self, tasks: Tasks, index: int, *, adapted: bool, strangers: bool = True) -> Task:
        """Task ``index`` on features that its support set adapted, or on unmodified ones.

        Args:
            tasks: the tasks.
            index: which of them.
            adapted: whether FiLM acts.
            strangers: whether features of strangers are needed; they are NaN otherwise.
        """
        if not adapted:
            return tasks.task(index, self.plain)
        plan, others = tasks.split(index)
        support, labels = torch.from_numpy(plan.support), torch.from_numpy(plan.support_labels)
        used = torch.from_numpy(np.concatenate([plan.support, plan.query, *([others] if strangers else [])]))
        known = None
        if self.known is not None:  # their moments suffice
            known = PlainPass(self.known.features[support], None, self.known.moments_of(support))
        modulations = self.adapter.modulations(self.images[support], labels, known=known)
        return tasks.task(index, _placed(self._features(modulations, used), used, len(self.images)))

    @torch.no_grad()
    def _features(self, modulations: Modulations, rows: Tensor) -> Tensor:
        if self.known is None or self.known.maps is None:
            return features_of(self.adapter.network(modulations), self.images[rows], self.adapter.device)
        network, maps = self.adapter.after_prefix(modulations).to(self.dtype), self.known.maps[rows]
        return torch.cat([network(chunk.to(self.dtype)) for chunk in maps.split(CHUNK)]).float()


def _placed(features: Tensor, places: Tensor, count: int) -> Tensor:
    """Rows put at their places among ``count``; the others are NaN, so that none of them is used unseen."""
    found = features.new_full((count, features.shape[1]), torch.nan)
    found[places] = features
    return found


def _in_order_of(images: ImageSet, decoded: ImageSet) -> Tensor:
    """The images of one set as another decoded them, uint8."""
    place = {file: number for number, file in enumerate(decoded.files)}
    return decoded.get(np.array([place[file] for file in images.files]))
