"""What scene files and programs say beyond the answers: what lies where, and what each question is about."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clevr.data.errors import DataError
from clevr.data.reader import ClevrSplit
from clevr.questions.programs import ProgramError
from clevr.questions.question import Question
from clevr.questions.referents import referents
from clevr.reasoning.supervision import MAX_OBJECTS, describe_scenes
from clevr.world.scene import Scene


@dataclass(frozen=True)
class Supervision:
    """Of a split with scenes and programs."""

    scenes: Sequence[Scene]
    """The scene of each picture, ``M`` of them."""
    described: NDArray[np.float32]
    """What lies where in each, ``(M, 10, 6)``: :func:`clevr.reasoning.supervision.describe_scenes`."""
    referents: NDArray[np.int8]
    """Which objects each question is finally about, ``(N, 2, 10)``: :func:`mark_referents`."""


def read_supervision(split: ClevrSplit, filenames: Sequence[str], aspect: float, cache: Path) -> Supervision:
    """Scenes of some pictures, and for every question of the split which objects it is finally about.

    Args:
        split: with scenes and programs.
        filenames: the pictures, in the order of the result.
        aspect: height by width of what a model sees of a picture.
        cache: folder to keep the objects of the questions in.

    Raises:
        DataNotFoundError: the split has no scenes.
        DataError: a picture has no scene, or a program does not run on its scene.
    """
    by_name = {scene.image_filename: scene for scene in split.scenes()}
    missing = next((name for name in filenames if name not in by_name), None)
    if missing is not None:
        file = split.files.storage.label(split.files.scenes or "")
        raise DataError(file, "", f"has no scene of {missing}; get or make the scenes of all pictures")
    path = cache / f"{split.files.split}-referents.npz"
    signature = _signature(split)
    found = _load(path, signature)
    if found is None:
        found = _collect(split, by_name)
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with unfinished.open("wb") as file_to_write:
            np.savez_compressed(file_to_write, signature=np.asarray(signature), referents=found)
        unfinished.replace(path)
    scenes = [by_name[name] for name in filenames]
    size = split.load_picture(filenames[0]).size
    return Supervision(scenes, describe_scenes(scenes, size, aspect), found)


def mark_referents(question: Question, scene: Scene) -> NDArray[np.int8]:
    """Which objects a question is finally about.

    Returns:
        ``(2, 10)``: 1, 0, or -1 where that does not apply: the second set of a question that is no comparison, a
        question without a program, an object that is not there.

    Raises:
        ProgramError: the program does not run on the scene.
    """
    marks = np.full((2, MAX_OBJECTS), -1, np.int8)
    sets = referents(question.program, scene) if question.program else ()
    for row, objects in zip(marks, sets, strict=False):
        row[: len(scene.objects)] = 0
        row[[thing for thing in objects if thing < MAX_OBJECTS]] = 1
    return marks


def _signature(split: ClevrSplit) -> str:
    storage = split.files.storage
    parts = [part for part in (split.files.questions, split.files.scenes) if part]
    return " ".join(f"{storage.label(part)} {storage.signature(part)}" for part in parts)


def _load(path: Path, signature: str) -> NDArray[np.int8] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found: NDArray[np.int8] = arrays["referents"]
            return found if str(arrays["signature"]) == signature else None
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _collect(split: ClevrSplit, scenes: dict[str, Scene]) -> NDArray[np.int8]:
    rows: list[NDArray[np.int8]] = []
    for number, question in enumerate(split.questions()):
        try:
            rows.append(mark_referents(question, scenes[question.image_filename]))
        except ProgramError as error:
            file = split.files.storage.label(split.files.questions or "")
            raise DataError(file, f"record {number} of 'questions'", str(error)) from None
    return np.stack(rows)
