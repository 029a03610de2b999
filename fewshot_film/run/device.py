"""The device to compute on, by the name that a user gives it, and batches moved there."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import torch

from fewshot_film.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device that a setting ``device`` means; a training takes that of :class:`fewshot_film.run.runtime.Runtime`.

    Args:
        name: ``cpu``, ``cuda``, ``mps``, or ``auto``: an accelerator where there is one. Of several GPUs every process
            that ``torchrun`` started takes its own, and any other the first.

    Raises:
        ConfigError: the device is not there.
    """
    check_device(name)
    if name == "auto":
        name = next(filter(_is_there, ("mps", "cuda")), "cpu")
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
