"""What scene files and programs say beyond the answers: what lies where, and what each question is about."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clevr.data.errors import DataError
from clevr.data.reader import ClevrSplit
from clevr.data.table import load_arrays, save_arrays
from clevr.questions.actions import action_sequences, follow, hops_of
from clevr.questions.program_encoding import MAX_HOPS, NUM_FIELDS, encode_program, trace_hops
from clevr.questions.programs import ProgramError
from clevr.questions.question import Question
from clevr.world.render import object_ids
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, WorldSpec

ATTRIBUTES = ("shape", "size", "color", "material")
"""In the order in which a described object has them."""
MAX_OBJECTS = 10

COLUMN, ROW = 0, 1
"""Of a described object: its centre, as shares of the image's width and height."""
KINDS = slice(2, 2 + len(ATTRIBUTES))
"""The number of each of its attributes, in the order of :data:`ATTRIBUTES`; -1 where there is no object."""
SHAPE, SIZE, COLOR = (KINDS.start + ATTRIBUTES.index(name) for name in ("shape", "size", "color"))
"""The numbers of its shape, size and colour among these; of shape and colour also -1 where they are not known."""
RIGHT, FRONT = KINDS.stop, KINDS.stop + 1
"""Where it stands on the ground, in the scene's units."""
GROUND = slice(RIGHT, FRONT + 1)
"""Both of these."""
FIELDS = GROUND.stop
"""How many numbers describe an object."""
_AT_ONCE = 100
"""Scenes that are looked at together."""


@dataclass(frozen=True)
class Supervision:
    """Of a split with scenes and programs."""

    scenes: Sequence[Scene]
    """The scene of each image, ``M`` of them."""
    described: NDArray[np.float32]
    """What lies where in each, ``(M, 10, 8)``: :func:`clevr.data.supervision.describe_scenes`."""
    traces: NDArray[np.int8] | None
    """Which objects each question is about, hop by hop, ``(N, 4, 2, 10)``: :func:`mark_trace`; None if they were
    not asked for."""
    program_encodings: NDArray[np.int8] | None
    """What each question does, ``(N, 41)``: :func:`mark_program_encoding`; None if the traces were not asked for."""
    sequences: NDArray[np.int8] | None = None
    """Every sequence of actions that tells the program of each question, ``(N, 8, 32)``: :func:`mark_hops`; None if the
    hops were not asked for."""
    members: NDArray[np.int8] | None = None
    """The objects that the hops of the first of them arrive at, ``(N, 8, 10)``; None if they were not asked for."""


def read_supervision(
    split: ClevrSplit,
    filenames: Sequence[str],
    aspect: float,
    cache: Path,
    *,
    with_traces: bool = True,
    with_hops: bool = False,
    visible_centers: bool = False,
) -> Supervision:
    """Scenes of some images, and for every question of the split which objects it is about.

    Args:
        split: with scenes and programs.
        filenames: the images, in the order of the result.
        aspect: height by width of what a model sees of an image.
        cache: folder to keep the objects of the questions in.
        with_traces: run the programs of the questions, to know their objects.
        with_hops: also know them as sequences of actions, and the objects of their hops.
        visible_centers: an object is where the middle of its visible part is, not that of its body.

    Raises:
        DataNotFoundError: the split has no scenes.
        DataError: an image has no scene, or a program does not run on its scene.
    """
    by_name = {scene.image_filename: scene for scene in split.scenes()}
    missing = next((name for name in filenames if name not in by_name), None)
    if missing is not None:
        file = split.files.storage.label(split.files.scenes or "")
        raise DataError(file, "", f"has no scene of {missing}; get or make the scenes of all images")
    kept = _kept(split, by_name, cache, "marks", _trace_marks) if with_traces else {}
    kept |= _kept(split, by_name, cache, "hops", _hop_marks) if with_hops else {}
    scenes = [by_name[name] for name in filenames]
    size = split.load_image(filenames[0]).size
    centers = _centers(split, scenes, size, cache) if visible_centers else None
    described = describe_scenes(scenes, size, aspect, centers)
    return Supervision(
        scenes,
        described,
        kept.get("referents"),
        kept.get("outlines"),
        kept.get("sequences"),
        kept.get("members"),
    )


