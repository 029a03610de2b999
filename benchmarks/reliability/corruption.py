"""Checkpoints and saved models with one byte changed, or cut short, at many places; and files that would run code.

A damaged file counts as *refused* where reading it ended with a documented error, as *done* where what was read is bit
for bit what had been written, and as a fault otherwise: another error, or other weights or settings in silence. Of a
file that would run code the command must end with a message, and the code must not have run.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reliability.content import content_of
from benchmarks.reliability.inputs import FOLDER, Places, case
from benchmarks.reliability.process import Line, run
from benchmarks.reliability.resource_limits import Count
from clevr.reasoning import load as load_reasoner
from fewshot_film.errors import UserError
from fewshot_film.learners import load_learner
from fewshot_film.run.checkpoint import load_checkpoint

EDGE = 64
"""Bytes at both ends of a file that are changed one by one."""


def damage(places: Places, work: Path, *, number: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Damage every kind of file.

    Args:
        places: inputs.
        work: folder for the damaged copies.
        number: places within a file, beside its ends, at which a byte is changed; and at which it is cut.
        say: gets a line of progress.
    """
    few, reasoner = places["few_model"], places["clevr_model"]
    readers: list[tuple[str, Path, str, Callable[[Path], Any]]] = [
        ("last.ckpt, few-shot", places["few_run"], "last.ckpt", _checkpoint),
        ("last.ckpt, CLEVR", places["clevr_run"], "last.ckpt", _checkpoint),
        ("model.safetensors, few-shot", few, "model.safetensors", _learner),
        ("config.json, few-shot", few, "config.json", _learner),
        ("model.safetensors, CLEVR", reasoner, "model.safetensors", _reasoner),
        ("config.json, CLEVR", reasoner, "config.json", _reasoner),
    ]
    found = {}
    for title, folder, name, read in readers:
        for kind, versions in (("a byte changed", flipped), ("cut short", cut)):
            count = _read_all(folder, name, read, versions((folder / name).read_bytes(), number), work)
            found[f"{title}: {kind}"] = asdict(count)
            say(f"{title}: {kind}: {count.tried} tried, {len(count.faults)} faults")
    found["resumed from a damaged last.ckpt"] = asdict(_resumed(places, work / "resumed", max(2, number // 200)))
    found["would run code"] = asdict(_malicious(places, work / "malicious"))
    say(f"would run code: {found['would run code']['tried']} tried, {len(found['would run code']['faults'])} faults")
    return found


def flipped(data: bytes, number: int) -> Iterator[bytes]:
    """Versions of a file with one byte changed: every one at both ends, and this many spread over the rest."""
    rng = random.Random(len(data))
    ends = [*range(min(EDGE, len(data))), *range(max(0, len(data) - EDGE), len(data))]
    middle = [int((place + rng.random()) * len(data) / number) for place in range(number)]
    for place in dict.fromkeys([*ends, *middle]):
        version = bytearray(data)
        version[place] ^= rng.randrange(1, 256)
        yield bytes(version)


def cut(data: bytes, number: int) -> Iterator[bytes]:
    """Versions of a file that end early, at this many places spread over it."""
    lengths = [*range(min(16, len(data))), *(int(place * len(data) / number) for place in range(number)), len(data) - 1]
    yield from (data[:length] for length in dict.fromkeys(lengths))


def _read_all(folder: Path, name: str, read: Callable[[Path], Any], versions: Iterator[bytes], work: Path) -> Count:
    """Read a folder's copy in which one file is damaged."""
    work.mkdir(parents=True, exist_ok=True)
    copy = work / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("tensorboard", "cache", "model"))
    expected = read(folder)
    count = Count()
    for number, version in enumerate(versions):
        count.tried += 1
        (copy / name).write_bytes(version)
        try:
            found = read(copy)
        except UserError:
            count.refused += 1
        except Exception as error:  # what a person would see as a traceback
            count.faults.append(f"version {number}: {type(error).__name__}: {error}"[:300])
        else:
            count.done += found == expected
            if found != expected:
                count.faults.append(f"version {number} of {name} was read as something else, in silence")
    shutil.rmtree(copy)
    return count


def _checkpoint(folder: Path) -> Any:
    path = folder / "last.ckpt"
    load_checkpoint(path)
    return content_of(path)


def _learner(folder: Path) -> Any:
    learner = load_learner(folder)
    return repr(learner.config), _bytes_of(learner), _record(folder)


def _reasoner(folder: Path) -> Any:
    reasoner = load_reasoner(folder)
    return repr(reasoner.config), _bytes_of(reasoner), _record(folder)


def _record(folder: Path) -> Any:
    """What the model says of itself: temperatures, normalisation and training are taken from there."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]


def _bytes_of(module: torch.nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in module.state_dict().values())


def _resumed(places: Places, work: Path, number: int) -> Count:
    """The command that goes on from a checkpoint, with a damaged one."""
    count = Count()
    for program, run_folder in (("fewshot-film", "few_run"), ("clevr-film", "clevr_run")):
        training = case(program, "train")
        data = (places[run_folder] / "last.ckpt").read_bytes()
        rng = random.Random(program)
        for index in range(number):
            out = work / f"{program}-{index}"
            out.mkdir(parents=True)
            version = bytearray(data)
            version[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            (out / "last.ckpt").write_bytes(version if index % 2 else data[: rng.randrange(len(data))])
            before = (out / "last.ckpt").read_bytes()
            outcome = run(training.line(places, out).plus("--resume"), work / "logs")
            touched = [] if (out / "last.ckpt").read_bytes() == before else ["the damaged file was written over"]
            count.add(outcome, may="refused", more=touched)
    return count


class _Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.proof),)


def _malicious(places: Places, work: Path) -> Count:
    """Every command that reads a file in which a pickle could be."""
    work.mkdir(parents=True)
    proof = work / "proof"
    evil = _Malicious(proof)
    pickle.loads(pickle.dumps(evil))
    proof.rmdir()  # it does run where anybody lets it
    count = Count()
    for line in _evil_lines(places, work, evil):
        outcome = run(line, work / "logs")
        count.add(outcome, may="refused", more=["its code was run"] if proof.exists() else [])
        if proof.exists():
            proof.rmdir()
    return count


def _evil_lines(places: Places, work: Path, evil: _Malicious) -> Iterator[Line]:
    """Command lines that read such a file, which is made just before."""
    for program, name in (("fewshot-film", "pretrain"), ("fewshot-film", "train"), ("clevr-film", "train")):
        for is_sealed in (False, True):
            out = work / f"{program}-{name}-{is_sealed}"
            out.mkdir()
            _save(out / "last.ckpt", {"format": "fewshot-film checkpoint", "version": 1, "module": evil}, is_sealed)
            yield case(program, name).line(places, out).plus("--resume")
    exported = work / "clevr_run"
    shutil.copytree(places["clevr_run"], exported)
    _save(exported / "best.ckpt", {"format": "fewshot-film checkpoint", "version": 1, "module": evil}, is_sealed=True)
    yield case("clevr-film", "export").line({**places, "clevr_run": exported}, work / "exported")
    for ending in ("pt", "pth", "safetensors"):
        path = work / f"weights.{ending}"
        torch.save({"weight": evil}, path)
        yield case("clevr-film", "import").line({**places, "published": path}, work / "imported")
        yield case("clevr-film", "features").line(places, work / "features").plus(f"--extractor.weights={path}")
        yield case("fewshot-film", "train").line(places, work / "few").plus(f"--learner.backbone.weights={path}")
    readers = [("fewshot-film", name, "few_model") for name in ("evaluate", "classify")]
    for program, name, model in (*readers, *(("clevr-film", name, "clevr_model") for name in ("evaluate", "ask"))):
        folder = work / f"{program}-{name}"
        shutil.copytree(places[model], folder)
        (folder / "model.safetensors").write_bytes(pickle.dumps(evil))
        yield case(program, name).line({**places, model: folder}, work / "out")
    yield from _evil_data(places, work, evil)


def _evil_data(places: Places, work: Path, evil: _Malicious) -> Iterator[Line]:
    """Data sets that others publish as pickles, and arrays of objects where there should be numbers."""
    content = pickle.dumps({"data": evil, "labels": evil, "image_data": evil, "class_dict": evil})
    for source, names in (
        ("mini-imagenet", ["mini-imagenet-cache-test.pkl"]),
        ("tiered-imagenet", ["test_images_png.pkl", "test_labels.pkl"]),
        ("cifar-fs", ["cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"]),
    ):
        root = work / source
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        line = case("fewshot-film", "evaluate").line(places, work / "out")
        words = [word for word in line.words if word not in FOLDER.format(**places).split()]
        yield Line(line.program, (*words, f"--data.source={source}", f"--data.root={root}"))
    store = work / "store"
    if run(case("clevr-film", "features").line(places, store), work / "logs").is_done:
        np.save(store / "features.npy", np.array([evil], dtype=object))
        yield case("clevr-film", "features").line(places, store)


def _save(path: Path, content: Any, is_sealed: bool) -> None:
    """Write what ``torch.save`` writes, with a right seal behind it if somebody malicious would make one."""
    torch.save(content, path)
    if not is_sealed:
        return
    data = bytearray(path.read_bytes())
    mark = b"fewshot-film sha256 "
    data[-2:] = struct.pack("<H", len(mark) + 64)
    path.write_bytes(bytes(data) + mark + hashlib.sha256(data).hexdigest().encode())
