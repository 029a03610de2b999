"""Devices by name, and moving batches to them."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from fewshot_film.errors import ConfigError
from fewshot_film.run.device import choose_device, to_device
from fewshot_film.run.runtime import Runtime

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


def test_who_does_not_train_imports_no_lightning():
    modules = (
        "fewshot_film.classifier",
        "fewshot_film.commands.evaluate",
        "clevr.commands.ask",
        "clevr.commands.analyse",
    )
    code = (
        f"import sys, {', '.join(modules)}; assert not [name for name in sys.modules if name.startswith('lightning')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
