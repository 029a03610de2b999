"""A saved model: a folder with ``config.json``, ``model.safetensors`` and a model card ``README.md``."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from fewshot_film.errors import SavedModelError, UserError
from fewshot_film.run.checkpoint import differing_weights
from fewshot_film.run.files import temporary_path, write_json_atomically, write_text_atomically
from fewshot_film.run.old_keys import current_weights
from fewshot_film.run.settings import plain

FORMAT = "fewshot-film model"
VERSION = 2
"""2 has a checksum of the settings too; 1 is read as well."""
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


@dataclass(frozen=True)
class SavedModel:
    """What a saved model's folder holds."""

    folder: Path
    """Where it is."""
    config: dict[str, Any]
    """Plain settings from which to build the network."""
    weights: dict[str, Tensor]
    """Its state dict, on the CPU."""

    def load_into(self, module: nn.Module) -> None:
        """Put the weights into a network, all of whose numbers are then float32, whatever it was built in.

        Raises:
            SavedModelError: the network has other names or shapes.
        """
        weights = current_weights(module, self.weights)
        problems = differing_weights(module.state_dict(), weights)
        if problems:
            raise SavedModelError(
                f"{self.folder / WEIGHTS} does not fit the network: {'; '.join(problems)}; "
                f"build the network from {CONFIG} beside it"
            )
        module.float().load_state_dict(weights)


def save_model(folder: Path, module_state: Mapping[str, Tensor], config: Any, card: str) -> None:
    """Save a model so that the folder is either the old one or the new one.

    Args:
        folder: made, or replaced if it holds a saved model.
        module_state: state dict; tensors that share memory are saved as copies.
        config: dataclass or mapping from which the network can be built again.
        card: text of the model card, Markdown.
    Raises:
        SavedModelError: ``folder`` holds other things than a saved model, which would be lost; or the
            disk is full.
    """
    found = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    strangers = sorted(found - {CONFIG, WEIGHTS, CARD})
    if strangers:
        raise SavedModelError(f"{folder} holds other files ({', '.join(strangers[:3])}); choose another folder")
    new, old = (temporary_path(folder, kind) for kind in ("new", "old"))
    new.mkdir(parents=True)
    try:
        copies = {name: value.detach().cpu().contiguous().clone() for name, value in module_state.items()}
        safetensors.torch.save_file(copies, new / WEIGHTS, metadata={"format": "pt"})
        digest = hashlib.sha256((new / WEIGHTS).read_bytes()).hexdigest()
        _write_config(new / CONFIG, digest, plain(config))
        write_text_atomically(new / CARD, card)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except safetensors.SafetensorError as error:
        raise SavedModelError(f"{folder} could not be written: {error}; free some space and save again") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def replace_config(folder: Path, config: Any) -> None:
    """Give a saved model other settings; its weights and its card stay as they are.

    Raises:
        SavedModelError: there is no saved model, or it is damaged.
    """
    _write_config(folder / CONFIG, read_config(folder)["weights_sha256"], plain(config))


def load_model(folder: Path) -> SavedModel:
    """Read a saved model.

    Raises:
        SavedModelError: a part is missing or damaged, or of a format that this version does not read.
    """
    content = read_config(folder)
    path = folder / WEIGHTS
    try:
        weights = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise SavedModelError(f"{path} is damaged ({error}); copy the folder again") from None
    if hashlib.sha256(path.read_bytes()).hexdigest() != content["weights_sha256"]:
        raise SavedModelError(f"{path} is not the file that {CONFIG} describes; copy the whole folder again")
    return SavedModel(folder, content["config"], weights)


def read_config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` of a saved model holds: under ``config`` its settings; the weights are not read.

    Raises:
        SavedModelError: as of :func:`load_model`.
    """
    if not folder.is_dir():
        raise SavedModelError(f"no saved model {folder}; expected a folder with {CONFIG} and {WEIGHTS}")
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        of_run = f", such as {folder / 'model'}" if (folder / "model" / CONFIG).is_file() else ""
        raise SavedModelError(f"{folder} lacks {' and '.join(missing)}; expected a whole saved model{of_run}")
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SavedModelError(f"{path} is damaged ({error}); copy the folder again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SavedModelError(f"{path} does not describe a saved model; expected one that this project wrote")
    if content.get("version") not in (1, VERSION):
        raise SavedModelError(
            f"{path} has model format {content.get('version')}, this version reads 1 and {VERSION}; "
            f"use the version of the project that wrote it"
        )
    needed = {"weights_sha256", "config"} | ({"config_sha256"} if content["version"] > 1 else set())
    if not needed <= content.keys() or not isinstance(content["config"], dict):
        raise SavedModelError(f"{path} is damaged (entries are missing); copy the folder again")
    if "config_sha256" in needed and content["config_sha256"] != _digest(content["config"]):
        raise SavedModelError(f"{path} is damaged: its settings are not those that were written; copy the folder again")
    return content


def _write_config(path: Path, weights_sha256: str, config: Any) -> None:
    digests = {"weights_sha256": weights_sha256, "config_sha256": _digest(config)}
    write_json_atomically(path, {"format": FORMAT, "version": VERSION, **digests, "config": config})


def _digest(config: Any) -> str:
    """SHA-256 of settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


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
            f"torchvision could not download {entry.name} for {network} ({error}). Without a network: "
            f"download {entry.url} elsewhere and give its path as {setting}, or put the file into "
            f"{torch.hub.get_dir()}/checkpoints"
        ) from error
