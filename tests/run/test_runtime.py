"""Devices by name, and moving batches to them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import ConfigError, ProcessLostError
from fewshot_film.run.runtime import Runtime, choose_device, to_device

Pair = namedtuple("Pair", ["left", "right"])


@dataclass(frozen=True)
class Batch:
    pictures: torch.Tensor
    names: list[str]
    pair: Pair


class Mover:
    moved_to = None

    def to(self, device):
        self.moved_to = device
        return self


def test_to_device_goes_into_everything():
    batch = Batch(torch.ones(2), ["a", "b"], Pair(torch.zeros(1), (torch.ones(1), 3)))
    moved = to_device({"batch": batch, "rest": [torch.ones(1), None]}, torch.device("meta"))
    assert moved["batch"].pictures.device.type == "meta"
    assert moved["batch"].names == ["a", "b"]
    assert moved["batch"].pair.left.device.type == "meta"
    assert moved["batch"].pair.right[0].device.type == "meta"
    assert moved["batch"].pair.right[1] == 3
    assert moved["rest"][0].device.type == "meta"
    assert moved["rest"][1] is None
    assert batch.pictures.device.type == "cpu"


def test_what_can_move_moves_itself():
    mover = Mover()
    assert to_device([mover], torch.device("cpu")) == [mover]
    assert mover.moved_to == torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_device_is_the_one_that_a_training_takes(name):
    assert choose_device(name) == Runtime(name, "32-true").device


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps", "gpu"):
        with pytest.raises(ConfigError, match=f"^device is '{name}'; this machine has auto, cpu$"):
            choose_device(name)


def test_auto_takes_an_accelerator_and_every_process_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a run")
    assert choose_device("auto") == torch.device("cuda", 3)


def test_what_computes_in_double_precision_takes_no_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps", 0)
    assert choose_device("auto", in_double=True) == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"^device is 'mps', which has no double precision; expected auto or cpu$"):
        choose_device("mps", in_double=True)
    with pytest.raises(ConfigError, match=r"^device is 'mps', which has no double precision"):
        FewShotClassifier("general-small", device="mps").fit(torch.zeros(2, 3, 32, 32), [0, 1])


def test_who_does_not_train_imports_neither_lightning_nor_tensorboard():
    modules = (
        "fewshot_film.classifier",
        "fewshot_film.commands.evaluate",
        "clevr.commands.ask",
        "clevr.commands.analyse",
    )
    code = f"import sys, {', '.join(modules)}; print({{name.partition('.')[0] for name in sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"lightning_fabric", "tensorboard"} & ast.literal_eval(shown)


def test_alone():
    runtime = Runtime("cpu", "32-true")
    assert (runtime.rank, runtime.world_size, runtime.device) == (0, 1, torch.device("cpu"))
    assert runtime.map(lambda index: index**2, 4) == [0, 1, 4, 9]
    assert runtime.map(lambda index: index, 0) == []
    assert runtime.from_first("x") == "x"
    runtime.wait()


def test_a_cluster_is_not_guessed(monkeypatch):
    """As in a SLURM job that starts one plain process."""
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Runtime("cpu", "32-true").world_size == 1


def test_seeding_touches_the_global_generator_of_torch():
    runtime = Runtime("cpu", "32-true")
    with torch.random.fork_rng([]):
        runtime.seed(5)
        first = torch.rand(3)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3), first)


def test_lost_connections_are_told_apart(monkeypatch):
    runtime = Runtime("cpu", "32-true")
    with pytest.raises(RuntimeError, match="Connection closed by peer"), runtime.watched():
        raise RuntimeError("Connection closed by peer")
    monkeypatch.setattr(runtime, "world_size", 2)
    with pytest.raises(ProcessLostError, match="another process of this run ended"), runtime.watched():
        raise RuntimeError("gloo: Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes differ"), runtime.watched():
        raise RuntimeError("shapes differ")
