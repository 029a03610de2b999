"""Training the reasoning model by its command, on a tiny world."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from clevr.cli import COMMANDS
from clevr.commands.train import run
from clevr.config.model import ClevrDataConfig, TrainConfig
from clevr.reasoning import load
from fewshot_film.errors import ConfigError
from fewshot_film.run.checkpoint import load_checkpoint
from fewshot_film.run.command import main
from fewshot_film.run.settings import LoopConfig
from tests.clevr.models import SMALL
from tests.clevr.worlds import make_world
from tests.conftest import CHECKOUT

LOOP = LoopConfig(steps=6, learning_rate=3e-3, validate_every=3, log_every=2)
FLAGS = [
    "--model.width=32", "--model.height=24", "--model.trunk_maps=[6]", "--model.maps=8", "--model.word_dim=6",
    "--model.hidden_dim=16", "--model.classifier_maps=12", "--model.classifier_dim=10", "--model.blocks=2",
    "--data.images=2", "--data.questions=2", "--scene_weight=0.5", "--trace_weight=1", "--augmentation.noise=2",
    "--unknown_words=0.1", "--loop.learning_rate=3e-3", "--loop.log_every=5", "--loop.checkpoint_seconds=0",
    "--loop.validate_every=25", "--loop.steps=60", "--loop.patience=null",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"), {"train": 6, "val": 2})


@pytest.fixture
def config(world: Path, tmp_path: Path) -> TrainConfig:
    data = ClevrDataConfig(root=world, images=3, questions=4)
    return TrainConfig(out=tmp_path / "run", data=data, model=SMALL, loop=LOOP)


def test_it_learns_a_few_questions_by_heart(config: TrainConfig) -> None:
    loop = dataclasses.replace(LOOP, steps=200, validate_every=300, log_every=25)
    run(dataclasses.replace(config, loop=loop))
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert train[-1]["answer_loss"] < train[0]["answer_loss"] / 4
    assert train[-1]["accuracy"] > 0.9


def test_what_a_run_leaves(config: TrainConfig) -> None:
    run(dataclasses.replace(config, scene_weight=0.5, trace_weight=0.5))
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    assert {"answer_loss", "scene_loss", "trace_loss", "accuracy"} <= set(lines[0])
    validation = next(line for line in lines if line["split"] == "validation")
    assert 0 <= validation["accuracy"] <= 1
    reasoner = load(config.out / "model")
    assert reasoner.config.maps == SMALL.maps
    assert not any("head" in name for name in reasoner.state_dict()), "the heads of the further losses are thrown away"


def test_a_run_is_exported(config: TrainConfig, tmp_path: Path) -> None:
    run(dataclasses.replace(config, scene_weight=0.5))
    finished = load(config.out / "model")
    words = ["export", str(config.out), f"--out={tmp_path / 'exported'}"]
    assert main("clevr-film", COMMANDS, words) == 0
    exported = load(tmp_path / "exported")
    for one, other in zip(finished.state_dict().values(), exported.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert main("clevr-film", COMMANDS, [*words, "--checkpoint=last", "--half", "--overwrite"]) == 0
    weights = sum(value.numel() for value in finished.parameters())
    assert (tmp_path / "exported/model.safetensors").stat().st_size < 3 * weights
    assert "6 of 6 steps" in (tmp_path / "exported/README.md").read_text()


def test_there_is_no_run_to_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("clevr-film", COMMANDS, ["export", str(tmp_path), f"--out={tmp_path / 'out'}"]) == 2
    assert "no checkpoint" in capsys.readouterr().err


def test_training_goes_on_from_a_saved_model(config: TrainConfig, tmp_path: Path) -> None:
    run(config)
    first = load(config.out / "model")
    again = dataclasses.replace(
        config,
        out=tmp_path / "second",
        weights=str(config.out / "model"),
        loop=dataclasses.replace(LOOP, steps=1, learning_rate=1e-12),
    )
    run(again)
    second = load(tmp_path / "second/model")
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    other_model = dataclasses.replace(again, model=dataclasses.replace(SMALL, maps=16), out=tmp_path / "third")
    with pytest.raises(ConfigError, match="was built with other settings of `model`"):
        run(other_model)


def test_a_mistyped_setting_and_a_missing_split(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("clevr-film", COMMANDS, ["train", f"--out={tmp_path}", "--model.map=3"]) == 2
    assert "did you mean 'model.maps'" in capsys.readouterr().err
    words = ["train", f"--out={tmp_path}", f"--data.root={world}", "--data.train_split=trainA"]
    assert main("clevr-film", COMMANDS, words) == 2
    assert "no split 'trainA'" in capsys.readouterr().err


def start(world: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "clevr", "train", f"--data.root={world}", f"--out={out}", *FLAGS, *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_killed_in_the_middle_of_a_pass_and_resumed(world: Path, tmp_path: Path) -> None:
    finish(start(world, tmp_path / "undisturbed"))
    killed = start(world, tmp_path / "killed")
    checkpoint = tmp_path / "killed/last.ckpt"
    while not checkpoint.exists() or load_checkpoint(checkpoint).progress.step < 20:
        assert killed.poll() is None, killed.communicate()[0]
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert load_checkpoint(checkpoint).progress.step < 60
    assert "resuming from" in finish(start(world, tmp_path / "killed", "--resume"))
    one, other = (load_checkpoint(tmp_path / name / "last.ckpt").module for name in ("undisturbed", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes(world: Path, tmp_path: Path) -> None:
    """They do what one does with two micro-batches a step, but for rounding."""
    alone = start(world, tmp_path / "alone", "--loop.accumulate=2", "--loop.steps=8")
    finish(alone)
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "clevr",
        "train",
    ]
    words = [f"--data.root={world}", f"--out={tmp_path / 'two'}", *FLAGS, "--loop.steps=8"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([*torchrun, *words], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, other = (load_checkpoint(tmp_path / name / "last.ckpt").module for name in ("alone", "two"))
    for name, value in one.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-4)
