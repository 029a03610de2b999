"""Devices, and moving batches to them."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from fewshot_film.run.errors import ProcessLostError
from fewshot_film.run.machine import Machine, to_device

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


def test_alone():
    machine = Machine("cpu", "32-true")
    assert (machine.rank, machine.world_size, machine.device) == (0, 1, torch.device("cpu"))
    assert machine.map(lambda index: index**2, 4) == [0, 1, 4, 9]
    assert machine.map(lambda index: index, 0) == []
    assert machine.from_first("x") == "x"
    machine.wait()


def test_a_cluster_is_not_guessed(monkeypatch):
    """As in a SLURM job that starts one plain process."""
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Machine("cpu", "32-true").world_size == 1


def test_seeding_touches_the_global_generator_of_torch():
    machine = Machine("cpu", "32-true")
    with torch.random.fork_rng([]):
        machine.seed(5)
        first = torch.rand(3)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3), first)


def test_lost_connections_are_told_apart(monkeypatch):
    machine = Machine("cpu", "32-true")
    with pytest.raises(RuntimeError, match="Connection closed by peer"), machine.watched():
        raise RuntimeError("Connection closed by peer")
    monkeypatch.setattr(machine, "world_size", 2)
    with pytest.raises(ProcessLostError, match="another process of this run ended"), machine.watched():
        raise RuntimeError("gloo: Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes differ"), machine.watched():
        raise RuntimeError("shapes differ")
