"""Checkpoints: one file with everything that a run needs to continue, in which damage is detected.

The file is what ``torch.save`` writes, a zip archive, with the SHA-256 of all that stands before it as the
archive's comment. It holds tensors and plain values only and is read with ``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.errors import CheckpointError, listed
from fewshot_film.run.files import write_atomically
from fewshot_film.run.old_keys import current_weights
from fewshot_film.run.progress import Progress

FORMAT = "fewshot-film checkpoint"
VERSION = 1
_SEAL = b"fewshot-film sha256 "
_SEAL_SIZE = len(_SEAL) + 64
# Settings that change where and how fast a run goes, or for how long, but not the weights after a step.
# (steps and cooldown_steps are free only where the learning rate has not depended on them: see differences.)
MAY_DIFFER = frozenset(
    [
        "run_dir",
        "resume",
        "device",
        "num_workers",
        "log_every",
        "validate_every",
        "checkpoint_seconds",
        "patience",
        "accumulate",
    ]
)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    config: dict[str, Any]
    """Plain settings of the run."""
    progress: Progress
    """How far it has come."""
    module: dict[str, Tensor]
    """State dict of the trained module."""
    optimizer: dict[str, Any] | None
    """State dict of its optimizer; None in ``best.ckpt``, which is not for going on."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; whatever happens meanwhile, ``path`` is the old file or the new one.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written to.
    """
    content = {"format": FORMAT, "version": VERSION} | {
        item.name: getattr(checkpoint, item.name) for item in dataclasses.fields(checkpoint)
    }
    content["progress"] = dataclasses.asdict(checkpoint.progress)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            torch.save(content, file)
        _seal(temporary)

    try:
        write_atomically(path, write)
    except (OSError, RuntimeError) as error:
        refusal = error.__context__ if isinstance(error, RuntimeError) else error  # torch hides the system's
        if not isinstance(refusal, OSError):
            raise
        raise CheckpointError(
            f"{path} could not be written: {refusal.strerror}; the previous file is unchanged. "
            f"Fix the cause, then start the same command again with --resume"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, of another version, not one of ours, or holds
            anything but tensors and plain values (nothing of it is run).
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}; expected a file that a training run wrote")
    _check_seal(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain values, so it was not loaded and nothing in it was "
            f"run; use a checkpoint that this project wrote"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a training checkpoint; expected one that this project wrote")
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {content.get('version')}, this version reads {VERSION}; "
            f"use the version that wrote it, or train again"
        )
    progress = Progress(**content["progress"])
    return Checkpoint(content["config"], progress, content["module"], content["optimizer"])


def load_weights(module: nn.Module, path: Path) -> Progress:
    """Put the weights of a checkpoint into a module; returns how far its run had come.

    Raises:
        CheckpointError: see :func:`load_checkpoint`; or the weights are of another network.
    """
    checkpoint = load_checkpoint(path)
    put_weights(module, checkpoint.module, path)
    return checkpoint.progress


def put_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict that came from ``path``, or say how the networks differ.

    Raises:
        CheckpointError: other names or shapes.
    """
    weights = current_weights(module, weights)
    problems = differing_weights(module.state_dict(), weights)
    if problems:
        raise CheckpointError(f"{path} is of another network: {'; '.join(problems)}; build the same one first")
    module.load_state_dict(weights)


def differing_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What keeps one state dict from being loaded as the other, at most five of each kind named."""
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    shapes = [
        f"{key} is {tuple(found[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    problems = [f"without {listed(missing)}"] if missing else []
    problems += [f"with unknown {listed(extra)}"] if extra else []
    return problems + ([listed(shapes)] if shapes else [])


def differences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    may_differ: Collection[str] = (),
    *,
    step: int = 0,
    defaults: Mapping[str, Any] | None = None,
) -> list[str]:
    """Settings in which a run's checkpoint and the command to resume it disagree, as ``key: old -> new``.

    Args:
        old: plain settings in the checkpoint.
        new: plain settings now.
        may_differ: dotted keys beside :data:`MAY_DIFFER` that do not count.
        step: how far the checkpoint has come.
        defaults: what settings are that an earlier version, which wrote the checkpoint, did not have.
    """
    before, after = _flat(_completed(old, defaults or {})), _flat(new)
    is_free = all(_is_at_peak(settings, step) for settings in (before, after))
    free = MAY_DIFFER | ({"steps", "cooldown_steps"} if is_free else set())
    return [
        f"{key}: {before.get(key, 'not set')!r} -> {after.get(key, 'not set')!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
        and key.rpartition(".")[2] not in free
        and key not in may_differ
    ]


def _is_at_peak(settings: Mapping[str, Any], step: int) -> bool:
    """Whether the learning rates of the first ``step`` steps do not depend on when the run ends."""
    end: int = settings.get("loop.steps", 0) - settings.get("loop.cooldown_steps", 0)
    return settings.get("loop.schedule") == "constant" and step <= end


_ABSENT = object()


def _completed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the defaults of those that are missing; a setting may have parts, or be null in the defaults."""
    found = {**defaults, **settings}
    for key, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(found[key], Mapping):
            found[key] = _completed(found[key], default)
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _seal(path: Path) -> None:
    """Append the file's hash as the comment of the zip archive, whose last two bytes are its length."""
    with path.open("r+b") as file:
        file.seek(-2, 2)
        file.write(struct.pack("<H", _SEAL_SIZE))
    seal = _SEAL + _sha256(path, path.stat().st_size).encode()
    with path.open("ab") as file:
        file.write(seal)


def _check_seal(path: Path) -> None:
    size = path.stat().st_size - _SEAL_SIZE
    seal = b""
    if size > 0:
        with path.open("rb") as file:
            file.seek(size)
            seal = file.read()
    if not seal.startswith(_SEAL):
        raise CheckpointError(f"{path} was cut short, or is not a checkpoint: its end is missing")
    if seal != _SEAL + _sha256(path, size).encode():
        raise CheckpointError(
            f"{path} is damaged: its checksum does not match; restore a copy, or train again in another folder"
        )


def _sha256(path: Path, size: int) -> str:
    """Hash of the first ``size`` bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0:
            block = file.read(min(size, 1 << 20))
            if not block:
                break
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
