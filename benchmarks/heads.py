"""Every head on fixed features, with balanced and with unbalanced queries, beside published numbers.

    python -m benchmarks.heads run --root cifar-100.zip --cifar_fs runs/cifar-fs/pretrain/model --fc100 runs/fc100/...

takes a pre-trained backbone for each benchmark and writes ``heads_cifar_fs.json`` and ``heads_fc100.json``. Nothing is
meta-trained: what differs is what a head makes of the same features, averaged over mirror images. All heads see the
same episodes, and their gains over Simple CNAPS's head are paired. Queries are 15 per class, or as many in all with
shares drawn from a Dirichlet distribution, the protocol of Veilleux et al. (2021). How the features are prepared is
chosen for each head on validation classes, by its accuracy on balanced and unbalanced episodes together: who sorts
images does not know how many of each class there are. SimpleShot is centred on the mean of the validation classes too.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.methods import paired_gain
from fewshot_film.commands.baselines import features_of_set, without_training
from fewshot_film.commands.common import open_images
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler, Plan, fingerprint
from fewshot_film.learners import CONFIGS, LEARNERS, Learner, TransductiveLearner, load_learner
from fewshot_film.learners.film_learner import FilmFeatures
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.simple_shot import SimpleShot
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

log = logging.getLogger(__name__)

FIRST = "simple-cnaps"
TRANSPORTED = "+sot"
"""Ending of a method's name: on self-optimal-transport features."""
POWERS = (1.0, 0.5)
"""Of the backbone's features, to choose from."""
CENTRINGS: tuple[Literal["none", "sets"], ...] = ("none", "sets")
"""Of the features of transductive heads, to choose from."""
WAY, BATCH = 5, 20
"""Classes of an episode; episodes that transductive heads solve at once."""

HeadOnFeatures = FilmFeatures | FixedFeatures
FeatureSets = Mapping[float, Tensor]
"""Features of all images of a split, ``(N, D)``, by the power that they are raised to."""


