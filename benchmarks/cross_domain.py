"""Which head for which distance from home: a backbone trained on small pictures, tested on domains of photos.

    python -m benchmarks.cross_domain run --root photos --home cifar-100.zip
    python -m benchmarks.cross_domain figure

The backbone of ``general-small`` saw CIFAR-100's training classes and generated images, never a photo of these domains.
Every head gets the same features of the same 5-way episodes, 1 to 20 images per class; gains are over the head of
Simple CNAPS, paired. ``simple-cnaps, FiLM`` is the shipped model as it is, with FiLM, on the first of the episodes. How
far a domain is from home is the distance of its mean feature from that of CIFAR-FS's training classes, as a multiple of
the spread of the latter. A domain that the result file has is not measured again: the same command goes on after an
interruption, or when domains were added. ``figure`` draws the gains, domains from near to far.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.heads import FIRST, accuracies, marked
from benchmarks.heads_features import IMAGES_PER_CLASS, HeadOnFeatures, split_features
from benchmarks.methods import paired_gain
from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.features import FrozenBackbone, cached_features, load_backbone
from benchmarks.photos.report import read, shown, table
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.commands.baselines import without_training
from fewshot_film.commands.common import open_images
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet, decode
from fewshot_film.episodes import EpisodeSampler, fingerprint
from fewshot_film.learners import Learner, TransductiveLearner
from fewshot_film.learners.task_runners import FullLearner
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import earlier_results, summary, write_result
from fewshot_film.run.settings import Settings, at_least

log = logging.getLogger(__name__)

WAY = 5
WITH_FILM = f"{FIRST}, FiLM"
NAME = "cross_domain"
DRAWN = (1, 5, 20)
"""Shots that have a panel in the figure."""
LIMIT = 10.0
"""Gain of the strongest colour in the figure, points."""
DECISIVE = ("model", "methods", "shots", "query", "episodes", "film_episodes")


@dataclass(frozen=True)
class CrossDomainConfig(Settings):
    """Which domains, which heads."""

    root: str
    """Folder with a zip or a folder for each domain."""
    home: str
    """CIFAR-100: the zip or the folder."""
    model: str = "general-small"
    """A model whose backbone saw none of the domains, by its name or folder."""
    cache: str = "runs/cross-domain"
    """Folder for decoded images and features."""
    domains: tuple[str, ...] = ()
    """Which domains; empty: all."""
    methods: tuple[str, ...] = (
        "prototypes",
        "ridge",
        "linear-svm",
        "lda",
        "qda",
        "soft-kmeans",
        "bd-cspn",
        "label-propagation",
        "laplacian-shot",
        "transductive-cnaps",
        "pt-map+sot",
    )
    """What is compared with Simple CNAPS; with ``+sot``, on self-optimal-transport features."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 2, 5, 10, 20)
    """Support images per class."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""
    episodes: Annotated[int, at_least(2)] = 200
    """For each domain and number of shots."""
    film_episodes: Annotated[int, at_least(2)] = 30
    """Those of them that the model with FiLM sees too."""
    out: str = f"benchmarks/results/{NAME}.json"
    """The result file."""


def run(config: CrossDomainConfig) -> int:
    """Measure, print, write."""
    torch.set_num_threads(1)
    trained = load_pretrained(config.model).learner.eval()
    backbone = load_backbone(config.model)
    backbone.network.set_features(1.0, flip_tta=True)
    home = home_features(trained, config)
    results = earlier_results(Path(config.out), config, DECISIVE)
    for domain in open_domains(config.root, config.domains):
        if domain.name in results:
            continue
        features = torch.from_numpy(np.asarray(cached_features(backbone, domain, Path(config.cache))).copy())
        results[domain.name] = {
            "distance": distance(features, home),
            "tasks": measure(domain, features, trained, backbone, config),
        }
        log.info("%s: %.2f from home", domain.name, results[domain.name]["distance"])
        write_result(Path(config.out), config=config, seed=0, results=results)
    print(as_table(results, config.shots))
    return 0


def home_features(trained: Learner, config: CrossDomainConfig) -> Tensor:
    """Features ``(N, D)`` of some images of CIFAR-FS's training classes."""
    data = DataConfig(source="cifar-fs", root=config.home, cache=config.cache)
    images = open_images(data, "train", trained.config.backbone).at_most(IMAGES_PER_CLASS)
    return split_features(trained, images, config.cache).at_power(1.0)


def distance(features: Tensor, home: Tensor) -> float:
    """Of the mean of features ``(N, D)`` from that at home ``(M, D)``, as a multiple of the spread at home."""
    apart = (features.mean(0) - home.mean(0)).square().sum()
    return float((apart / home.var(0).sum()).sqrt())


@torch.no_grad()
def measure(
    domain: Domain, features: Tensor, trained: Learner, backbone: FrozenBackbone, config: CrossDomainConfig
) -> dict[str, Any]:
    """Accuracies and paired gains in one domain, by task.

    Args:
        domain: its images.
        features: of all of them, ``(N, D)``.
        trained: the model with FiLM.
        backbone: the same without.
        config: which heads and episodes.
    """
    heads = {name: build_head(name, backbone) for name in (FIRST, *config.methods)}
    size = trained.backbone.preprocessing.pixels
    whole = FullLearner(trained, _same_images(domain, size), torch.device("cpu")) if trained.has_film else None
    rows: dict[str, Any] = {}
    for shot in config.shots:
        sampler = EpisodeSampler(domain.images, WAY, shot, config.query, split="test")
        values = {name: accuracies(head, features, sampler, config.episodes) for name, head in heads.items()}
        gains = {name: paired_gain(values[name], values[FIRST]) for name in config.methods}
        if whole is not None:
            plans = [sampler.plan(index) for index in range(config.film_episodes)]
            values[WITH_FILM] = [float(np.mean(whole.logits(p).argmax(1).numpy() == p.query_labels)) for p in plans]
            gains[WITH_FILM] = paired_gain(values[WITH_FILM], values[FIRST][: config.film_episodes])
        rows[f"{WAY}-way {shot}-shot"] = {
            "episodes_sha256": fingerprint(sampler, config.episodes),
            "accuracy": {name: summary(each) for name, each in values.items()},
            "gain": gains,
        }
    return rows