def describe_scenes(
    scenes: Sequence[Scene], size: tuple[int, int], aspect: float, centers: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """What lies where in the images of scenes, as a model sees them.

    Args:
        scenes: any number of scenes.
        size: width and height of the images that ``pixel_coords`` are in.
        aspect: height by width of what the model sees: the middle rows, or more than there are
            (:func:`clevr.data.images.fit_image`).
        centers: column and line of each object in these images, ``(N, 10, 2)``; None: ``pixel_coords``.

    Returns:
        ``(N, 10, 8)``: :data:`COLUMN` and :data:`ROW`, 0 to 1 within what the model sees, :data:`KINDS`, and
        :data:`GROUND` along the scene's directions "right" and "front", nan where the scene has none; all -1 where
        there is no object.
    """
    width, height = size
    seen = width * aspect
    found = np.full((len(scenes), MAX_OBJECTS, FIELDS), -1, np.float32)
    unknown = (float("nan"),) * 3
    for number, (row, scene) in enumerate(zip(found, scenes, strict=True)):
        axes = [scene.directions.get(name, unknown) for name in ("right", "front")]
        for index, (place, thing) in enumerate(zip(row, scene.objects[:MAX_OBJECTS], strict=False)):
            column, line = thing.pixel_coords[:2] if centers is None else centers[number, index]
            place[COLUMN], place[ROW] = column / width, (line - (height - seen) / 2) / seen
            place[KINDS] = [scene.world.values[name].index(getattr(thing, name)) for name in ATTRIBUTES]
            place[GROUND] = [sum(map(operator.mul, thing.coords, axis)) for axis in axes]
    return found


def visible_centers(scenes: Sequence[Scene], size: tuple[int, int]) -> NDArray[np.float32]:
    """The middle of what is visible of each object: the visible pixel nearest to the mean of all.

    Args:
        scenes: any number of scenes.
        size: width and height of the images that ``pixel_coords`` are in.

    Returns:
        ``(N, 10, 2)``: column and line; ``pixel_coords`` of an object that is not seen, -1 where there is none.
    """
    centers = np.full((len(scenes), MAX_OBJECTS, 2), -1, np.float32)
    for start in range(0, len(scenes), _AT_ONCE):
        part = scenes[start : start + _AT_ONCE]
        for row, scene, ids in zip(centers[start:], part, object_ids(part, *size).numpy(), strict=False):
            for index, thing in enumerate(scene.objects[:MAX_OBJECTS]):
                row[index] = _middle(ids == index, thing.pixel_coords[:2])
    return centers


def _middle(mask: NDArray[np.bool_], otherwise: tuple[float, ...]) -> tuple[float, ...]:
    lines, columns = mask.nonzero()
    if len(lines) == 0:
        return otherwise
    nearest = ((lines - lines.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
    return columns[nearest] + 0.5, lines[nearest] + 0.5


def _centers(split: ClevrSplit, scenes: Sequence[Scene], size: tuple[int, int], cache: Path) -> NDArray[np.float32]:
    """Visible centres of all images; found once, then kept."""
    path = cache / f"{split.files.split}-visible-{size[0]}x{size[1]}.npz"
    names = hashlib.sha256("\n".join(scene.image_filename for scene in scenes).encode()).hexdigest()
    signature = f"{_signature(split)} {names}"
    kept = load_arrays(path, signature)
    if kept is None:
        kept = {"centers": visible_centers(scenes, size)}
        save_arrays(path, signature, kept)
    return kept["centers"]


def mark_trace(question: Question, scene: Scene) -> NDArray[np.int8]:
    """Which objects a question is about, hop by hop.

    Returns:
        ``(4, 2, 10)``, for the last hop but three, but two, but one, and the last: 1, 0, or -1 where that does not
        apply: hops that a question does not take, the second set where it follows one strand, a question without a
        program, an object that is not there.

    Raises:
        ProgramError: the program does not run on the scene.
    """
    marks = np.full((MAX_HOPS, 2, MAX_OBJECTS), -1, np.int8)
    if not question.program:
        return marks
    hops = trace_hops(question.program, scene)[-MAX_HOPS:]
    for mark, sets in zip(marks[-len(hops) :], hops, strict=True):
        for row, objects in zip(mark, sets, strict=False):
            row[: len(scene.objects)] = 0
            row[[thing for thing in objects if thing < MAX_OBJECTS]] = 1
    return marks


def mark_program_encoding(question: Question, world: WorldSpec = CLEVR) -> NDArray[np.int8]:
    """What a question does.

    Returns:
        ``(41,)``: the fields of four hops with two strands each, then the last function, as numbers
        (:func:`clevr.questions.program_encoding.encode_program`); -1 for a question without a program.
    """
    if not question.program:
        return np.full(MAX_HOPS * 2 * NUM_FIELDS + 1, -1, np.int8)
    hops, function = encode_program(question.program, world)
    return np.append(np.asarray(hops, np.int8).ravel(), np.int8(function))


MAX_SEQUENCES, MAX_ACTIONS, MAX_SETS = 8, 32, 8
"""How many sequences of actions, actions and sets of a question are kept. CLEVR's have at most 6, 19 and 5."""


def mark_hops(question: Question, scene: Scene) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """How the words of a question may tell its program, and where its hops arrive.

    Returns:
        Sequences of actions ``(8, 32)`` (:func:`clevr.questions.actions.action_sequences`), zeros behind, and the
        objects of every hop of the first, ``(8, 10)``: 1, or 0. All zeros for a question without a program, or with one
        that is longer.
    """
    sequences, members = np.zeros((MAX_SEQUENCES, MAX_ACTIONS), np.int8), np.zeros((MAX_SETS, MAX_OBJECTS), np.int8)
    found = action_sequences(question.program, scene.world) if question.program else ()
    hops = hops_of(found[0]) if found else ()
    if not found or max(map(len, found)) > MAX_ACTIONS or len(hops) > MAX_SETS + 1:
        return sequences, members
    for row, sequence in zip(sequences, found, strict=False):
        row[: len(sequence)] = sequence
    for mark, objects in zip(members, follow(hops, scene), strict=False):
        mark[[thing for thing in objects if thing < MAX_OBJECTS]] = 1
    return sequences, members


def _signature(split: ClevrSplit) -> str:
    parts = [(split.files.storage_of(part), part) for part in (split.files.questions, split.files.scenes) if part]
    world = "" if split.world.values == CLEVR.values else f" {split.world.values}"
    return " ".join(f"{storage.label(part)} {storage.signature(part)}" for storage, part in parts) + world


Marks = dict[str, NDArray[np.int8]]


def _kept(
    split: ClevrSplit,
    scenes: Mapping[str, Scene],
    cache: Path,
    kind: str,
    mark: Callable[[Question, Scene], Marks],
) -> Marks:
    """What is marked of all questions; collected once, then kept."""
    path, signature = cache / f"{split.files.split}-{kind}.npz", _signature(split)
    kept = load_arrays(path, signature)
    if kept is None:
        kept = _collect(split, scenes, mark)
        save_arrays(path, signature, kept, compressed=True)
    return kept


def _collect(split: ClevrSplit, scenes: Mapping[str, Scene], mark: Callable[[Question, Scene], Marks]) -> Marks:
    rows = list[Marks]()
    for number, question in enumerate(split.questions()):
        try:
            rows.append(mark(question, scenes[question.image_filename]))
        except ProgramError as error:
            path = split.files.questions or ""
            file = split.files.storage_of(path).label(path)
            raise DataError(file, f"record {number} of 'questions'", str(error)) from None
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _trace_marks(question: Question, scene: Scene) -> Marks:
    return {"referents": mark_trace(question, scene), "outlines": mark_program_encoding(question, scene.world)}


def _hop_marks(question: Question, scene: Scene) -> Marks:
    sequences, members = mark_hops(question, scene)
    return {"sequences": sequences, "members": members}
