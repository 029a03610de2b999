"""Where a network computes: the device, the precision, and the other processes of a distributed run.

:class:`Runtime` is a thin layer over Lightning Fabric, and the only code that knows of it. Two of Fabric's habits are
kept away: it guesses a cluster from the environment (here only ``torchrun``'s own variables count), and it walks
through and copies every batch, which a frozen dataclass such as an episode refuses.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fewshot_film.errors import ConfigError, ProcessLostError


def choose_device(name: str, *, in_double: bool = False) -> torch.device:
    """The device that a setting ``device`` means; a training takes that of :class:`fewshot_film.run.runtime.Runtime`.

    Args:
        name: ``cpu``, ``cuda``, ``mps``, or ``auto``: an accelerator where there is one. Of several GPUs every process
            that ``torchrun`` started takes its own, and any other the first.
        in_double: computes in double precision too, which ``mps`` has not.

    Raises:
        ConfigError: the device is not there, or has no double precision.
    """
    check_device(name)
    if name == "mps" and in_double:
        raise ConfigError("device is 'mps', which has no double precision; expected auto or cpu")
    if name == "auto":
        name = next(filter(_is_there, ("cuda",) if in_double else ("mps", "cuda")), "cpu")
    own = int(os.environ["LOCAL_RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ and name == "cuda" else 0
    return torch.device("cpu") if name == "cpu" else torch.device(name, own)


def check_device(name: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        ConfigError: names those that it has.
    """
    known = ("auto", "cpu", "cuda", "mps")
    if name not in known or not _is_there(name):
        raise ConfigError(f"device is {name!r}; this machine has {', '.join(filter(_is_there, known))}")


def _is_there(name: str) -> bool:
    if name == "cuda":
        return torch.cuda.is_available()
    return name != "mps" or torch.backends.mps.is_available()


def to_device(batch: Any, device: torch.device) -> Any:
    """Copy of a batch with its tensors on ``device``.

    Goes through dicts, lists, tuples and dataclasses; whatever has a method ``to`` moves itself; anything
    else stays as it is.
    """
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        fields = [field.name for field in dataclasses.fields(batch) if field.init]
        return dataclasses.replace(batch, **{name: to_device(getattr(batch, name), device) for name in fields})
    return batch


T = TypeVar("T")

_LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL")


class Runtime:
    """This process, its device, and the other processes of its run.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: Fabric's name of it.
    Raises:
        ConfigError: the device is not there.
    """

    def __init__(self, device: str, precision: str) -> None:
        # here, so that what imports the loop and does not train starts a second sooner
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        check_device(device)
        distributed = "TORCHELASTIC_RUN_ID" in os.environ
        local = int(os.environ["LOCAL_WORLD_SIZE"]) if distributed else 1
        world = int(os.environ["WORLD_SIZE"]) if distributed else 1
        self._fabric = Fabric(
            accelerator=device,
            devices=local,
            num_nodes=world // local,
            strategy="ddp" if distributed else "auto",
            precision=precision,  # type: ignore[arg-type]
            plugins=[TorchElasticEnvironment() if distributed else LightningEnvironment()],
        )
        self._fabric.launch()
        self.rank = self._fabric.global_rank
        self.world_size = self._fabric.world_size
        self.device = self._fabric.device

    def set_up(self, module: nn.Module) -> nn.Module:
        """Move a module to the device; returns what to call in training, as ``wrapped(OpaqueBatch(batch))``."""
        wrapped: nn.Module = self._fabric.setup_module(_Unpacking(module))
        return wrapped

    def seed(self, seed: int) -> None:
        """Seed the global generators that a module on this device draws from, and no others.

        ``torch.manual_seed`` would do too, but costs a third of a millisecond where CUDA is not in use.
        """
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss``; the mean over all processes where the gradients are synchronised."""
        self._fabric.backward(loss)

    def without_sync(self, wrapped: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        """Within it, gradients stay in this process: all micro-batches of a step but the last."""
        return self._fabric.no_backward_sync(wrapped, enabled=enabled)  # type: ignore[arg-type]

    def autocast(self) -> AbstractContextManager[None]:
        """The precision of the training, for a validation."""
        return self._fabric.autocast()

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        if self.world_size == 1:
            return values
        mean: Tensor = self._fabric.all_reduce(values, reduce_op="mean")  # type: ignore[assignment]
        return mean

    def from_first(self, value: Any) -> Any:
        """What the first process has for ``value``."""
        return self._fabric.broadcast(value) if self.world_size > 1 else value

    def map(self, function: Callable[[int], T], count: int) -> list[T]:
        """``[function(0), ..., function(count - 1)]``, shared out over the processes.

        Every process gets the whole list, and each entry is what one process alone would have computed
        if ``function`` is a pure function of its index. What it returns must be picklable.
        """
        mine = [function(index) for index in range(self.rank, count, self.world_size)]
        if self.world_size == 1:
            return mine
        shares: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(shares, mine)
        return [shares[index % self.world_size][index // self.world_size] for index in range(count)]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, a broken connection to another process is re-raised as the loss of that process.

        Raises:
            ProcessLostError: another process of the run is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world_size == 1 or not any(word in str(error) for word in _LOST_CONNECTION):
                raise
            raise ProcessLostError(
                "another process of this run ended, so this one cannot go on; see what it said, then start "
                "the same command again with --resume"
            ) from error

    def wait(self) -> None:
        """Wait until every process has come here."""
        self._fabric.barrier()


class OpaqueBatch:
    """A batch on its way through wrappers that would otherwise look into it."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch


class _Unpacking(nn.Module):
    """Gives the batch inside an :class:`OpaqueBatch` to the module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, opaque: OpaqueBatch) -> Any:
        return self.module(opaque.batch)
