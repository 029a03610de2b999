"""MAML, ANIL and Meta-SGD beside learn2learn's own training loop, on the same episodes: accuracy and time.

    python -m benchmarks.maml run --omniglot omniglot.zip --cifar_fs cifar-100.zip

Both sides start from the same weights, see the same episodes in the same order, and take the same inner steps, with
BatchNorm's statistics from the images that are asked about, as learn2learn's examples do: what comes out has to agree
up to rounding, and the time tells whether this project's way round costs anything. The loop of learn2learn is that of
its examples: clone, adapt, backward, one Adam step for every few tasks. It has no FiLM: where the inner loop changes
FiLM alone, ours stands alone. Times are the processor's, both sides in turns, one thread.
"""

from __future__ import annotations

import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.methods import as_gain, paired_gain
from fewshot_film.commands.common import open_images
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.data import DataConfig
from fewshot_film.config.learners import ANILConfig, GradientConfig, MAMLConfig, MetaSGDConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import Episode, EpisodeSampler, fingerprint
from fewshot_film.extras import learn2learn
from fewshot_film.learners import Learner, build_learner
from fewshot_film.learners.maml import GradientLearner
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, above, at_least

log = logging.getLogger(__name__)

WAY, SHOT, QUERY = 5, 1, 5
SIDES = ("ours", "learn2learn")
BACKBONES = {
    "omniglot": BackboneConfig(width=16, blocks=(1, 1, 1), image_size=28, channels=1, stem_kernel=3, stem_stride=2),
    "cifar-fs": BackboneConfig(width=16, blocks=(1, 1, 1), image_size=32, channels=3, stem_kernel=3, stem_stride=2),
}


@dataclass(frozen=True)
class MAMLBenchmarkConfig(Settings):
    """How long both sides train."""

    omniglot: str = ""
    """Omniglot: the zip or the folder; empty: left out."""
    cifar_fs: str = ""
    """CIFAR-100: the zip or the folder; empty: left out."""
    cache: str = ""
    """Folder for the decoded images; empty: none."""
    steps: Annotated[int, at_least(1)] = 200
    """Adam steps."""
    tasks: Annotated[int, at_least(1)] = 4
    """Episodes for each step."""
    inner_steps: Annotated[int, at_least(1)] = 3
    """Gradient steps on each support set."""
    inner_lr: Annotated[float, above(0)] = 0.1
    """Their learning rate."""
    learning_rate: Annotated[float, above(0)] = 3e-3
    """Of Adam."""
    episodes: Annotated[int, at_least(2)] = 200
    """Test episodes."""
    out: str = "benchmarks/results/maml.json"
    """The result file."""


def methods(config: MAMLBenchmarkConfig, backbone: BackboneConfig) -> dict[str, GradientConfig]:
    """What is trained, by the names of the rows."""
    shared: dict[str, Any] = {
        "backbone": backbone,
        "way": WAY,
        "inner_steps": config.inner_steps,
        "inner_lr": config.inner_lr,
        "statistics": "transductive",
    }
    return {
        "maml": MAMLConfig(**shared),
        "anil": ANILConfig(**shared),
        "meta-sgd": MetaSGDConfig(**shared),
        "maml, FiLM alone": MAMLConfig(inner="film", **shared),
        "meta-sgd, FiLM alone": MetaSGDConfig(inner="film", **shared),
    }


def run(config: MAMLBenchmarkConfig) -> int:
    """Train and test all of them, print, write."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for source, root in (("omniglot", config.omniglot), ("cifar-fs", config.cifar_fs)):
        if root:
            data = DataConfig(source=source, root=root, cache=config.cache)
            images = {split: open_images(data, split, BACKBONES[source]) for split in ("train", "test")}
            results[source] = measure(images, BACKBONES[source], config)
            print(as_table(source, results[source]), flush=True)
            write_result(Path(config.out), config=config, seed=0, results=results)
    return 0


def measure(
    images: Mapping[str, ImageSet], backbone: BackboneConfig, config: MAMLBenchmarkConfig
) -> dict[str, dict[str, Any]]:
    """Every method's row: accuracy and milliseconds per training episode of both sides, and their paired difference.

    Args:
        images: of training and test classes.
        backbone: of all methods.
        config: how long.
    """
    train = EpisodeSampler(images["train"], WAY, SHOT, QUERY, split="train")
    test = EpisodeSampler(images["test"], WAY, SHOT, QUERY, split="test")
    rows: dict[str, dict[str, Any]] = {}
    for name, method in methods(config, backbone).items():
        torch.manual_seed(0)
        learner = build_learner(method)
        assert isinstance(learner, GradientLearner)
        sides: dict[str, Trainer] = {"ours": Ours(learner, config)}
        if "FiLM" not in name:
            sides["learn2learn"] = Theirs(copy.deepcopy(learner), config)
        milliseconds = train_in_turns(sides, train, config)
        values = {side: [one.accuracy(test[index]) for index in range(config.episodes)] for side, one in sides.items()}
        rows[name] = {
            "episodes_sha256": fingerprint(test, config.episodes),
            "accuracy": {side: summary(each) for side, each in values.items()},
            "milliseconds": milliseconds,
        }
        if "learn2learn" in sides:
            rows[name]["gain"] = paired_gain(values["ours"], values["learn2learn"])
        log.info("%s: %s", name, {side: f"{100 * sum(each) / len(each):.1f} %" for side, each in values.items()})
    return rows


def train_in_turns(
    sides: Mapping[str, Trainer], sampler: EpisodeSampler, config: MAMLBenchmarkConfig
) -> dict[str, float]:
    """Train all sides, one step of each in turns; median milliseconds per episode."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for step in range(config.steps):
        episodes = [sampler[config.tasks * step + number] for number in range(config.tasks)]
        for side, trainer in sides.items():
            begun = time.process_time()
            trainer.step(episodes)
            times[side].append(1000 * (time.process_time() - begun) / config.tasks)
    return {side: statistics.median(each) for side, each in times.items()}


