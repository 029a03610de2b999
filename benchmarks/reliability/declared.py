"""Saved models from strangers: settings and tensors are changed, with right checksums, and loaded.

What comes out is either refused by a documented error, or it is what the folder says: classes, temperature, settings
and tensors are compared one by one, and answers are finite. An attempt may not take more than a few seconds of the
processor, nor much memory, whatever sizes are declared.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from benchmarks.reliability.fuzz import Count, limited
from clevr.config.model import ReasonerConfig
from clevr.reasoning.loading import KIND, load
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.errors import exit_status_of
from fewshot_film.learners import build_learner
from fewshot_film.run.model_folder import CONFIG, WEIGHTS, load_model, save_model
from fewshot_film.run.settings import plain

MORE_MEMORY = 2 * 2**30
"""Bytes that all attempts together may take beyond what the process had."""
_HOSTILE: tuple[Any, ...] = (
    0, -1, 1, 2, 10**6, 10**9, -(10**6), 10**30, 0.5, -0.5, 1e308, math.nan, math.inf, "", "x", "film", "\ud800",
    "/etc/passwd", "hf-hub:a/b", "pretrained", "IMAGENET1K_V1", None, True, False, [], [0], [-1], [10**6] * 4,
    [1] * 5000, ["a", "a"], [[1]], [math.nan], {}, {"a": 1}, "a" * 5000,
)  # fmt: skip

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """One kind of saved model."""

    title: str
    make: Callable[[Path], None]
    """Saves a small one."""
    check: Callable[[Path], None]
    """Loads it, and compares it with what its folder says."""


def fuzz_declared(share: float = 1.0, *, seed: int = 0, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Change each kind of saved model in each way; 100,000 times in all.

    Args:
        share: of the full numbers of changed folders.
        seed: of the changes.
        say: gets a line of progress.
    """
    found = {}
    with tempfile.TemporaryDirectory() as name, _little_memory():
        for kind in KINDS:
            base = Path(name) / kind.title
            kind.make(base)
            kind.check(base)
            for title, (change, number) in CHANGES.items():
                count = try_out(kind, base, change, max(5, round(share * number)), seed)
                found[f"{kind.title}: {title}"] = asdict(count)
                say(f"{kind.title}: {title}: {count.tried} changed, {count.read} equal, {len(count.faults)} faults")
    return found


def try_out(kind: Kind, base: Path, change: Change, number: int, seed: int = 0) -> Count:
    """Change a saved model so many times, and load what comes out.

    Args:
        kind: of the model.
        base: its folder; changed ones are made beside it.
        change: writes a changed folder.
        number: of attempts.
        seed: of the changes.
    """
    count, saved = Count(), load_model(base)
    target = base.with_name(f"{base.name}-changed")
    target.mkdir(exist_ok=True)
    for attempt in range(number):
        rng = random.Random(f"{seed} {attempt}")
        told = change(rng, base, target, saved.config, saved.weights)
        began = time.process_time()
        count.tried += 1
        try:
            with limited():
                kind.check(target)
            count.read += 1
        except Exception as error:  # whatever a reader should not raise
            if exit_status_of(error) is None:
                count.faults.append(f"{told}: {type(error).__name__}: {error}"[:400])
        count.slowest = max(count.slowest, time.process_time() - began)
    return count


@contextmanager
def _little_memory() -> Iterator[None]:
    """Let the process have little more memory than it has: to ask for more fails at once."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# ------------------------------------------------------------------------------------------------- changes

Change = Callable[[random.Random, Path, Path, dict[str, Any], Weights], str]
"""Writes a changed folder, given the original one, its settings and its tensors; says what was changed."""


def _change_settings(rng: random.Random, base: Path, target: Path, config: dict[str, Any], weights: Weights) -> str:
    """One to three settings have other values, are missing, or are new; checksums are right."""
    config = copy.deepcopy(config)
    told = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        where, key = rng.choice([*_places(config)])
        if rng.random() < 0.1 and isinstance(where, dict):
            where.pop(key)
            told.append(f"without {key}")
            continue
        old = where[key]
        values = [*_HOSTILE]
        if isinstance(old, int | float) and not isinstance(old, bool):
            values += [old * 1000, old + 1, -old] * 3
        if isinstance(old, list):
            values += [old + old, old[:-1], old[::-1], [*old, *_HOSTILE[:3]]] * 3
        where[key] = copy.deepcopy(rng.choice(values))  # what stands there may be changed in turn
        told.append(f"{key} = {str(where[key])[:60]}")
    _write(target, config, (base / WEIGHTS).read_bytes())
    return ", ".join(told)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of every container, however deep."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield value, key
        yield from _places(inner)


def _change_tensors(rng: random.Random, base: Path, target: Path, config: dict[str, Any], weights: Weights) -> str:
    """One tensor has another shape, type or value, is missing, or is new; checksums are right."""
    name = rng.choice([*weights])
    if rng.random() < 0.5:
        name = rng.choice([key for key in weights if not key.startswith("learner.")] or [name])
    value, changed = weights[name], dict(weights)
    how = rng.choice(
        ("drop", "rename", "add", "flat", "longer", "shorter", "empty", "scalar", "type", "value", "value")
    )
    if how in ("drop", "rename"):
        changed.pop(name)
    if how in ("rename", "add"):
        changed[rng.choice((f"{name}.x", "gamma.x", "support.weights", "int8.ranges", "learner.x", "x"))] = (
            value.clone()
        )
    made = {
        "flat": lambda: value.reshape(-1), "longer": lambda: torch.cat([value.reshape(-1)] * 2),
        "shorter": lambda: value[:-1] if value.ndim else value, "empty": lambda: value.reshape(-1)[:0],
        "scalar": lambda: torch.zeros((), dtype=value.dtype),
        "type": lambda: value.to(rng.choice((torch.float64, torch.int64, torch.bool, torch.float16, torch.uint8))),
        "value": lambda: torch.full_like(value, rng.choice((-1, 0, 7)) if not value.is_floating_point() else
                                         rng.choice((math.nan, math.inf, -1.0, 0.0, 1e30))),
    }  # fmt: skip
    if how in made:
        changed[name] = made[how]().contiguous()
    _write(target, config, safetensors.torch.save(changed))
    return f"{name}: {how}"


def _change_header(rng: random.Random, base: Path, target: Path, config: dict[str, Any], weights: Weights) -> str:
    """Bytes of the tensors' header are other ones; checksums are right."""
    data = bytearray((base / WEIGHTS).read_bytes())
    end = 8 + int.from_bytes(data[:8], "little")
    for _ in range(rng.choice((1, 1, 2, 5))):
        data[rng.randrange(end)] = rng.choice((rng.randrange(256), *b'0123456789[]{}",:-'))
    _write(target, config, bytes(data))
    return "bytes of the header"


