"""Worker processes: a list of jobs spread over them, and a training's batches prepared ahead by them.

Imports no torch, as workers that decode or write images do without it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from fewshot_film.errors import InvalidValueError, ProcessLostError, exit_status_of

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext
    from multiprocessing.synchronize import Event, Lock

Job = TypeVar("Job")
Result = TypeVar("Result")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(function: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int) -> Generator[Result, None, None]:
    """Results of ``function`` over the jobs, as they come, each computed with one thread.

    One worker is this process itself. More are started afresh (spawned), so they inherit no locks and no
    state of torch or CUDA; ``function`` travels to each of them once, and the jobs one by one, by pickle. When
    the iteration ends, in whatever way, they have ended too.

    Args:
        function: a function of a module, or a :func:`functools.partial` of one with what all jobs share.
        jobs: its arguments.
        num_workers: processes to compute with.

    Raises:
        ProcessLostError: a worker was killed, by the system for want of memory for example, or could not begin.
        InvalidValueError: ``function`` cannot be pickled.
    """
    if not jobs:
        return
    if min(num_workers, len(jobs)) == 1:
        with one_thread():
            yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    workers = min(num_workers, len(jobs))
    listening, stop = context.Pipe(duplex=False)
    begun = context.Event()
    with (
        _handed_out(function, workers, context) as source,
        ProcessPoolExecutor(workers, context, _prepare_worker, (source, listening, begun)) as pool,
    ):
        try:
            with _ctrl_c_held():  # workers inherit it: Ctrl-C is the parent's affair from their first moment
                futures = [pool.submit(_do, job) for job in jobs]
            for future in as_completed(futures):
                yield pickle.loads(future.result())
        except BrokenProcessPool:
            raise ProcessLostError(_LOST if begun.is_set() else _NEVER_BEGAN) from None
        except BaseException:  # nobody waits for the jobs that run
            stop.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            stop.close()
            listening.close()


_LOST = (
    "a worker process died, perhaps because memory ran out; run the same command again, with fewer processes if it "
    "repeats"
)
_NEVER_BEGAN = (
    "the worker processes ended before they began, for the reason that they printed. Each imports the script that "
    "starts it: put what the script does under `if __name__ == '__main__':`, and what an interactive session defines "
    "into a module; or use one process"
)


@contextmanager
def _handed_out(function: Callable[[Any], Any], times: int, context: SpawnContext) -> Iterator[tuple[Connection, Lock]]:
    """Where each worker gets the function, once it has begun.

    Among what a process is started with, it would block this one for ever if it is large and the process ends before
    it has read it; and torch would move its tensors into shared memory, of which containers have little (Docker's
    64 MB).
    """
    receiver, sender = context.Pipe(duplex=False)
    thread = threading.Thread(target=_hand_out, args=(_pickled(function), times, sender), daemon=True)
    with _ctrl_c_held():
        thread.start()
    with receiver:  # once it is closed everywhere, the thread ends
        yield receiver, context.Lock()


def _pickled(function: Callable[[Any], Any]) -> bytes:
    try:
        return pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidValueError(
            f"what the worker processes need cannot be pickled ({error}); expected functions and classes of a module, "
            "without open files; or use one process"
        ) from error


def _hand_out(payload: bytes, times: int, sender: Connection) -> None:
    with sender, suppress(BrokenPipeError):
        for _ in range(times):
            sender.send_bytes(payload)


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Ctrl-C comes at the end of the block; processes started inside it never get one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_function: list[Callable[[Any], Any]] = []
"""What a worker does with its jobs."""


def _do(job: Any) -> bytes:
    return pickle.dumps(_function[0](job))  # here, as torch would put tensors on their way into shared memory


def _prepare_worker(source: tuple[Connection, Lock], parent: Connection, begun: Event) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # what torch goes by if it is imported later
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair: it ends the jobs in order
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    connection, lock = source
    with lock:
        payload = connection.recv_bytes()
    _function[:] = [pickle.loads(payload)]
    begun.set()


def _end_with_parent(parent: Connection) -> None:
    """End when the parent closes its side: by its own will, or because it was killed."""
    parent.poll(None)
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's operators on the CPU inside the block: sums are added up in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Batches(Protocol):
    """Micro-batches by number.

    ``batches[index]`` must be a pure function of ``index``: the same in any order, in any process. That is
    what makes a run independent of its number of workers, and resuming a matter of knowing the step.
    """

    def __getitem__(self, index: int, /) -> Any:
        """The micro-batch number ``index``, for any index from 0."""


class _Numbered:
    """The batches as a data set of torch's.

    Args:
        batches: micro-batches by number.
        in_worker: whether a worker process asks for them.
    """

    def __init__(self, batches: Batches, *, in_worker: bool) -> None:
        self.batches = batches
        self.in_worker = in_worker

    def __getitem__(self, index: int) -> Any:
        try:
            return self.batches[index]
        except Exception as error:
            # user-fixable errors are passed on unchanged; torch would wrap them in a traceback
            if not self.in_worker or exit_status_of(error) is None:
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
    import torch
    from torch.utils.data import DataLoader

    workers = num_workers if indices else 0
    loader: DataLoader[Any] = DataLoader(
        cast(Any, _Numbered(batches, in_worker=workers > 0)),
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