def build_head(name: str, backbone: FrozenBackbone) -> HeadOnFeatures:
    """A head that trains nothing, by its name; transductive ones centre support set and queries each."""
    method, *transported = name.split("+")
    (learner,) = without_training((method,), backbone.network, backbone.template).values()
    if isinstance(learner, TransductiveLearner):
        config = dataclasses.replace(learner.config, centring="sets", self_transport=bool(transported))
        learner = type(learner)(config, learner.backbone)
    if not isinstance(learner, HeadOnFeatures):
        raise TypeError(f"{method} is no head on fixed features")
    return learner.eval()


def _same_images(domain: Domain, size: Mapping[str, Any]) -> ImageSet:
    """The images that episodes are drawn from, in the same order, as a network reads them."""
    read = decode(domain.source, **size, on_duplicate="keep")
    place = {file: number for number, file in enumerate(read.files)}
    return read.only(np.array([place[file] for file in domain.images.files]))


def as_table(results: Mapping[str, Any], shots: Sequence[int]) -> str:
    """A row per head, a column per domain, near ones first: mean gains over the shots, in points."""
    domains = near_first(results)
    columns = [f"{shown(name)} ({results[name]['distance']:.1f})" for name in domains]
    rows = [
        [_named(head), *(f"{mean_gain(results[name], head, shots):+z.1f}" for name in domains)]
        for head in gains_of(results)
    ]
    accuracy = [
        [f"{FIRST}, accuracy at {shot} {'image' if shot == 1 else 'images'}"]
        + [f"{100 * task(results[name], shot)['accuracy'][FIRST]['mean']:.1f}" for name in domains]
        for shot in shots
    ]
    return table(["gain in points (distance from home)", *columns], [*accuracy, *rows])


def near_first(results: Mapping[str, Any]) -> list[str]:
    """Domains by their distance from home."""
    return sorted(results, key=lambda name: float(results[name]["distance"]))


def gains_of(results: Mapping[str, Any]) -> list[str]:
    """All heads that have gains."""
    (some, *_) = results.values()
    (first, *_) = some["tasks"].values()
    return list(first["gain"])


def task(domain: Mapping[str, Any], shot: int) -> dict[str, Any]:
    """The row of one number of shots."""
    found: dict[str, Any] = domain["tasks"][f"{WAY}-way {shot}-shot"]
    return found


def mean_gain(domain: Mapping[str, Any], head: str, shots: Sequence[int]) -> float:
    """Mean of a head's gains over the shots, in points."""
    return 100 * fmean(task(domain, shot)["gain"][head]["mean"] for shot in shots)


def _named(head: str) -> str:
    return head if head == WITH_FILM else marked(head)


@dataclass(frozen=True)
class FigureConfig(Settings):
    """Where the figure goes."""

    out: str = "docs/images/cross-domain.png"
    """The picture."""


def figure(config: FigureConfig) -> int:
    """Draw the figure of the result file."""
    Path(config.out).parent.mkdir(parents=True, exist_ok=True)
    gains_figure(read(NAME)).savefig(config.out)
    return 0


def gains_figure(results: Mapping[str, Any]) -> Figure:
    """A panel per number of shots, a row per head, a column per domain from near to far: gains, red below 0."""
    domains, heads = near_first(results), gains_of(results)
    shots = [shot for shot in DRAWN if f"{WAY}-way {shot}-shot" in results[domains[0]]["tasks"]]
    picture = Figure(figsize=(4.0 * len(shots) + 1.6, 1.8 + 0.28 * len(heads)), dpi=110, layout="constrained")
    panels = picture.subplots(1, len(shots), sharey=True, squeeze=False)[0]
    for axes, shot in zip(panels, shots, strict=True):
        gains = np.array(
            [[100 * task(results[name], shot)["gain"][head]["mean"] for name in domains] for head in heads]
        )
        axes.imshow(gains, cmap="RdBu", norm=TwoSlopeNorm(0, -LIMIT, LIMIT), aspect="auto")
        for row, column in np.ndindex(*gains.shape):
            bright = abs(gains[row, column]) > 0.6 * LIMIT
            text = f"{gains[row, column]:+z.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if bright else "black")
        axes.set_xticks(range(len(domains)), [shown(name) for name in domains], rotation=45, ha="right", fontsize=8)
        axes.set_title(f"{shot} {'image' if shot == 1 else 'images'} per class", fontsize=10)
    panels[0].set_yticks(range(len(heads)), [head.replace("\\", "") for head in map(_named, heads)], fontsize=8)
    panels[0].set_xlabel("near home  →  far", fontsize=8, loc="left")
    picture.suptitle("Gain over the head of Simple CNAPS, points", fontsize=10)
    return picture


COMMANDS = [
    Command(
        name="run",
        config=CrossDomainConfig,
        run="benchmarks.cross_domain:run",
        help="All heads on domains of photos, with a backbone that saw none of them.",
        examples=("python -m benchmarks.cross_domain run --root photos --home cifar-100.zip",),
    ),
    Command(
        name="figure",
        config=FigureConfig,
        run="benchmarks.cross_domain:figure",
        help="The figure of the result file.",
        examples=("python -m benchmarks.cross_domain figure",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.cross_domain", COMMANDS))
