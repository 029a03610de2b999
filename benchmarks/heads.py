"""Every head on fixed features, with balanced and with unbalanced queries, beside published numbers.

    python -m benchmarks.heads run --root cifar-100.zip --fc100 runs/fc100/pretrain/model

measures all heads on the test classes of CIFAR-FS, with the backbone of the shipped ``general-small`` or that of
another model, and of FC100, whose backbone has to be trained on its training classes first; it prints a table of each
and writes ``heads_cifar_fs.json`` and ``heads_fc100.json``. What differs is what a head makes of the same features,
averaged over mirror images. All heads see the same episodes, and their gains over Simple CNAPS's head are paired.
Queries are 15 per class, or as many in all with shares drawn from a Dirichlet distribution, the protocol of Veilleux et
al. (2021). How the features are prepared is chosen for each head on validation classes, by its accuracy on balanced and
unbalanced episodes together: who sorts images does not know how many of each class there are. SimpleShot is centred on
the mean of the validation classes too. Matching networks, relation networks and FEAT have parts of their own, which are
trained on cached features of the training classes; the backbone stays as it is for all. What was measured is kept in
``cache``, so that a run that was stopped is continued.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from benchmarks.heads_features import (
    IMAGES_PER_CLASS,
    POWERS,
    TRAINED,
    FeatureSets,
    HeadOnFeatures,
    SplitFeatures,
    split_features,
    trained_on_features,
)
from benchmarks.methods import paired_gain
from benchmarks.photos.experiment import ALL_LEARNERS, remembered
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.commands.baselines import without_training
from fewshot_film.commands.common import open_images
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler, fingerprint
from fewshot_film.learners import CONFIGS, LEARNERS, Learner, TransductiveLearner
from fewshot_film.learners.film_learner import FilmFeatures
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.local_descriptors import LocalDescriptors
from fewshot_film.learners.simple_shot import SimpleShot
from fewshot_film.learners.task_runners import CachedFeatures, plan_accuracies
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

log = logging.getLogger(__name__)

FIRST = "simple-cnaps"
TRANSPORTED = "+sot"
"""Ending of a method's name: on self-optimal-transport features."""
CLOSED_FORM = (
    FIRST,
    "prototypes",
    "simple-shot",
    "matching",
    "ridge",
    "lda",
    "qda",
    "dn4",
    "frn",
    "transductive-cnaps",
    "soft-kmeans",
    "bd-cspn",
    "label-propagation",
)
"""Heads without an iteration of more than a few steps."""
CENTRINGS: tuple[Literal["none", "sets"], ...] = ("none", "sets")
"""Of the features of transductive heads, to choose from."""
WAY = 5
"""Classes of an episode."""
SPLITS = ("train", "val", "test")
CODE = (ALL_LEARNERS, "fewshot_film/episodes/*.py", "benchmarks/heads.py", "benchmarks/heads_features.py")
"""Files whose change makes what was measured before out of date."""


@dataclass(frozen=True)
class HeadsConfig(Settings):
    """Which backbones, which heads."""

    root: str
    """CIFAR-100: the zip or the folder."""
    cifar_fs: str = "general-small"
    """A model whose backbone saw none of the test classes of CIFAR-FS, by its name or folder; empty: left out."""
    fc100: str = ""
    """The same for FC100."""
    cache: str = "runs/heads"
    """Folder for decoded images, features and what was measured; empty: none."""
    methods: tuple[str, ...] = (
        "prototypes",
        "simple-shot",
        "matching",
        "relation",
        "feat",
        "ridge",
        "svm",
        "linear-svm",
        "logistic-regression",
        "lda",
        "qda",
        "dn4",
        "frn",
        "deep-emd",
        "url",
        "transductive-cnaps",
        "soft-kmeans",
        "bd-cspn",
        "label-propagation",
        "laplacian-shot",
        "tim",
        "alpha-tim",
        "pt-map",
        "pt-map+sot",
        "ilpc",
    )
    """What is compared with Simple CNAPS; with ``+sot``, on self-optimal-transport features."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Support images per class."""
    query: Annotated[int, at_least(1)] = 15
    """Query images per class, on average where they are unbalanced."""
    dirichlet: Annotated[int, at_least(1)] = 2
    """Concentration of the classes' shares of unbalanced queries."""
    episodes: Annotated[int, at_least(2)] = 600
    """Test episodes for each number of shots, balanced and unbalanced."""
    validation_episodes: Annotated[int, at_least(1)] = 30
    """Validation episodes by which the preparation of the features is chosen."""
    out: str = "benchmarks/results"
    """Folder of the result files."""


