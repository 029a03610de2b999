"""Two processes compute what one does with twice the micro-batches a step."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fewshot_film.run.checkpoint import load_checkpoint
from tests.conftest import CHECKOUT
from tests.run.processes import start_toy, start_two_toys

FLAGS = ("--loop.steps=40", "--loop.log_every=10", "--loop.validate_every=20", "--loop.checkpoint_seconds=0")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of one process that accumulates two micro-batches."""
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    process = start_toy(run_dir, *FLAGS, "--loop.accumulate=2")
    assert process.wait() == 0, process.output()
    return run_dir


def assert_same_weights(first: Path, second: Path) -> None:
    """Equal but for rounding, and for the running statistics, which see one process's half of the data."""
    weights = [load_checkpoint(path / "last.ckpt").module for path in (first, second)]
    for name, value in weights[0].items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(weights[1][name], value, rtol=1e-6, atol=1e-6)


def test_two_processes_train_like_one(alone, tmp_path):
    first, second = start_two_toys(tmp_path / "run", *FLAGS)
    assert (first.wait(), second.wait()) == (0, 0), first.output() + second.output()
    assert "step 10 of 40" in first.output()
    assert "hash" not in second.output()
    assert "step 10 of 40" not in second.output(), "only the first process talks"
    assert_same_weights(alone, tmp_path / "run")
    assert (alone / "metrics.jsonl").read_text().count("\n") == (tmp_path / "run/metrics.jsonl").read_text().count("\n")


@pytest.mark.slow
def test_torchrun(alone, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "tests.run.toy", "train", f"--run_dir={tmp_path / 'run'}", *FLAGS]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("hash", done.stdout)) == 1
    assert "scores [0, 1, 4, 9, 16]" in done.stdout
    assert "distributed_backend" not in done.stderr
    assert done.stderr.count("train, step 10 of 40") == 1, "only the first process talks"
    assert_same_weights(alone, tmp_path / "run")
    assert (alone / "metrics.jsonl").read_text().count("\n") == (tmp_path / "run/metrics.jsonl").read_text().count("\n")


def test_one_of_two_is_killed_and_the_run_goes_on(alone, tmp_path):
    first, second = start_two_toys(tmp_path / "run", *FLAGS, "--batch_seconds=0.02")
    first.wait_for_output("step 10 of 40")
    second.send(signal.SIGKILL)
    second.wait()
    assert first.wait() == 2, first.output()
    assert "toy train: another process of this run ended, so this one cannot go on" in first.output()
    assert "start the same command again with --resume" in first.output()
    assert "Traceback" not in first.output()
    resumed = start_two_toys(tmp_path / "run", *FLAGS, "--resume")
    assert [process.wait() for process in resumed] == [0, 0], resumed[0].output()
    assert "resuming from" in resumed[0].output()
    assert_same_weights(alone, tmp_path / "run")


def test_started_by_two_and_ended_by_one(alone, tmp_path):
    """A signal to one stops both after the same step; the micro-batches a step stay two."""
    processes = start_two_toys(tmp_path / "run", *FLAGS, "--batch_seconds=0.02")
    processes[0].wait_for_output("step 10 of 40")
    processes[1].send(signal.SIGTERM)
    assert [process.wait() for process in processes] == [143, 143], processes[0].output()
    resumed = start_toy(tmp_path / "run", *FLAGS, "--resume", "--loop.accumulate=2")
    assert resumed.wait() == 0, resumed.output()
    assert_same_weights(alone, tmp_path / "run")
