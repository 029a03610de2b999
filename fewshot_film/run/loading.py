"""Batches by number, prepared ahead by any number of worker processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from fewshot_film.run.errors import ProcessLostError, exit_status_of


class Batches(Protocol):
    """Micro-batches by number.

    ``batches[index]`` must be a pure function of ``index``: the same in any order, in any process. That is
    what makes a run independent of its number of workers, and resuming a matter of knowing the step.
    """

    def __getitem__(self, index: int, /) -> Any:
        """The micro-batch number ``index``, for any index from 0."""


class _Numbered(Dataset[Any]):
    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Any:
        try:
            return self.batches[index]
        except Exception as error:
            # What a person shall read travels as it is; torch would wrap it into a traceback.
            if torch.utils.data.get_worker_info() is None or exit_status_of(error) is None:
                raise
            return _Failure(error)


class _Failure:
    """An error on its way from a worker."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def loaded(batches: Batches, indices: Sequence[int], num_workers: int) -> Iterator[Iterator[Any]]:
    """Iterate over ``batches[i] for i in indices``; the workers end with the ``with`` block.

    Raises:
        ProcessLostError: a worker was killed.
        Exception: whatever ``batches`` raises; where a person is meant to read it, the same error for any
            number of workers.
    """
    loader = DataLoader(
        _Numbered(batches),
        batch_size=None,
        sampler=indices,
        num_workers=num_workers,
        collate_fn=_unchanged,
        worker_init_fn=_outlive_first_signal,
        # A generator of its own, or making the iterator would draw from the global one.
        generator=torch.Generator().manual_seed(0),
    )
    iterator = iter(loader)
    try:
        yield _watched(iterator)
    finally:
        # Ends the workers now rather than when the garbage is collected.
        shutdown = getattr(iterator, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()


def _watched(iterator: Iterator[Any]) -> Iterator[Any]:
    try:
        for batch in iterator:
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ProcessLostError(
            f"a process that prepares batches ended: {error}. Start the same command again with --resume"
        ) from error


def _unchanged(batch: Any) -> Any:
    return batch


def _outlive_first_signal(worker: int) -> None:
    """Leave the first Ctrl-C or SIGTERM to the main process, which ends its workers when it has saved.

    Terminals, torchrun and SLURM send their signals to every process of the group.
    """

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, once)
    signal.signal(signal.SIGTERM, once)
