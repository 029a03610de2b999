"""Weights that others trained: from a file, or from torchvision by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import safetensors.torch
import torch
from torch import Tensor

from fewshot_film.run.errors import UserError


def read_state_dict(path: Path, refusal: type[UserError]) -> dict[str, Tensor]:
    """A state dict from a ``.safetensors`` file, or from one of ``torch.save`` that holds tensors alone.

    Args:
        path: the file.
        refusal: kind of the error.

    Raises:
        UserError: of the kind ``refusal``: it cannot be read as weights; nothing in it was run.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return cast(dict[str, Tensor], torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise refusal(
            f"{path} cannot be read as weights ({type(error).__name__}); expected a .safetensors file, or a state "
            "dict of tensors alone saved by torch.save"
        ) from error


def fetch_state_dict(entry: Any, network: str, setting: str, refusal: type[UserError]) -> dict[str, Tensor]:
    """Weights of torchvision, which keeps them in its cache after the first time.

    Args:
        entry: one of torchvision's enumerations of weights.
        network: whose they are, for the message.
        setting: where a path may be given instead, for the message.
        refusal: kind of the error.

    Raises:
        UserError: of the kind ``refusal``: they could not be fetched; says what to fetch and where to put it.
    """
    try:
        return cast(dict[str, Tensor], entry.get_state_dict(progress=False))
    except (URLError, OSError) as error:
        raise refusal(
            f"torchvision could not fetch {entry.name} for {network} ({error}). Without a network: "
            f"download {entry.url} elsewhere and give its path as {setting}, or put the file into "
            f"{torch.hub.get_dir()}/checkpoints"
        ) from error
