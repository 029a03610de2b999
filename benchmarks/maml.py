"""MAML, ANIL and Meta-SGD beside learn2learn's own training loop, on the same episodes: accuracy and time.

    python -m benchmarks.maml run --omniglot omniglot.zip --cifar_fs cifar-100.zip

Both sides start from the same weights, see the same episodes in the same order, and take the same inner steps, with
BatchNorm's statistics from the images that are asked about, as learn2learn's examples do: the trained weights have to
be the same, and the time tells whether this project's way round costs anything. The loop of learn2learn is that of
its examples: clone, adapt, backward, one Adam step for every few tasks. It has no FiLM: where the inner loop changes
FiLM alone, ours stands alone. Times are the processor's, both sides in turns, one thread.

How much is "the same" here? `rounding` changes the first weights of MAML by one unit in the last place and looks at
the gradient of an episode. A run that was stopped continues with the methods that its result file lacks.
"""

from __future__ import annotations

import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from fewshot_film.run.results import earlier_results, summary, write_result
from fewshot_film.run.settings import Settings, above, at_least

log = logging.getLogger(__name__)

WAY, SHOT, QUERY = 5, 1, 5
SIDES = ("ours", "learn2learn")
PRECISIONS = (torch.float32, torch.float64)
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
    steps: Annotated[int, at_least(1)] = 300
    """Adam steps."""
    tasks: Annotated[int, at_least(1)] = 4
    """Episodes for each step."""
    inner_steps: Annotated[int, at_least(1)] = 1
    """Gradient steps on each support set."""
    inner_lr: Annotated[float, above(0)] = 0.4
    """Their learning rate."""
    film_lr: Annotated[float, above(0)] = 10.0
    """The same where they change FiLM alone, which moves the logits less than all weights do."""
    learning_rate: Annotated[float, above(0)] = 3e-3
    """Of Adam."""
    episodes: Annotated[int, at_least(2)] = 300
    """Test episodes."""
    out: str = "benchmarks/results/maml.json"
    """The result file."""


_NUMBERS = ("steps", "tasks", "inner_steps", "inner_lr", "film_lr", "learning_rate", "episodes")
"""Settings that the results depend on."""


def methods(config: MAMLBenchmarkConfig, backbone: BackboneConfig) -> dict[str, GradientConfig]:
    """What is trained, by the names of the rows."""
    shared: dict[str, Any] = {
        "backbone": backbone,
        "way": WAY,
        "inner_steps": config.inner_steps,
        "inner_lr": config.inner_lr,
        "statistics": "transductive",
    }
    film: dict[str, Any] = {**shared, "inner": "film", "inner_lr": config.film_lr}
    return {
        "maml": MAMLConfig(**shared),
        "anil": ANILConfig(**shared),
        "meta-sgd": MetaSGDConfig(**shared),
        "maml, FiLM alone": MAMLConfig(**film),
        "meta-sgd, FiLM alone": MetaSGDConfig(**film),
    }


def run(config: MAMLBenchmarkConfig) -> int:
    """Train and test all of them, print, write."""
    torch.set_num_threads(1)
    out = Path(config.out)
    results = earlier_results(out, config, _NUMBERS)
    for source, root in (("omniglot", config.omniglot), ("cifar-fs", config.cifar_fs)):
        if root:
            data = DataConfig(source=source, root=root, cache=config.cache)
            images = {split: open_images(data, split, BACKBONES[source]) for split in ("train", "test")}
            found = results.setdefault(source, {"methods": {}})
            for name, row in measure(images, BACKBONES[source], config, done=found["methods"]):
                found["methods"][name] = row
                write_result(out, config=config, seed=0, results=results)
            if "rounding" not in found:
                found["rounding"] = rounding(images["train"], BACKBONES[source], config)
            write_result(out, config=config, seed=0, results=results)
            print(as_table(source, found["methods"]), flush=True)
    return 0


