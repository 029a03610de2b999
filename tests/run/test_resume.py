"""A run that is killed, stopped or cut off in any way ends with the weights of an undisturbed one."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from tests.run.processes import start_toy

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
    """Run to the end with that many SIGKILLs on the way; the hash at the end."""
    draw = random.Random(str(run_dir))
    for _ in range(kills):
        process = start_toy(run_dir, *flags, "--resume")
        process.wait_for_output("starting at" if not (run_dir / "last.ckpt").exists() else "going on")
        process.process.join(draw.uniform(0, 0.25))
        process.send(signal.SIGKILL)
        assert process.wait() in (-signal.SIGKILL, 0), process.output()
    return start_toy(run_dir, *flags, "--resume").hash()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_at_random_moments(num_workers, undisturbed, tmp_path):
    flags = (*FLAGS, f"--loop.num_workers={num_workers}", "--batch_seconds=0.002")
    assert kill_at_random(tmp_path / "run", 3, *flags) == undisturbed[0]
    assert curve(tmp_path / "run") == undisturbed[1]
    assert not list((tmp_path / "run").glob(".*.tmp.*")), "a temporary file is left"
