"""Batches by number, prepared ahead by any number of worker processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from fewshot_film.errors import ProcessLostError, exit_status_of


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
            # user-fixable errors are passed on unchanged; torch would wrap them in a traceback
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
        Exception: whatever ``batches`` raises; if user-fixable, the same error for any
            number of workers.
    """
    workers = num_workers if indices else 0
    loader = DataLoader(
        _Numbered(batches),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        # Forked workers share what the batches hold, whatever way of starting Python prefers.
        multiprocessing_context="fork" if workers else None,
        collate_fn=_unchanged,
        worker_init_fn=_outlive_first_signal,
        # A generator of its own, or making the iterator would draw from the global one.
        generator=torch.Generator().manual_seed(0),
    )
    iterator = iter(loader)
    # Private names of torch, which has no public way to end workers before the garbage is collected.
    processes = getattr(iterator, "_workers", ())
    shut_down = getattr(iterator, "_shutdown_workers", lambda: None)
    try:
        try:
            yield _opened(iterator, processes)
        finally:
            shut_down()
    except RuntimeError as error:
        # Torch raises it from a signal handler, wherever the main process happens to be.
        if "DataLoader worker" not in str(error):
            raise
        raise _lost(error) from error


def _opened(iterator: Iterator[Any], workers: Sequence[BaseProcess]) -> Iterator[Any]:
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (OSError, EOFError, RuntimeError) as error:
            # What reading from a dying worker leads to depends on the moment, and its death may show later.
            if not wait([worker.sentinel for worker in workers], timeout=1.0):
                raise
            raise _lost(error) from error
        if isinstance(batch, _Failure):
            raise batch.error
        yield batch


def _lost(error: Exception) -> ProcessLostError:
    return ProcessLostError(f"a data loading process died ({error}); start the same command again with --resume")


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
