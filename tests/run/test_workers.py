from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fewshot_film.errors import InvalidValueError, ProcessLostError
from fewshot_film.run.workers import available_cores, run_jobs


def describe(job: int) -> tuple[int, int, int]:
    import torch  # not above: most tests need no torch in their workers

    return job, os.getpid(), torch.get_num_threads()


def fail_at_two(job: int) -> int:
    if job == 2:
        raise ValueError("two is too much")
    return job


def die_at_two(job: int) -> int:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def element(tensor: Any, job: int) -> Any:
    return tensor[job].clone()


def sleep_and_tell(folder: Path, job: int) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def test_available_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_no_jobs() -> None:
    assert list(run_jobs(describe, [], 2)) == []


def test_one_worker_is_this_process_with_one_thread() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(run_jobs(describe, [1, 2], 1)) == [(1, os.getpid(), 1), (2, os.getpid(), 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_more_workers_are_other_processes_with_one_thread_each() -> None:
    results = sorted(run_jobs(describe, range(6), 2))
    assert [job for job, _, _ in results] == list(range(6))
    assert os.getpid() not in {process for _, process, _ in results}
    assert {threads for _, _, threads in results} == {1}
    assert multiprocessing.active_children() == [], "the workers have not ended"


def test_an_error_of_a_job_arrives() -> None:
    with pytest.raises(ValueError, match="two is too much"):
        list(run_jobs(fail_at_two, range(4), 2))
    assert multiprocessing.active_children() == []


class Counted:
    """Something that notes how often it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__ |= state
        (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()


def use(counted: Counted, job: int) -> int:
    return job


def test_what_jobs_share_travels_once_to_each_worker(tmp_path: Path) -> None:
    assert sorted(run_jobs(functools.partial(use, Counted(tmp_path)), range(20), 2)) == list(range(20))
    assert len(list(tmp_path.iterdir())) <= 2


def test_a_killed_worker_is_noticed() -> None:
    with pytest.raises(ProcessLostError, match=r"a worker process died.*with fewer processes"):
        list(run_jobs(die_at_two, range(4), 2))


def test_a_script_without_a_guard_ends_with_what_is_to_be_done(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    more_than_a_pipe_holds = "functools.partial(operator.add, bytes(10**6))"
    script.write_text(
        "import functools, operator\n"
        "from fewshot_film.run.workers import run_jobs\n"
        f"list(run_jobs({more_than_a_pipe_holds}, [b'', b''], 2))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "the worker processes ended before they began" in done.stderr
    assert "put what the script does under `if __name__ == '__main__':`" in done.stderr


def test_what_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"cannot be pickled \(.*lambda.*functions and classes of a module"):
        list(run_jobs(lambda job: job, range(2), 2))
    assert multiprocessing.active_children() == []


def test_tensors_need_no_shared_memory() -> None:
    import torch

    tensor = torch.arange(4)
    results = [*run_jobs(functools.partial(element, tensor), range(4), 2)]
    assert sorted(map(int, results)) == [0, 1, 2, 3]
    assert not any(one.is_shared() for one in (tensor, *results))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import functools, pathlib, tests.run.test_workers as t\n"
        f"job = functools.partial(t.sleep_and_tell, pathlib.Path({str(tmp_path)!r}))\n"
        "if __name__ == '__main__':\n"
        "    list(t.run_jobs(job, range(2), 2))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    _wait(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    parent.wait()
    _wait(lambda: not any(_is_alive(int(path.name)) for path in tmp_path.iterdir()))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or ") Z" not in state.read_text(encoding="utf-8")


def _wait(condition: object) -> None:
    for _ in range(600):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.1)
    pytest.fail("did not happen within a minute")
