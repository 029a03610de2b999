"""A run that is killed, stopped or cut off in any way ends with the weights of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import pytest
from torch import Tensor, nn

from fewshot_film.errors import Interrupted
from fewshot_film.run.loop import train
from fewshot_film.run.settings import LoopConfig
from tests.run.processes import start_toy
from tests.run.toy import ToyBatches, make_toy, validate_toy, weights_hash

FLAGS = (
    "--loop.steps=80",
    "--loop.accumulate=2",
    "--loop.log_every=7",
    "--loop.validate_every=20",
    "--loop.checkpoint_seconds=0",
)


def curve(run_dir: Path) -> list[dict[str, object]]:
    """The lines of the metrics, but for the time."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, object]]]:
    run_dir = tmp_path_factory.mktemp("undisturbed") / "run"
    return start_toy(run_dir, *FLAGS).hash(), curve(run_dir)


def kill_at_random(run_dir: Path, kills: int, *flags: str) -> str:
    """Run to the end with that many SIGKILLs on the way, start-up included; the hash at the end."""
    draw = random.Random(str(run_dir))
    for _ in range(kills):
        process = start_toy(run_dir, *flags, "--resume")
        if draw.random() < 0.8:
            process.wait_for_output("resuming" if (run_dir / "last.ckpt").exists() else "starting at")
        process.process.join(draw.uniform(0, 0.25))
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it was not killed: {process.output()}"
    return start_toy(run_dir, *flags, "--resume").hash()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_at_random_moments(num_workers, undisturbed, tmp_path):
    flags = (*FLAGS, f"--loop.num_workers={num_workers}", "--batch_seconds=0.01")
    assert kill_at_random(tmp_path / "run", 3, *flags) == undisturbed[0]
    assert curve(tmp_path / "run") == undisturbed[1]
    assert not list((tmp_path / "run").glob(".*.tmp")), "a temporary file is left"


@pytest.mark.slow
def test_killed_fifty_times(undisturbed, tmp_path):
    flags = (*FLAGS, "--loop.num_workers=1", "--batch_seconds=0.05")
    assert kill_at_random(tmp_path / "run", 50, *flags) == undisturbed[0]
    assert curve(tmp_path / "run") == undisturbed[1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_signal_writes_a_checkpoint_first(number, status, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    flags = (*FLAGS[:-1], "--loop.checkpoint_seconds=1e9", "--loop.num_workers=1", "--batch_seconds=0.01")
    process = start_toy(run_dir, *flags)
    process.wait_for_output("step 7 of 80")
    process.send(number)
    assert process.wait() == status, process.output()
    assert f"toy train: stopped by {number.name} after step" in process.output()
    assert f"saved in {run_dir / 'last.ckpt'}. Continue with the same command and --resume" in process.output()
    assert "Traceback" not in process.output()
    assert start_toy(run_dir, *flags, "--resume").hash() == undisturbed[0]
    assert curve(run_dir) == undisturbed[1]


def test_a_signal_to_the_whole_group_spares_the_workers(tmp_path):
    """As terminals, torchrun and SLURM send it: the workers must not die under the main process."""
    process = start_toy(tmp_path / "run", *FLAGS, "--loop.num_workers=2", "--batch_seconds=0.01")
    process.wait_for_output("step 7 of 80")
    for worker in children(process.pid):
        os.kill(worker, signal.SIGTERM)
    process.send(signal.SIGTERM)
    assert process.wait() == 143, process.output()


def test_a_killed_worker_ends_the_run_clearly(undisturbed, tmp_path):
    flags = (*FLAGS, "--loop.num_workers=2", "--batch_seconds=0.01")
    process = start_toy(tmp_path / "run", *flags)
    process.wait_for_output("step 7 of 80")
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert process.wait() == 2, process.output()
    assert "toy train: a data loading process died (" in process.output()
    assert "start the same command again with --resume" in process.output()
    assert start_toy(tmp_path / "run", *flags, "--resume").hash() == undisturbed[0]


def test_two_runs_in_one_folder(tmp_path):
    first = start_toy(tmp_path / "run", *FLAGS, "--batch_seconds=0.05")
    first.wait_for_output("step 7 of 80")
    second = start_toy(tmp_path / "run", *FLAGS, "--resume")
    assert second.wait() == 2
    assert f"{tmp_path / 'run'} is in use by process {first.pid} on" in second.output()
    assert "wait for it, or choose another run folder" in second.output()
    first.send(signal.SIGKILL)
    first.wait()
    assert start_toy(tmp_path / "run", *FLAGS, "--resume", "--batch_seconds=0").wait() == 0


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Interrupting(ToyBatches):
    """Ctrl-C comes while one micro-batch is made."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index == self.number:
            os.kill(os.getpid(), signal.SIGINT)
        return super().__getitem__(index)


def test_ctrl_c_within_a_step_does_not_wait_for_its_end(tmp_path, capfd):
    loop = LoopConfig(steps=3, accumulate=4, monitor="loss", mode="min")
    whole = make_toy()
    train(whole, ToyBatches(), loop, run_dir=tmp_path / "whole")
    with pytest.raises(Interrupted, match="stopped by SIGINT after step 1 of 3"):
        train(make_toy(), Interrupting(5), loop, run_dir=tmp_path / "cut")  # step 1 has the micro-batches 4 to 7
    assert "stopping: saving a checkpoint first" in capfd.readouterr().err
    resumed = make_toy(seed=1)
    train(resumed, ToyBatches(), loop, run_dir=tmp_path / "cut", resume=True)
    assert weights_hash(resumed) == weights_hash(whole)


def test_ctrl_c_within_a_validation_does_not_wait_for_its_end(tmp_path):
    loop = LoopConfig(steps=2, validate_every=1, monitor="loss", mode="min")

    def interrupted(module: nn.Module) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    whole, resumed = make_toy(), make_toy(seed=1)
    best = train(whole, ToyBatches(), loop, run_dir=tmp_path / "whole", validate=validate_toy).best
    with pytest.raises(Interrupted, match="stopped by SIGINT after step 1 of 2"):
        train(make_toy(), ToyBatches(), loop, run_dir=tmp_path / "cut", validate=interrupted)
    assert train(resumed, ToyBatches(), loop, run_dir=tmp_path / "cut", validate=validate_toy, resume=True).best == best
    assert weights_hash(resumed) == weights_hash(whole)