def run(config: HeadsConfig) -> int:
    """Evaluate, print, write."""
    torch.set_num_threads(1)
    for source, model in (("cifar-fs", config.cifar_fs), ("fc100", config.fc100)):
        if model:
            trained = load_pretrained(model).learner
            decoded = str(Path(config.cache) / "images") if config.cache else ""
            data = DataConfig(source=source, root=config.root, cache=decoded)
            images = {split: open_images(data, split, trained.config.backbone) for split in SPLITS}
            results = measure(trained, images, config)
            print(as_table(source, results))
            print(f"closed-form heads together: {closed_form_seconds(results):.0f} s of the processor")
            out = Path(config.out) / f"heads_{source.replace('-', '_')}.json"
            write_result(out, config=config, seed=0, results=results)
    return 0


@torch.no_grad()
def measure(trained: Learner, images: Mapping[str, ImageSet], config: HeadsConfig) -> dict[str, Any]:
    """Accuracies and paired gains over Simple CNAPS for every task, with what validation chose and the time it took.

    Args:
        trained: a model with the backbone.
        images: of training, validation and test classes.
        config: which heads and episodes.
    """
    few = {split: one if split == "test" else one.at_most(IMAGES_PER_CLASS) for split, one in images.items()}
    features = {split: split_features(trained, one, config.cache) for split, one in few.items()}
    rows: dict[str, Any] = {
        task: {"episodes_sha256": fingerprint(sampler, config.episodes), "accuracy": {}, "settings": {}, "seconds": {}}
        for shot in config.shots
        for task, sampler in _samplers(images["test"], "test", shot, config).items()
    }
    for name in (FIRST, *config.methods):
        for task, record in _head(name, trained, features, config).items():
            rows[task]["accuracy"][name] = summary(record["values"])
            rows[task]["settings"][name] = record["settings"]
            rows[task]["seconds"][name] = record["seconds"]
            log.info("%s: %s %.1f %%", task, name, 100 * rows[task]["accuracy"][name]["mean"])
    for row in rows.values():
        first, *others = row["accuracy"]
        values = {name: row["accuracy"][name]["values"] for name in row["accuracy"]}
        row["gain"] = {name: paired_gain(values[name], values[first]) for name in others}
    return rows


def _head(name: str, trained: Learner, features: FeatureSets, config: HeadsConfig) -> Mapping[str, Any]:
    """Accuracies of one head by task, with its settings and seconds; read from the cache where they are there."""

    def work() -> dict[str, Any]:
        found: dict[str, Any] = {}
        candidates = _candidates(name, trained, features)
        for shot in config.shots:
            known = list(_samplers(features["val"].images, "val", shot, config).values())
            judge = partial(_total, known=features["val"], samplers=known, episodes=config.validation_episodes)
            head = max(candidates, key=judge) if len(candidates) > 1 else candidates[0]
            rows = features["test"].of(head.learner, head.power)
            for task, sampler in _samplers(features["test"].images, "test", shot, config).items():
                begun = time.process_time()
                values = accuracies(head.learner, rows, sampler, config.episodes)
                seconds = time.process_time() - begun
                found[task] = {"values": values, "settings": head.settings(), "seconds": seconds}
        return found

    if not config.cache:
        return work()
    asked = {key: value for key, value in asdict(config).items() if key not in ("root", "methods", "cache", "out")}
    decisive = [name, {split: one.key for split, one in features.items()}, asked]
    return remembered(Path(config.cache) / "parts", decisive, CODE, work)


@dataclass(frozen=True)
class Candidate:
    """A head and how the features that it is given are prepared."""

    learner: HeadOnFeatures
    power: float
    """Of the backbone's features."""

    def settings(self) -> dict[str, Any]:
        """What was chosen, and for transductive heads all they do with the features."""
        if isinstance(self.learner, LocalDescriptors):
            return {}
        shared = {"tukey_power": self.power, "flip_tta": True}
        if not isinstance(self.learner, TransductiveLearner):
            return shared
        own = self.learner.config
        return {**shared, "power": own.power, "centring": own.centring, "self_transport": own.self_transport}


