"""Shards made by processes, by the tasks of a SLURM array and by Ray, and what trains on them."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from clevr.cli import COMMANDS
from clevr.commands import generate
from clevr.commands.train import run as train
from clevr.config.commands import GenerateConfig
from clevr.config.model import ClevrDataConfig, TrainConfig
from clevr.data.writer import Chunk
from clevr.reasoning import load
from fewshot_film.errors import ConfigError, ProcessLostError
from fewshot_film.extras import MissingExtraError
from fewshot_film.run.command import main
from fewshot_film.run.ray_jobs import connect, run_ray_jobs
from fewshot_film.run.settings import LoopConfig
from tests.clevr.data.test_shards import a_config, content
from tests.clevr.models import SMALL
from tests.conftest import CHECKOUT
from tests.extras import needs_ray

pytest.importorskip("webdataset")


def make_but_die_first(folder: Path, job: Any, chunk: Chunk) -> Chunk:
    """The job of a worker that is killed at its first try of every second chunk, with half a shard on the disk."""
    mark = folder / f"{chunk.start}"
    if chunk.start % 4 == 0 and not mark.exists():
        mark.touch()
        (folder / "half.tar").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    made: Chunk = job(chunk)
    return made


def always_die(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def refuse(job: int) -> int:
    raise ConfigError(f"{job} is refused")


@needs_ray
@pytest.mark.slow
def test_ray_makes_the_same_although_workers_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate.run(a_config(tmp_path / "processes"))
    marks = tmp_path / "marks"
    marks.mkdir()

    def killing(job: Any, chunks: list[Chunk], workers: int) -> Any:
        return run_ray_jobs(functools.partial(make_but_die_first, marks, job), chunks, workers)

    monkeypatch.setattr(generate, "run_ray_jobs", killing)
    generate.run(a_config(tmp_path / "ray", engine="ray", workers=2))
    assert sorted(mark.name for mark in marks.iterdir()) == ["0", "4", "half.tar"]
    assert content(tmp_path / "ray") == content(tmp_path / "processes")


@needs_ray
@pytest.mark.slow
def test_what_ray_cannot_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr("fewshot_film.run.ray_jobs.RETRIES", 1)
    connect(ray, 2)
    try:
        with pytest.raises(ConfigError, match=r"^1 is refused$"):
            list(run_ray_jobs(refuse, [1], 2))
        with pytest.raises(ProcessLostError, match="a Ray worker was killed 2 times at the same job"):
            list(run_ray_jobs(always_die, [1], 2))
        assert ray.is_initialized(), "a cluster of somebody else's is left alone"
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("changes", "module", "command"),
    [({}, "webdataset", r"fewshot-film\[bulk\]"), ({"shards": False, "engine": "ray"}, "ray", r"fewshot-film\[ray\]")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], module: str, command: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"needs the extra .*pip install '{command}'"):
        generate.run(a_config(tmp_path, **changes))


def test_a_part_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"part is 2; expected less than parts \(2\): they are counted from 0"):
        a_config(tmp_path, part=2, parts=2)


def _scripts() -> list[str]:
    """Scripts for SLURM arrays in the docs."""
    page = (CHECKOUT / "docs/tutorials/beyond-one-machine.md").read_text(encoding="utf-8")
    return [script for script in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if "#SBATCH --array" in script]


def test_the_documented_slurm_array_makes_the_same_set(tmp_path: Path) -> None:
    """Every task of the array is run by bash, in the environment that SLURM gives it, with a program that notes down
    its words; these are then run, on fewer scenes."""
    script = next(script for script in _scripts() if "clevr-film" in script)
    program = tmp_path / "bin/clevr-film"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\n', encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    tasks = int(re.search(r"--array=0-(\d+)", script)[1]) + 1  # type: ignore[index]
    fewer = {"scenes": 5, "chunk": 2, "width": 24, "height": 16, "questions_per_scene": 3}
    words = [f"--{name}={value}" for name, value in (fewer | {"split": "val", "workers": 1}).items()]
    for task in range(tasks):
        environment = {
            "PATH": f"{program.parent}:/usr/bin:/bin",
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": str(tasks),
            "SLURM_CPUS_PER_TASK": "2",
        }
        done = subprocess.run(
            ["bash", "-eu"], input=script, env=environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        asked = (tmp_path / "words").read_text(encoding="utf-8").splitlines()
        assert "--shards" in asked
        assert main("clevr-film", COMMANDS, [*asked, *words, f"--out={tmp_path / 'array'}"]) == 0
    generate.run(a_config(tmp_path / "one"))
    assert content(tmp_path / "array") == content(tmp_path / "one")


def test_training_streams_shards_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    weights = []
    for shards in (False, True):
        root = tmp_path / f"world-{shards}"
        for split in ("train", "val"):
            generate.run(a_config(root, shards=shards, split=split, width=32, height=24))
        loop = LoopConfig(steps=4, learning_rate=3e-3, validate_every=2, log_every=2)
        data = ClevrDataConfig(root=root, images=3, questions=2)
        train(TrainConfig(out=tmp_path / f"run-{shards}", data=data, model=SMALL, loop=loop, scene_weight=0.5))
        weights.append(load(tmp_path / f"run-{shards}/model").state_dict())
        assert bool(list((root / "cache").glob("*.npy"))) != shards, "shards are streamed, not decoded beforehand"
    assert all(torch.equal(one, other) for one, other in zip(*(each.values() for each in weights), strict=True))


def test_evaluation_streams_shards(tmp_path: Path) -> None:
    found = []
    for shards in (False, True):
        root, out = tmp_path / f"world-{shards}", tmp_path / f"{shards}.json"
        generate.run(a_config(root, shards=shards))
        assert main("clevr-film", COMMANDS, ["evaluate", "clevr-small", str(root), f"--out={out}"]) == 0
        found.append(json.loads(out.read_text(encoding="utf-8"))["results"])
    assert found[0] == found[1]


def test_settings_that_the_bytes_depend_on(tmp_path: Path) -> None:
    assert "chunk" not in GenerateConfig(out=tmp_path).content
    assert a_config(tmp_path).content["chunk"] == 2