def _change_bytes(rng: random.Random, base: Path, target: Path, config: dict[str, Any], weights: Weights) -> str:
    """Bytes of the settings' file are other ones, or it is cut; checksums are as they were."""
    data = bytearray((base / CONFIG).read_bytes())
    for _ in range(rng.choice((1, 1, 2, 5))):
        data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), *b'0123456789[]{}",:-'))
    cut = len(data) if rng.random() < 0.9 else rng.randrange(len(data))
    (target / CONFIG).write_bytes(data[:cut])
    (target / WEIGHTS).write_bytes((base / WEIGHTS).read_bytes())
    return "bytes of the settings"


CHANGES: dict[str, tuple[Change, int]] = {
    "settings": (_change_settings, 10_000),
    "tensors": (_change_tensors, 5_000),
    "header of the tensors": (_change_header, 10_000),
    "bytes of the settings": (_change_bytes, 25_000),
}
"""The ways to change a folder, and how often each is taken for one kind of model."""


def _write(target: Path, config: dict[str, Any], weights: bytes) -> None:
    """A folder with right checksums, as anyone can write it."""
    (target / WEIGHTS).write_bytes(weights)
    content = {
        "format": "fewshot-film model",
        "version": 2,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        "config": config,
    }
    (target / CONFIG).write_text(json.dumps(content), encoding="utf-8")


# ------------------------------------------------------------------------------------------------- kinds


def _save_classifier(folder: Path) -> None:
    torch.manual_seed(0)
    backbone = BackboneConfig(width=2, blocks=(1,), image_size=8, stem_stride=1, channels=1)
    learner = build_learner(SimpleCNAPSConfig(backbone=backbone, adaptation="film", code_dim=2, set_encoder_layers=2))
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)
    classifier = FewShotClassifier(learner.eval(), device="cpu").fit(images, ["a", "b", "c"] * 2)
    classifier.save_pretrained(folder)


def _check_classifier(folder: Path) -> None:
    classifier = FewShotClassifier.from_pretrained(folder, device="cpu")
    saved = load_model(folder)
    fitted = classifier._fitted
    config = saved.config
    assert fitted is not None, "nothing was learned"
    assert [*map(repr, fitted.classes)] == [*map(repr, config["classes"])], "other classes"
    assert fitted.temperature == float(config["temperature"]), "another temperature"
    assert classifier.resize == config["resize"], "another way to resize"
    declared, built = config["learner"]["learner"], plain(fitted.loaded.adapter.learner.config)
    assert _includes(built, declared), "other settings"
    for name, value in saved.weights.items():
        if name.startswith("learner."):
            found = fitted.loaded.adapter.learner.state_dict()[name.removeprefix("learner.")]
            assert torch.equal(found, value.to(found.dtype).nan_to_num()) or not value.isfinite().all(), name
    shown = classifier.predict_proba(fitted.images[:1].permute(0, 2, 3, 1).numpy())
    assert shown.shape == (1, len(config["classes"])), "other columns"


def _includes(built: Any, declared: Any) -> bool:
    """Whether settings are those that were declared; what was left out is as by default."""
    if isinstance(declared, dict) and isinstance(built, dict):
        return all(key in built and _includes(built[key], value) for key, value in declared.items())
    return bool(built == declared)


def _save_reasoner(folder: Path) -> None:
    torch.manual_seed(0)
    config = ReasonerConfig(width=8, height=8, trunk_maps=(), trunk_kernel=3, maps=4, blocks=1, word_dim=3,
                            hidden_dim=4, classifier_maps=4, classifier_dim=4)  # fmt: skip
    reasoner = FiLMReasoner(config).eval()
    record = {"kind": KIND, "model": plain(reasoner.config), "training": {"steps": 1}, "settings": {}}
    save_model(folder, reasoner.state_dict(), record, "# A small one\n")


def _check_reasoner(folder: Path) -> None:
    reasoner = load(folder)
    saved = load_model(folder)
    declared, built = saved.config["model"], plain(reasoner.config)
    if declared.get("vocabulary") == []:  # means CLEVR's own
        declared = {name: value for name, value in declared.items() if name != "vocabulary"}
    assert _includes(built, declared), "other settings"
    state = reasoner.state_dict()
    for name, value in saved.weights.items():
        assert torch.equal(state[name].nan_to_num(), value.to(state[name].dtype).nan_to_num()), name


KINDS = (
    Kind("classifiers", _save_classifier, _check_classifier),
    Kind("reasoning models", _save_reasoner, _check_reasoner),
)
