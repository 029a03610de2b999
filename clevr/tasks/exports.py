"""Tasks in the forms that trainers read: entries as text-only gyms have them, PyTorch, Hugging Face `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from clevr.tasks.answer_types import verify
from clevr.tasks.difficulty import Difficulty
from clevr.tasks.item import Item
from clevr.tasks.series import Series, TaskError, make
from fewshot_film.extras import optional

Entry = dict[str, Any]
"""``question``, ``answer``, ``image`` (uint8 ``(3, H, W)``) and ``metadata``, plain values with the ``answer_type``."""


def to_entry(item: Item) -> Entry:
    """An item as a dictionary."""
    return {"question": item.prompt, "answer": item.answer, "image": item.image, "metadata": item.metadata}


class TaskDataset(Dataset[Entry]):
    """A series as a map-style data set of entries, with the method by which gyms score answers.

    It has what trainers for the data sets of reasoning-gym use (``len``, indexing, iteration and ``score_answer``) and
    is a PyTorch data set; a ``DataLoader`` needs :meth:`collate`.

    Args:
        series: the tasks; it must have a size.

    Raises:
        TaskError: the series is endless.
    """

    def __init__(self, series: Series) -> None:
        if series.size is None:
            raise TaskError("an endless series has no length; give make(..., size=...), or use TaskStream")
        self.series = series

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.series)

    def __getitem__(self, index: int) -> Entry:
        """Entry ``index``."""
        return to_entry(self.series[index])

    def __getitems__(self, indices: Sequence[int]) -> list[Entry]:
        """Several entries, made faster together; ``DataLoader`` asks for its batches this way."""
        return [to_entry(item) for item in self.series.batch(indices)]

    def __iter__(self) -> Iterator[Entry]:
        """All entries in order."""
        return map(to_entry, self.series)

    def score_answer(self, answer: str | None, entry: Mapping[str, Any]) -> float:
        """Score of what a model wrote, 0 to 1: see :func:`clevr.tasks.verify`.

        Args:
            answer: the text, with or without its reasoning; ``None`` scores 0.
            entry: an entry, which may have been through JSON; its ``image`` is not looked at.
        """
        return verify(answer, entry["answer"], entry["metadata"]["answer_type"])

    @staticmethod
    def collate(entries: Sequence[Entry]) -> dict[str, Any]:
        """Entries as a batch: ``image`` is a tensor ``(B, 3, H, W)``, everything else a list."""
        batch: dict[str, Any] = {key: [entry[key] for entry in entries] for key in entries[0]}
        batch["image"] = torch.stack(batch["image"])
        return batch


class TaskStream(IterableDataset[Entry]):
    """A series as an iterable data set, endless if the series is; loader workers and processes share it out.

    Args:
        series: the tasks.
        rank: number of this process.
        world_size: number of processes; each gets every ``world_size``-th item.

    Raises:
        TaskError: there is no such rank.
    """

    def __init__(self, series: Series, *, rank: int = 0, world_size: int = 1) -> None:
        if not 0 <= rank < world_size:
            raise TaskError(f"rank {rank} of {world_size} processes; expected 0 <= rank < world_size")
        self.series = series
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[Entry]:
        """The entries of this process and loader worker."""
        worker = get_worker_info()
        worker_id, num_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        start = self.rank * num_workers + worker_id
        return map(to_entry, self.series.every(start, self.world_size * num_workers))


def create_dataset(
    name: str,
    *,
    size: int = 500,
    seed: int = 0,
    difficulty: int | Difficulty = 3,
    width: int = 320,
    height: int = 240,
) -> TaskDataset:
    """Entries of a kind of task; see :func:`make` for the arguments.

    Raises:
        TaskError: there is no such kind; the seed or the size is negative.
        InvalidValueError: there is no such level.
    """
    return TaskDataset(make(name, size=size, seed=seed, difficulty=difficulty, width=width, height=height))


def to_hugging_face(series: Series, *, num_shards: int = 16) -> Any:
    """A series as a streaming data set of the library `datasets`, endless if the series is.

    Columns: ``image``, ``question``, ``answer``, ``answer_type`` and ``metadata``, which is JSON.

    Args:
        series: the tasks.
        num_shards: into how many parts loader workers and processes can share it out.

    Returns:
        ``datasets.IterableDataset``.

    Raises:
        MissingExtraError: the library is not installed.
    """
    library = optional("datasets", extra="datasets", what="a stream for Hugging Face")
    texts = {name: library.Value("string") for name in ("question", "answer", "answer_type", "metadata")}
    return library.IterableDataset.from_generator(
        _rows,
        features=library.Features({"image": library.Image(), **texts}),
        gen_kwargs={"series": series, "starts": list(range(num_shards)), "stride": num_shards},
    )


def _rows(series: Series, starts: Sequence[int], stride: int) -> Iterator[dict[str, Any]]:
    """Rows of some shards, one of each in turn, as an endless shard would keep the others waiting."""
    streams = [series.every(start, stride) for start in starts]
    while streams:
        for stream in list(streams):
            item = next(stream, None)
            if item is None:
                streams.remove(stream)
            else:
                yield {
                    "image": Image.fromarray(item.image.permute(1, 2, 0).numpy()),
                    "question": item.prompt,
                    "answer": item.answer,
                    "answer_type": item.answer_type,
                    "metadata": json.dumps(item.metadata),
                }
