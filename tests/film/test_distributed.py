"""A model with FiLM, spread over two processes, has the gradients that it has alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from fewshot_film.film import LinearGenerator, inject_film
from tests.film.networks import TINY_SITES, images, seeded, tiny
from tests.processes import CONTEXT


class Model(nn.Module):
    """A network with FiLM and its generator."""

    def __init__(self) -> None:
        super().__init__()
        self.filmed = inject_film(tiny(), [TINY_SITES])
        self.generator = LinearGenerator(3, self.filmed.sites, init="zero").double()
        nn.init.normal_(self.generator.linear.weight, generator=seeded(0))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.filmed(x, self.generator(code))  # type: ignore[no-any-return]


def data_parallel() -> nn.Module:
    return DistributedDataParallel(Model())


def sharded() -> nn.Module:
    model = Model()
    for part in (model.filmed.network.layer1, model.generator, model):
        fully_shard(part)
    return model


def compare(rank: int, store: Path, build: object) -> None:
    """In one of two processes: half of a batch, and the gradients of the whole one."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")  # nothing writes into it
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    try:
        x, code = images(4), torch.randn(4, 3, dtype=torch.float64, generator=seeded(1))
        alone, spread, mine = Model(), build(), slice(2 * rank, 2 * rank + 2)
        expected = alone(x, code)
        expected.square().mean().backward()
        found = spread(x[mine], code[mine])
        found.square().mean().backward()
        torch.testing.assert_close(found, expected[mine])
        for one, other in zip(spread.parameters(), alone.parameters(), strict=True):
            gradient = one.grad.full_tensor() if isinstance(one.grad, DTensor) else one.grad
            torch.testing.assert_close(gradient, other.grad)
            assert gradient.abs().sum() > 0 or other.grad.abs().sum() == 0
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("build", [data_parallel, sharded])
def test_two_processes_equal_one(tmp_path: Path, build: object) -> None:
    processes = [CONTEXT.Process(target=compare, args=(rank, tmp_path / "store", build)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
