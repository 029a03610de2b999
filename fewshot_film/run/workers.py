"""Spread a list of jobs over processes that end when their parent does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from fewshot_film.errors import ProcessLostError

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
        ProcessLostError: a worker was killed, by the system for want of memory for example.
    """
    if not jobs:
        return
    if min(num_workers, len(jobs)) == 1:
        with one_thread():
            yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    listening, stop = context.Pipe(duplex=False)
    with ProcessPoolExecutor(min(num_workers, len(jobs)), context, _prepare_worker, (function, listening)) as pool:
        try:
            with _ctrl_c_held():  # workers inherit it: Ctrl-C is the parent's affair from their first moment
                futures = [pool.submit(_do, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise ProcessLostError(
                "a worker process died, perhaps because memory ran out; run the same command "
                "again, with fewer processes if it repeats"
            ) from None
        except BaseException:  # nobody waits for the jobs that run
            stop.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            stop.close()
            listening.close()


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


def _do(job: Any) -> Any:
    return _function[0](job)


def _prepare_worker(function: Callable[[Any], Any], parent: Connection) -> None:
    _function[:] = [function]
    os.environ["OMP_NUM_THREADS"] = "1"  # what torch goes by if it is imported later
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair: it ends the jobs in order
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


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
