"""Learners compared on the same episodes, which they classify in turn, so that the table is always up to date."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fewshot_film.app.groups import Group, filled
from fewshot_film.commands.baselines import load_models, without_training
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import ImageSet, SourceError, decode, open_source
from fewshot_film.data.source import ImageSource
from fewshot_film.episodes import EpisodeSampler, HoldOutSampler, Plan
from fewshot_film.errors import UserError, counted
from fewshot_film.images import MAX_PIXELS
from fewshot_film.learners import Learner
from fewshot_film.learners.backbone import plain_preprocessing
from fewshot_film.learners.task_runners import TaskRunner, task_runner
from fewshot_film.page import Page
from fewshot_film.run.results import mean_and_interval, paired_difference
from fewshot_film.run.runtime import choose_device

GENERATED = ("creatures", "glyphs", "textures")
GENERATED_CLASSES = 30
"""Classes of a generated data set from which episodes are sampled: generating more images would take too long."""
MAX_IMAGES = 5000
"""Maximum number of images in a folder or zip file."""
_PAUSE = 0.4
"""Seconds between two updates of the table."""

Sets = dict[Preprocessing, ImageSet]
"""Decoded images by how they became input."""


class ComparisonError(UserError, ValueError):
    """A comparison that cannot be run as asked."""


@dataclass(frozen=True)
class Row:
    """Results of one learner so far; NaN before there are two episodes."""

    name: str
    """The learner."""
    accuracy: float
    """Mean, 0 to 1."""
    interval: float
    """Half the width of the mean's 95 % interval."""
    difference: float
    """Mean difference to the best learner, on the same episodes."""
    difference_interval: float
    """Half the width of its 95 % interval."""
    milliseconds: float
    """Mean time per episode, from support and query images to predictions."""


@dataclass(frozen=True)
class Progress:
    """Progress of a comparison."""

    done: int
    """Episodes done."""
    total: int
    """Episodes requested."""
    rows: tuple[Row, ...]
    """The learners, the best first."""