class Trainer:
    """One side: a loss of an episode, and Adam on its mean over a few.

    Args:
        parameters: what Adam changes.
        logits: of an episode's queries, after the inner steps.
        config: its learning rate.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], logits: Callable[[Episode], Tensor], config: MAMLBenchmarkConfig
    ) -> None:
        self.optimizer = torch.optim.Adam(parameters, config.learning_rate)
        self.logits = logits

    def step(self, episodes: Sequence[Episode]) -> None:
        """One Adam step."""
        self.optimizer.zero_grad()
        for episode in episodes:
            (F.cross_entropy(self.logits(episode), episode.query_labels) / len(episodes)).backward()
        self.optimizer.step()

    def accuracy(self, episode: Episode) -> float:
        """Share of the queries that get their class."""
        right = self.logits(episode).argmax(1) == episode.query_labels
        return float(right.double().mean())


class Ours(Trainer):
    """A learner of this project, as ``fewshot-film train`` trains it."""

    def __init__(self, learner: Learner, config: MAMLBenchmarkConfig) -> None:
        super().__init__([each for each in learner.parameters() if each.requires_grad], learner.train(), config)


class Theirs(Trainer):
    """The same network in the loop of learn2learn's examples.

    Args:
        learner: gives network, first head and method.
        config: inner steps and learning rates.
    """

    def __init__(self, learner: GradientLearner, config: MAMLBenchmarkConfig) -> None:
        library, method = learn2learn(), learner.config.method
        body, head = learner.backbone, learner.head_start
        inner = head if method == "anil" else nn.Sequential(body, head)
        algorithm = library.algorithms.MetaSGD if method == "meta-sgd" else library.algorithms.MAML
        wrapped = algorithm(inner, lr=config.inner_lr)

        def logits(episode: Episode) -> Tensor:
            fast = wrapped.clone()
            inputs = (episode.support_images, episode.query_images)
            support, queries = (body(images) for images in inputs) if method == "anil" else inputs
            for _ in range(config.inner_steps):
                fast.adapt(F.cross_entropy(fast(support), episode.support_labels))
            found: Tensor = fast(queries)
            return found

        parameters = [*wrapped.parameters(), *(body.parameters() if method == "anil" else ())]
        super().__init__([each for each in parameters if each.requires_grad], logits, config)


def as_table(title: str, rows: Mapping[str, Any]) -> str:
    """A row per method: accuracies in per cent, their paired difference, milliseconds per training episode."""
    lines = [
        f"| {title}, {WAY}-way {SHOT}-shot | here | learn2learn | difference | ms here | ms learn2learn |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        ours, theirs = (row["accuracy"].get(side) for side in SIDES)
        cells = [
            *(f"{100 * one['mean']:.1f} ± {100 * one['interval']:.1f}" if one else "" for one in (ours, theirs)),
            as_gain(row["gain"]) if "gain" in row else "",
            *(f"{row['milliseconds'][side]:.0f}" if side in row["milliseconds"] else "" for side in SIDES),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


COMMANDS = [
    Command(
        name="run",
        config=MAMLBenchmarkConfig,
        run="benchmarks.maml:run",
        help="MAML, ANIL and Meta-SGD beside learn2learn's own loop, on the same episodes.",
        examples=("python -m benchmarks.maml run --omniglot omniglot.zip --cifar_fs cifar-100.zip",),
    )
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.maml", COMMANDS))