def measure(
    images: Mapping[str, ImageSet],
    backbone: BackboneConfig,
    config: MAMLBenchmarkConfig,
    done: Collection[str] = (),
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every method's row: accuracy and milliseconds per episode of both sides, and how far apart they are.

    Args:
        images: of training and test classes.
        backbone: of all methods.
        config: how long.
        done: methods to leave out.
    """
    train = EpisodeSampler(images["train"], WAY, SHOT, QUERY, split="train")
    test = EpisodeSampler(images["test"], WAY, SHOT, QUERY, split="test")
    for name, method in methods(config, backbone).items():
        if name in done:
            continue
        learner = first_learner(method)
        sides: dict[str, Trainer] = {"ours": Ours(learner, config)}
        if "FiLM" not in name:
            sides["learn2learn"] = Theirs(copy.deepcopy(learner), config)
        train_ms = train_in_turns(sides, train, config)
        values, test_ms = evaluate_in_turns(sides, test, config)
        row: dict[str, Any] = {
            "episodes_sha256": fingerprint(test, config.episodes),
            "accuracy": {side: summary(each) for side, each in values.items()},
            "train_ms": train_ms,
            "test_ms": test_ms,
        }
        if "learn2learn" in sides:
            row["gain"] = paired_gain(values["ours"], values["learn2learn"])
            row["largest_difference_of_weights"] = largest_difference(*sides.values())
        log.info("%s: %s", name, {side: f"{100 * sum(each) / len(each):.1f} %" for side, each in values.items()})
        yield name, row


def first_learner(method: GradientConfig) -> GradientLearner:
    """A learner before the first step, the same one in every call."""
    torch.manual_seed(0)
    learner = build_learner(method)
    assert isinstance(learner, GradientLearner)
    return learner


def train_in_turns(
    sides: Mapping[str, Trainer], sampler: EpisodeSampler, config: MAMLBenchmarkConfig
) -> dict[str, float]:
    """Train all sides, one step of each in turns; median milliseconds per episode."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for step in range(config.steps):
        episodes = [sampler[config.tasks * step + number] for number in range(config.tasks)]
        for side in _order(sides, step):
            begun = time.process_time()
            sides[side].step(episodes)
            times[side].append(1000 * (time.process_time() - begun) / config.tasks)
    return {side: statistics.median(each) for side, each in times.items()}


def evaluate_in_turns(
    sides: Mapping[str, Trainer], sampler: EpisodeSampler, config: MAMLBenchmarkConfig
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Accuracies of all sides, an episode of each in turns, and median milliseconds per episode."""
    values: dict[str, list[float]] = {side: [] for side in sides}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for index in range(config.episodes):
        episode = sampler[index]
        for side in _order(sides, index):
            begun = time.process_time()
            values[side].append(sides[side].accuracy(episode))
            times[side].append(1000 * (time.process_time() - begun))
    return values, {side: statistics.median(each) for side, each in times.items()}


def _order(sides: Mapping[str, Any], turn: int) -> list[str]:
    """Who is first changes from turn to turn."""
    return [*sides] if turn % 2 == 0 else [*sides][::-1]


def largest_difference(one: Trainer, other: Trainer) -> float:
    """Of all weights that were trained."""
    pairs = zip(one.parameters, other.parameters, strict=True)
    return max(float((mine - theirs).detach().abs().max()) for mine, theirs in pairs)


def rounding(
    images: ImageSet, backbone: BackboneConfig, config: MAMLBenchmarkConfig, episodes: int = 50
) -> dict[str, list[float]]:
    """What becomes of MAML's gradient of an episode where its first weights change by one unit in the last place.

    Returns:
        By precision, for every episode: the size of the change over that of the gradient.
    """
    train = EpisodeSampler(images, WAY, SHOT, QUERY, split="train")
    found: dict[str, list[float]] = {}
    for precision in PRECISIONS:
        learner = first_learner(methods(config, backbone)["maml"]).to(precision)
        moved = copy.deepcopy(learner)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for each in moved.parameters():
                signs = torch.randint(0, 2, each.shape, generator=generator) * 2 - 1
                each.copy_(torch.nextafter(each, each + signs))
        changes = []
        for index in range(episodes):
            before, after = (_gradient(one, train[index], precision) for one in (learner, moved))
            changes.append(float((after - before).norm() / before.norm()))
        found[str(precision).removeprefix("torch.")] = changes
    return found


def _gradient(learner: GradientLearner, episode: Episode, precision: torch.dtype) -> Tensor:
    """Of the loss of one episode, all weights in one vector, in double precision."""
    support, queries = (images.to(precision) for images in (episode.support_images, episode.query_images))
    logits = learner.adapt(support, episode.support_labels)(queries)
    loss = F.cross_entropy(logits, episode.query_labels)
    gradients = torch.autograd.grad(loss, [*learner.parameters()])
    return torch.cat([each.double().flatten() for each in gradients])


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
        self.parameters = list(parameters)
        self.optimizer = torch.optim.Adam(self.parameters, config.learning_rate)
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

    @torch.no_grad()
    def accuracy(self, episode: Episode) -> float:
        """See :meth:`Trainer.accuracy`; as `fewshot-film evaluate` does, without gradients of gradients."""
        return super().accuracy(episode)


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

        parameters = [*(body.parameters() if method == "anil" else ()), *wrapped.parameters()]
        super().__init__([each for each in parameters if each.requires_grad], logits, config)


def as_table(title: str, rows: Mapping[str, Any]) -> str:
    """A row per method: accuracies in per cent and their paired difference, milliseconds per episode, weights."""
    heads = [
        f"{title}, {WAY}-way {SHOT}-shot",
        *("here, %", "learn2learn, %", "difference"),
        *("training, ms here", "learn2learn", "test, ms here", "learn2learn", "weights differ by"),
    ]
    lines = [f"| {' | '.join(heads)} |", f"| --- {'| ---: ' * (len(heads) - 1)}|"]
    for name, row in rows.items():
        accuracies = (row["accuracy"].get(side) for side in SIDES)
        cells = [
            *(f"{100 * one['mean']:.1f} ± {100 * one['interval']:.1f}" if one else "" for one in accuracies),
            as_gain(row["gain"]) if "gain" in row else "",
            *(f"{row[times][side]:.1f}" if side in row[times] else "" for times in _TIMES for side in SIDES),
            f"{row['largest_difference_of_weights']:.2g}" if "gain" in row else "",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


_TIMES = ("train_ms", "test_ms")


def rounding_table(results: Mapping[str, Any]) -> str:
    """What :func:`rounding` found, a row for each set of images and precision."""
    lines = [
        "| MAML's gradient of an episode changes by | median | largest | over 1 % |",
        "| --- | ---: | ---: | ---: |",
    ]
    for source, found in results.items():
        for precision, changes in found["rounding"].items():
            many = sum(change > 0.01 for change in changes)
            cells = [f"{statistics.median(changes):.0e}", f"{max(changes):.0e}", f"{many} of {len(changes)} episodes"]
            lines.append(f"| {source}, {precision} | {' | '.join(cells)} |")
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