@dataclass(frozen=True)
class HeadsConfig(Settings):
    """Which backbones, which heads."""

    root: str
    """CIFAR-100: the zip or the folder."""
    cifar_fs: str = ""
    """Folder of a model trained on the training classes of CIFAR-FS, whose backbone is used; empty: left out."""
    fc100: str = ""
    """The same for FC100."""
    cache: str = ""
    """Folder for the decoded images; empty: none."""
    methods: tuple[str, ...] = (
        "prototypes",
        "simple-shot",
        "ridge",
        "svm",
        "logistic-regression",
        "lda",
        "qda",
        "url",
        "transductive-cnaps",
        "soft-kmeans",
        "bd-cspn",
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
            trained = load_learner(model)
            data = DataConfig(source=source, root=config.root, cache=config.cache)
            validation, test = (open_images(data, split, trained.config.backbone) for split in ("val", "test"))
            results = measure(trained, validation, test, config)
            print(as_table(source, results))
            out = Path(config.out) / f"heads_{source.replace('-', '_')}.json"
            write_result(out, config=config, seed=0, results=results)
    return 0


@torch.no_grad()
def measure(trained: Learner, validation: ImageSet, test: ImageSet, config: HeadsConfig) -> dict[str, Any]:
    """Accuracies and paired gains over Simple CNAPS for every task, with what validation chose and the time it took."""
    features = {"val": _feature_sets(trained, validation), "test": _feature_sets(trained, test)}
    heads = {name: _candidates(name, trained, features["val"]) for name in (FIRST, *config.methods)}
    rows: dict[str, Any] = {}
    for shot in config.shots:
        known = list(_samplers(validation, "val", shot, config).values())
        judge = partial(_total, features=features["val"], samplers=known, episodes=config.validation_episodes)
        chosen = {name: max(found, key=judge) for name, found in heads.items()}
        for task, sampler in _samplers(test, "test", shot, config).items():
            values: dict[str, list[float]] = {}
            seconds: dict[str, float] = {}
            for name, head in chosen.items():
                begun = time.perf_counter()
                values[name] = accuracies(head.learner, features["test"][head.power], sampler, config.episodes)
                seconds[name] = time.perf_counter() - begun
                log.info("%s: %s %.1f %%", task, name, 100 * sum(values[name]) / len(values[name]))
            rows[task] = {
                "episodes_sha256": fingerprint(sampler, config.episodes),
                "accuracy": {name: summary(each) for name, each in values.items()},
                "gain": {name: paired_gain(each, values[FIRST]) for name, each in values.items() if name != FIRST},
                "settings": {name: head.settings() for name, head in chosen.items()},
                "seconds": seconds,
            }
    return rows


@dataclass(frozen=True)
class Candidate:
    """A head and how the features that it is given are prepared."""

    learner: HeadOnFeatures
    power: float
    """Of the backbone's features."""

    def settings(self) -> dict[str, Any]:
        """What was chosen, and for transductive heads all they do with the features."""
        shared = {"tukey_power": self.power, "flip_tta": True}
        if not isinstance(self.learner, TransductiveLearner):
            return shared
        own = self.learner.config
        return {**shared, "power": own.power, "centring": own.centring, "self_transport": own.self_transport}


def _candidates(name: str, trained: Learner, known: FeatureSets) -> list[Candidate]:
    """A head with every preparation that may be chosen; a head with a power of its own gets unmodified features.

    Args:
        name: of the method, perhaps with an ending.
        trained: a model with the backbone.
        known: features of the images of validation classes.
    """
    method, *transported = name.split("+")
    (learner,) = without_training((method,), trained.backbone, trained.config).values()
    if not isinstance(learner, HeadOnFeatures):
        raise TypeError(f"{method} is no head on fixed features")
    learner.eval()
    if isinstance(learner, SimpleShot):
        return [Candidate(_centred(learner, known[power]), power) for power in POWERS]
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


def _feature_sets(trained: Learner, images: ImageSet) -> FeatureSets:
    """Features of all images for every power, averaged over mirror images."""
    found = {}
    for power in POWERS:
        (learner,) = without_training(("prototypes",), trained.backbone, trained.config).values()
        assert isinstance(learner, FilmFeatures)
        learner.backbone.set_features(power, flip_tta=True)
        found[power] = features_of_set(learner.eval(), images, torch.device("cpu"))
    return found


def _samplers(images: ImageSet, split: str, shot: int, config: HeadsConfig) -> dict[str, EpisodeSampler]:
    """Balanced and unbalanced episodes, by the names of their rows."""
    name = f"{WAY}-way {shot}-shot"
    return {
        name: EpisodeSampler(images, WAY, shot, config.query, split=split),
        f"{name}, unbalanced": EpisodeSampler(images, WAY, shot, config.query, dirichlet=config.dirichlet, split=split),
    }


def _total(head: Candidate, features: FeatureSets, samplers: Sequence[EpisodeSampler], episodes: int) -> float:
    """Sum of the accuracies of a head over several kinds of episodes."""
    return sum(sum(accuracies(head.learner, features[head.power], one, episodes)) for one in samplers)


def accuracies(learner: HeadOnFeatures, features: Tensor, sampler: EpisodeSampler, episodes: int) -> list[float]:
    """Accuracy on each of the first episodes.

    Args:
        learner: a head; transductive ones solve many episodes at once.
        features: of all images that the sampler draws from, ``(N, D)``.
        sampler: its episodes are all of one way and shot.
        episodes: how many.
    """
    found: list[float] = []
    for plans in _batches([sampler.plan(index) for index in range(episodes)]):
        if isinstance(learner, TransductiveLearner):
            support, queries = (features[_stacked(plans, part)] for part in ("support", "query"))
            logits = learner.classify(support, F.one_hot(_stacked(plans, "support_labels")), queries)
        else:
            logits = torch.stack([_logits(learner, features, plan) for plan in plans])
        right = logits.argmax(-1) == _stacked(plans, "query_labels")
        found += right.double().mean(-1).tolist()
    return found


def _logits(learner: HeadOnFeatures, features: Tensor, plan: Plan) -> Tensor:
    return learner.fit_head(features[plan.support], torch.from_numpy(plan.support_labels))(features[plan.query])


def _batches(plans: Sequence[Plan]) -> Iterator[Sequence[Plan]]:
    for start in range(0, len(plans), BATCH):
        yield plans[start : start + BATCH]


def _stacked(plans: Sequence[Plan], part: str) -> Tensor:
    return torch.stack([torch.from_numpy(getattr(plan, part)) for plan in plans])


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
            "python -m benchmarks.heads run --root cifar-100.zip --cifar_fs runs/cifar-fs/pretrain/model "
            "--fc100 runs/fc100/pretrain/model",
        ),
    )
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.heads", COMMANDS))
