"""Jobs spread over Ray's workers: on this machine, or on a cluster that is there already.

A job that is idempotent may run on a worker that is killed: Ray runs it again elsewhere. Imports Ray only when asked.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from fewshot_film.errors import ProcessLostError, exit_status_of
from fewshot_film.extras import optional
from fewshot_film.run.workers import one_thread

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 5
"""How often a job is started again whose worker was killed."""
_AHEAD = 4
"""Jobs that are handed to Ray per core before the first of them is done."""


def run_ray_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int
) -> Generator[Result, None, None]:
    """Results of ``function`` over the jobs, as they come, each computed with one thread on one core.

    The cluster is the one of ``RAY_ADDRESS`` or the one that this process is connected to; where there is none, Ray is
    started on this machine for as long as the iteration lasts. Workers need the same packages, and the same files
    under the same paths.

    Args:
        function: a function of a module, or a :func:`functools.partial` of one; it may be called again for a job
            whose worker was killed.
        jobs: its arguments.
        num_workers: cores to start Ray with; a cluster that is there has its own.

    Raises:
        MissingExtraError: the extra ``ray`` is not installed.
        ProcessLostError: workers were killed at the same job again and again, or Ray cannot be started or joined.
        Exception: what ``function`` raised, unchanged where it is user-fixable.
    """
    ray = optional("ray", extra="ray", what="the engine ray")
    if not jobs:
        return
    is_ours = not ray.is_initialized()
    if is_ours:
        connect(ray, num_workers)
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_do)
        shared = ray.put(function)
        left, running = deque(jobs), list[Any]()
        while left or running:
            while left and len(running) < _AHEAD * cores:
                running.append(remote.remote(shared, left.popleft()))
            done, running = ray.wait(running)
            yield _result(ray, done[0])
    finally:
        if is_ours:
            ray.shutdown()


def connect(ray: Any, num_workers: int) -> None:
    """Join the cluster of ``RAY_ADDRESS``, or start one on this machine.

    Args:
        ray: the package.
        num_workers: cores to start one with.

    Raises:
        ProcessLostError: it cannot be joined, or started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use over the network
    os.environ.setdefault("RAY_worker_niceness", "0")  # or everything else on the machine comes before its workers
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"num_cpus": num_workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # of any class, a plain Exception among them
        what = " ".join(str(error).split())
        if address:
            advice = f"expected a Ray cluster at RAY_ADDRESS={address}: start one there, or unset RAY_ADDRESS"
        else:
            advice = "expected it to start on this machine: try again when the machine is less busy, or another engine"
        raise ProcessLostError(f"Ray could not be started or joined ({what}); {advice}") from error


def _do(function: Callable[[Any], Any], job: Any) -> Any:
    with one_thread():
        return function(job)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception) and exit_status_of(cause) is not None:
            raise cause from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError) as error:
        raise ProcessLostError(
            f"a Ray worker was killed {RETRIES + 1} times at the same job, perhaps because memory ran out "
            f"({type(error).__name__}); run the same command again, with fewer workers if it repeats"
        ) from None
