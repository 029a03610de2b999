"""Devices, and moving batches to them."""

from __future__ import annotations

import pytest
import torch

from fewshot_film.errors import ProcessLostError
from fewshot_film.run.runtime import Runtime


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
