"""learn2learn's task sets and episodes of ours, each as the other.

A task set gives tasks as ``(data, labels)`` and leaves to the training loop which of them are for support and which
for query (Arnold et al., "learn2learn", 2020, https://arxiv.org/abs/2008.12284).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from fewshot_film.data.errors import SourceError
from fewshot_film.episodes.episode import Episode, Episodes
from fewshot_film.errors import InvalidValueError, counted, listed
from fewshot_film.run.seeding import derived_seed


class TaskSet:
    """Episodes as learn2learn's loops read them: by number, by iteration, or by ``sample()``.

    A task's images lie class by class, those of the support set first in each: what
    ``learn2learn.data.partition_task`` expects.

    Args:
        episodes: where the tasks come from; task ``i`` is episode ``i``.
        num_tasks: how many; -1 for no end (the length is 1 then, as learn2learn has it).

    Raises:
        ValueError: ``num_tasks`` is 0 or below -1.
    """

    def __init__(self, episodes: Episodes, num_tasks: int = -1) -> None:
        if num_tasks == 0 or num_tasks < -1:
            raise InvalidValueError(f"num_tasks is {num_tasks}; expected at least 1, or -1 for no end")
        self.episodes = episodes
        self.num_tasks = num_tasks
        self._next = 0

    def __len__(self) -> int:
        return max(self.num_tasks, 1)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Images ``(N + M, C, H, W)`` in [0, 1] and labels ``(N + M,)`` of episode ``index``.

        Raises:
            IndexError: there is no such task.
        """
        if index < 0 or (self.num_tasks != -1 and index >= self.num_tasks):
            raise IndexError(f"there is no task {index}; expected one of 0 to {self.num_tasks - 1}")
        episode = self.episodes[index]
        images = torch.cat([episode.support_images, episode.query_images])
        labels = torch.cat([episode.support_labels, episode.query_labels])
        order = labels.argsort(stable=True)
        return images[order], labels[order]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All tasks in order."""
        index = 0
        while index < self.num_tasks or self.num_tasks == -1:
            yield self[index]
            index += 1

    def sample(self) -> tuple[Tensor, Tensor]:
        """Any task, drawn by Python's global generator as in learn2learn; without an end, the next one."""
        if self.num_tasks != -1:
            return self[random.randrange(self.num_tasks)]
        self._next += 1
        return self[self._next - 1]


class Tasks(Protocol):
    """What is asked of a learn2learn ``Taskset``."""

    def sample_task_description(self) -> Any:
        """Draw which items make a task."""

    def get_task(self, task_description: Any) -> Any:
        """Load them."""