def _candidates(name: str, trained: Learner, features: FeatureSets) -> list[Candidate]:
    """A head with every preparation that may be chosen; a head with a power of its own gets unmodified features.

    Args:
        name: of the method, perhaps with an ending.
        trained: a model with the backbone.
        features: of all splits.
    """
    method, *transported = name.split("+")
    if method in TRAINED:
        return [Candidate(trained_on_features(method, features["train"], power), power) for power in POWERS]
    (learner,) = without_training((method,), features["test"].backbone, features["test"].template).values()
    if not isinstance(learner, FilmFeatures | FixedFeatures):
        raise TypeError(f"{method} is no head on fixed features")
    learner.eval()
    if isinstance(learner, LocalDescriptors):
        return [Candidate(learner, POWERS[0])]
    if isinstance(learner, SimpleShot):
        return [Candidate(_centred(learner, features["val"].at_power(power)), power) for power in POWERS]
    if not isinstance(learner, TransductiveLearner):
        return [Candidate(learner, power) for power in POWERS]
    powers = POWERS if learner.config.power == 1 else POWERS[:1]
    configs = [
        dataclasses.replace(learner.config, centring=centring, self_transport=bool(transported))
        for centring in CENTRINGS
    ]
    variants = [type(learner)(config, learner.backbone).eval() for config in configs]
    return [Candidate(variant, power) for variant in variants for power in powers]


def _centred(learner: SimpleShot, features: Tensor) -> SimpleShot:
    """The same learner, centred on the mean of features ``(N, D)``."""
    centred = type(learner)(learner.config, learner.backbone).eval()
    centred.centre_on(features)
    return centred


def _samplers(images: ImageSet, split: str, shot: int, config: HeadsConfig) -> dict[str, EpisodeSampler]:
    """Balanced and unbalanced episodes, by the names of their rows."""
    name = f"{WAY}-way {shot}-shot"
    return {
        name: EpisodeSampler(images, WAY, shot, config.query, split=split),
        f"{name}, unbalanced": EpisodeSampler(images, WAY, shot, config.query, dirichlet=config.dirichlet, split=split),
    }


def _total(head: Candidate, known: SplitFeatures, samplers: Sequence[EpisodeSampler], episodes: int) -> float:
    """Sum of the accuracies of a head over several kinds of episodes."""
    rows = known.of(head.learner, head.power)
    return sum(sum(accuracies(head.learner, rows, one, episodes)) for one in samplers)


def closed_form_seconds(rows: Mapping[str, Any]) -> float:
    """Processor time of all heads in closed form on the balanced episodes of every shot."""
    balanced = [row for task, row in rows.items() if "unbalanced" not in task]
    return float(sum(row["seconds"].get(name, 0.0) for row in balanced for name in CLOSED_FORM))


def accuracies(learner: HeadOnFeatures, features: Tensor, sampler: EpisodeSampler, episodes: int) -> list[float]:
    """Accuracy on each of the first episodes.

    Args:
        learner: a head; transductive ones solve many episodes at once.
        features: of all images that the sampler draws from, ``(N, D)``.
        sampler: its episodes are all of one way and shot.
        episodes: how many.
    """
    return plan_accuracies(CachedFeatures(learner, features), [sampler.plan(index) for index in range(episodes)])


def as_table(title: str, rows: Mapping[str, Any]) -> str:
    """A row per head, a column per task, see :func:`cell`; stars mark the transductive ones."""
    (some, *_) = rows.values()
    lines = [f"| {title} | {' | '.join(rows)} |", "| --- " + "| ---: " * len(rows) + "|"]
    lines += [
        f"| {marked(name)} | {' | '.join(cell(row, name) for row in rows.values())} |" for name in some["accuracy"]
    ]
    return "\n".join(lines)


def marked(name: str) -> str:
    """A method's name, with a star where it looks at all queries together."""
    return name + r" \*" * LEARNERS[CONFIGS[name.removesuffix(TRANSPORTED)]].transductive


def cell(row: Mapping[str, Any], name: str) -> str:
    """Accuracy in per cent, and in brackets the paired gain over Simple CNAPS; for that itself its interval."""
    accuracy = row["accuracy"][name]
    if name == FIRST:
        return f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['interval']:.1f}"
    gain = row["gain"][name]
    return f"{100 * accuracy['mean']:.1f} ({100 * gain['mean']:+z.1f} ± {100 * gain['interval']:.1f})"


COMMANDS = [
    Command(
        name="run",
        config=HeadsConfig,
        run="benchmarks.heads:run",
        help="Every head on fixed features, on the same episodes, with balanced and unbalanced queries.",
        examples=(
            "python -m benchmarks.heads run --root cifar-100.zip",
            "python -m benchmarks.heads run --root cifar-100.zip --fc100 runs/fc100/pretrain/model",
        ),
    )
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.heads", COMMANDS))