class TaughtSource(ImageSource):
    """A visitor's classes, at the size at which they are stored."""

    def __init__(self, groups: Sequence[Group]) -> None:
        groups = filled(groups)
        self._images = [image for group in groups for image in group.images]
        labels = np.repeat(np.arange(len(groups)), [len(group.images) for group in groups])
        files = [f"{number}/{image.name}" for number, image in enumerate(self._images)]
        super().__init__("my classes", [group.name for group in groups], labels, files)

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        pixels = self._images[index].pixels.numpy()
        return Image.fromarray(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return ""

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return "taught"


def learner_names(page: Page) -> list[str]:
    """What can be compared: the page's models, and learners on the backbone of the last model without FiLM."""
    last = [*load_models(page.models).values()][-1]
    return [*page.models, *without_training((), last.backbone, last.config)]


def compare(
    page: Page,
    data: str | ImageSource,
    names: Sequence[str],
    episodes: int,
    *,
    way: int = 5,
    shot: int = 1,
    seed: int = 0,
) -> Iterator[Progress]:
    """Run learners on the same episodes and report the progress.

    Args:
        page: names the models.
        data: one of :data:`GENERATED`, whose unseen classes give episodes of ``way`` classes with ten queries each; or
            a source, all of whose classes take part in every episode, split at random.
        names: learners, as :func:`learner_names` has them.
        episodes: how many.
        way: classes of an episode of generated images.
        shot: support images per class; 0, for a source only: all but a fifth.
        seed: decides the episodes.

    Raises:
        ComparisonError: there is nothing to compare, or a number is out of range.
        SourceError: there are too few images.
    """
    if not names or episodes < 2:
        chosen = f"{counted(len(names), 'learner')} and {counted(episodes, 'episode')}"
        raise ComparisonError(f"{chosen}; select at least one learner and 2 episodes, which an interval requires")
    learners = _learners(page, names)
    sets = _decode(data, learners)
    first = next(iter(sets.values()))
    device, runners = choose_device(page.device, in_double=True), {}
    for name, learner in learners.items():
        images = first if learner is None else sets[learner.backbone.preprocessing]
        runners[name] = task_runner(learner, images, device), _places(first, images)
    if isinstance(data, str):
        return _run(runners, EpisodeSampler(first, way, max(shot, 1), 10, seed=seed, split="test"), episodes)
    return _run(runners, HoldOutSampler(first, shot, seed=seed), episodes)


def _run(
    runners: Mapping[str, tuple[TaskRunner, np.ndarray]], sampler: EpisodeSampler | HoldOutSampler, episodes: int
) -> Iterator[Progress]:
    """The progress, at most every :data:`_PAUSE` seconds, and at the end."""
    accuracies: dict[str, list[float]] = {name: [] for name in runners}
    seconds = dict.fromkeys(runners, 0.0)
    shown = -math.inf
    for index in range(episodes):
        plan = sampler.plan(index)
        for name, (one, places) in runners.items():
            began = time.perf_counter()
            accuracies[name].append(_accuracy(one, _moved(plan, places)))
            seconds[name] += time.perf_counter() - began
        if time.perf_counter() - shown > _PAUSE or index + 1 == episodes:
            yield Progress(index + 1, episodes, _rows(accuracies, seconds))
            shown = time.perf_counter()


def _learners(page: Page, names: Sequence[str]) -> dict[str, Learner | None]:
    """Learners by name; those of the page's models are loaded anew: FiLM is switched on in them."""
    models = load_models(page.models)
    last = [*models.values()][-1]
    plain = [name for name in names if name not in models]
    others = without_training(plain, last.backbone, last.config) if plain else {}
    return {name: models[name] if name in models else others[name] for name in names}


def _decode(data: str | ImageSource, learners: Mapping[str, Learner | None]) -> Sets:
    """The images as each learner reads them; raw pixels are those of the first."""
    trained = [learner.backbone.preprocessing for learner in learners.values() if learner is not None]
    needed = dict.fromkeys(trained or [plain_preprocessing(32)])
    source = _generated_source(data) if isinstance(data, str) else data
    if len(source) > MAX_IMAGES:
        raise ComparisonError(
            f"{source.name} has {counted(len(source), 'image')}; the page compares at most {MAX_IMAGES:,}: use "
            "`fewshot-film compare` for more"
        )
    # the first drops duplicates and the others keep them, so that they contain every image of its plans
    return {
        preprocessing: decode(source, **preprocessing.pixels, on_duplicate="keep" if place else "drop")
        for place, preprocessing in enumerate(needed)
    }


def _generated_source(name: str) -> ImageSource:
    source = open_source(name, split="test")
    apart = max(1, len(source.class_names) // GENERATED_CLASSES)
    return source.select(source.class_names[::apart][:GENERATED_CLASSES])


def taught(groups: Sequence[Group]) -> TaughtSource:
    """A visitor's classes as a source.

    Raises:
        ComparisonError: there are fewer than two classes with two images.
    """
    usable = [group for group in groups if len(group.images) > 1]
    if len(usable) < 2:
        raise ComparisonError("add at least two images to two classes in Teach first")
    return TaughtSource(usable)


def folder_source(path: str | Path) -> ImageSource:
    """A folder or zip file with one subfolder of images per class.

    Raises:
        FileNotFoundError: it is not there, or has no such folders.
        SourceError: it is no zip.
    """
    source = open_source("folder", path)
    if len(source.class_names) < 2:
        raise SourceError(f"{source.name} has one class, '{source.class_names[0]}'; expected at least two folders")
    return source


def _places(drawn_from: ImageSet, images: ImageSet) -> np.ndarray:
    """Positions of the images that plans refer to in another image set of the same source."""
    place = {file: index for index, file in enumerate(images.files)}
    return np.array([place[file] for file in drawn_from.files], dtype=np.int64)


def _moved(plan: Plan, places: np.ndarray) -> Plan:
    return dataclasses.replace(plan, support=places[plan.support], query=places[plan.query])


def _accuracy(one: TaskRunner, plan: Plan) -> float:
    answers = one.logits(plan).argmax(1).cpu()
    return float((answers == torch.from_numpy(plan.query_labels)).double().mean())


def _rows(accuracies: Mapping[str, Sequence[float]], seconds: Mapping[str, float]) -> tuple[Row, ...]:
    means = {name: float(np.mean(values)) for name, values in accuracies.items()}
    order = sorted(means, key=lambda name: -means[name])
    best = accuracies[order[0]]
    rows = []
    for name in order:
        values = accuracies[name]
        enough = len(values) > 1
        _, interval = mean_and_interval(values) if enough else (math.nan, math.nan)
        difference, spread = paired_difference(values, best) if enough else (math.nan, math.nan)
        rows.append(Row(name, means[name], interval, difference, spread, 1000 * seconds[name] / len(values)))
    return tuple(rows)