class TaskSetEpisodes:
    """A learn2learn task set as episodes: number i is a function of (task set, seed, split, i).

    learn2learn draws by Python's global generator, and its data sets may vary images by torch's: both are seeded
    from (seed, split, i) around each draw and put back after it. Its own memory of tasks drawn before is not used.

    Args:
        taskset: a ``learn2learn.data.Taskset``, or a :class:`TaskSet`.
        shot: support images per class: the first of each class in the task's order; the rest are for query.
        seed: with ``split``, decides every episode.
        split: a name that separates the episodes of training, validation and test.
        name: the source's name in the episodes.
        to_images: makes images ``(B, C, H, W)`` in [0, 1] of a task's data; default: bytes are divided by 255,
            and anything else is taken as it is.

    Raises:
        ValueError: ``shot`` is below 1.
    """

    def __init__(
        self,
        taskset: Tasks | TaskSet,
        shot: int,
        *,
        seed: int = 0,
        split: str = "train",
        name: str = "learn2learn",
        to_images: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if shot < 1:
            raise InvalidValueError(f"shot is {shot}; expected at least 1")
        self.taskset = taskset
        self.shot = shot
        self.seed = seed
        self.split = split
        self.name = name
        self.to_images = to_images or _as_images

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, from 0 on.

        Raises:
            IndexError: the index is negative.
            SourceError: the task set has too few classes or images, a class has no image left for query, an item
                was drawn twice, or the data are no images in [0, 1].
        """
        if index < 0:
            raise IndexError(f"episodes are numbered from 0, got {index}")
        with _seeded(derived_seed(self.seed, "task set", self.split, index)):
            data, labels, items = self._draw(index)
        classes, targets = labels.unique(return_inverse=True)
        images = self._checked(self.to_images(data))
        support = torch.cat([(targets == label).nonzero()[: self.shot, 0] for label in range(len(classes))])
        query = torch.cat([(targets == label).nonzero()[self.shot :, 0] for label in range(len(classes))])
        self._check_split(targets, query, items)
        files = [f"{self.name}/{item}" for item in items]
        return Episode(
            support_images=images[support],
            support_labels=targets[support],
            query_images=images[query],
            query_labels=targets[query],
            class_names=tuple(str(label) for label in classes.tolist()),
            support_files=tuple(files[place] for place in support.tolist()),
            query_files=tuple(files[place] for place in query.tolist()),
            source=self.name,
            index=index,
        )

    def _draw(self, index: int) -> tuple[Tensor, Tensor, list[Any]]:
        """Data, labels, and what tells the items apart."""
        if isinstance(self.taskset, TaskSet):
            data, labels = self.taskset[index]
            return data, labels, [f"{index}/{place}" for place in range(len(labels))]
        try:
            description = self.taskset.sample_task_description()
        except (ValueError, IndexError) as error:  # what random.sample and random.choice raise where too little is left
            missing = _missing(self.taskset)
            if not missing:
                raise
            raise SourceError(f"{self.name}: no task can be drawn: {missing}") from error
        data, labels = self.taskset.get_task(description)
        return data, torch.as_tensor(labels), [item.index for item in description]

    def _checked(self, images: Tensor) -> Tensor:
        low, high = (float(images.min()), float(images.max())) if images.numel() else (0.0, 0.0)
        if images.ndim != 4 or not images.is_floating_point() or low < 0 or high > 1:
            raise SourceError(
                f"{self.name}: a task's data are {images.dtype} of shape {tuple(images.shape)} from {low:g} to "
                f"{high:g}; expected images (B, C, H, W) in [0, 1]: give a function to_images that makes them"
            )
        return images

    def _check_split(self, targets: Tensor, query: Tensor, items: list[Any]) -> None:
        if len(targets[query].unique()) < len(targets.unique()):
            smallest = int(targets.bincount().min())
            raise SourceError(
                f"{self.name}: a class has {smallest} images in a task, of which {self.shot} are for support; "
                f"expected at least {self.shot + 1}: have the task set draw more (KShots), or lower shot"
            )
        if len(set(items)) < len(items):
            raise SourceError(
                f"{self.name}: a task holds one item twice, so that an image may be in support and query; "
                "draw without replacement"
            )


def _missing(taskset: Tasks) -> str:
    """Which classes or images a learn2learn task set lacks for its own ``NWays`` and ``KShots``; empty if none."""
    classes: dict[Any, list[int]] = getattr(getattr(taskset, "dataset", None), "labels_to_indices", {})
    transforms = list(getattr(taskset, "task_transforms", None) or ())
    way = max((getattr(transform, "n", 0) for transform in transforms), default=0)
    items = max(
        (getattr(transform, "k", 0) for transform in transforms if not getattr(transform, "replacement", False)),
        default=0,
    )
    if len(classes) < way:
        return f"the data set has {counted(len(classes), 'class')}, and NWays asks for {way}; lower it, or add classes"
    small = [(label, len(members)) for label, members in classes.items() if len(members) < items]
    if not small:
        return ""
    some = listed((f"class {label} has {count}" for label, count in small), 10)
    return f"KShots asks for {items} images of a class, and {some}; lower it, or add images"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's and torch's global generators seeded within the block, and as they were after it."""
    state = random.getstate()
    try:
        with torch.random.fork_rng([]):
            random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(state)


def _as_images(data: Tensor) -> Tensor:
    return data.float() / 255 if data.dtype == torch.uint8 else data
