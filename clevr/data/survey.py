"""What a split in CLEVR's format holds, counted and checked in one pass over its files."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import IO, Any

from PIL import Image

from clevr.data.reader import ClevrSplit
from clevr.data.writer import PNG_END
from clevr.questions.programs import ProgramError, execute
from clevr.questions.question import Question
from clevr.questions.tokens import tokenize
from clevr.world.scene import Scene, SceneObject
from fewshot_film.errors import counted

ATTRIBUTES = ("shape", "size", "material", "color")


@dataclass
class Survey:
    """Counts of one split, and all that is wrong with it."""

    split: str
    info: Mapping[str, Any]
    num_scenes: int = 0
    num_questions: int = 0
    num_executed: int = 0
    """Questions whose program was run and its answer compared."""
    answers: Counter[str] = field(default_factory=Counter)
    answers_by_function: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By the last function of the program: ``query_size`` apart from ``query_color``."""
    answers_by_family: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    question_lengths: Counter[int] = field(default_factory=Counter)
    """In tokens."""
    program_lengths: Counter[int] = field(default_factory=Counter)
    """In nodes."""
    questions_per_image: Counter[str] = field(default_factory=Counter)
    objects_per_scene: Counter[int] = field(default_factory=Counter)
    objects: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By attribute, and by ``"shape and color"``, which CoGenT restricts."""
    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """One line each; empty for a sound split."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        changed = {"questions_per_image": self.num_questions_per_image}
        return {name: _plain(value) for name, value in (vars(self) | changed).items()}

    @property
    def num_questions_per_image(self) -> Counter[int]:
        """How many images have how many questions."""
        return Counter(self.questions_per_image.values())


def survey(split: ClevrSplit) -> Survey:
    """Count and check a split; parts that it does not have are left out.

    Raises:
        DataError: a record is malformed; what is well-formed and wrong is listed in ``problems`` instead.
    """
    found = Survey(split.files.split, split.info())
    scenes = _survey_scenes(split, found) if split.files.scenes else {}
    if split.files.questions:
        _survey_questions(split, scenes, found)
    if split.files.images:
        _survey_images(split, found)
    return found


def _survey_scenes(split: ClevrSplit, found: Survey) -> dict[str, Scene]:
    """Count the scenes; returns what of them the programs need."""
    scenes: dict[str, Scene] = {}
    for scene in split.scenes():
        found.num_scenes += 1
        if scene.image_filename in scenes:
            found.problems.append(f"scene {scene.image_index}: a second scene of {scene.image_filename}")
        if split.images and scene.image_filename not in split.images:
            found.problems.append(f"scene {scene.image_index}: no image {scene.image_filename}")
        found.objects_per_scene[len(scene.objects)] += 1
        for thing in scene.objects:
            for attribute in ATTRIBUTES:
                found.objects[attribute][getattr(thing, attribute)] += 1
            found.objects["shape and color"][f"{thing.shape} {thing.color}"] += 1
        scenes[scene.image_filename] = _lean(scene)
    lonely = sorted(split.images - scenes.keys())
    found.problems += [f"{name}: an image without a scene" for name in lonely]
    expected = _generator_settings(found).get("scenes", found.num_scenes)
    if found.num_scenes != expected:
        found.problems.append(f"{counted(found.num_scenes, 'scene')}, expected {expected}")
    return scenes


def _survey_questions(split: ClevrSplit, scenes: Mapping[str, Scene], found: Survey) -> None:
    numbers: set[int] = set()
    questions = ClevrSplit(replace(split.files, images=None)).questions()  # they do not stop at a missing image
    for question in questions:
        found.num_questions += 1
        found.questions_per_image[question.image_filename] += 1
        is_missing = bool(split.images) and question.image_filename not in split.images
        if is_missing and found.questions_per_image[question.image_filename] == 1:
            found.problems.append(f"question {question.question_index}: no image {question.image_filename}")
        found.question_lengths[len(tokenize(question.question))] += 1
        if question.program is not None:
            found.program_lengths[len(question.program)] += 1
        if question.answer is not None:
            found.answers[question.answer] += 1
            if question.program:
                found.answers_by_function[question.program[-1].function][question.answer] += 1
            if question.question_family_index is not None:
                found.answers_by_family[question.question_family_index][question.answer] += 1
        if question.question_index and question.question_index in numbers:  # files without it have 0
            found.problems.append(f"question {question.question_index}: its question_index occurs twice")
        numbers.add(question.question_index)
        if split.files.scenes:
            _execute(question, scenes, found)


def _execute(question: Question, scenes: Mapping[str, Scene], found: Survey) -> None:
    """Compare a stored answer with what the program gives."""
    where = f"question {question.question_index} about {question.image_filename}"
    scene = scenes.get(question.image_filename)
    if scene is None:
        found.problems.append(f"{where}: there is no such scene")
    elif question.program is not None and question.answer is not None:
        found.num_executed += 1
        try:
            answer = execute(question.program, scene)
        except ProgramError as error:
            found.problems.append(f"{where}: {error}")
            return
        if answer != question.answer:
            found.problems.append(f"{where}: the answer is {question.answer}, its program gives {answer}")


def _survey_images(split: ClevrSplit, found: Survey) -> None:
    sizes = {name: _image_size(split, name) for name in sorted(split.images)}
    found.image_sizes.update(size for size in sizes.values() if size is not None)
    expected = _expected_size(found)
    for name, size in sizes.items():
        if size is None:
            found.problems.append(f"{name}: not a complete image")
        elif size != expected:
            found.problems.append(f"{name}: {size[0]}x{size[1]} pixels, expected {expected[0]}x{expected[1]}")


def _expected_size(found: Survey) -> tuple[int, int]:
    """What a generated set says of itself, or else the size that most images have."""
    settings = _generator_settings(found)
    if {"width", "height"} <= settings.keys():
        return settings["width"], settings["height"]
    return found.image_sizes.most_common(1)[0][0] if found.image_sizes else (0, 0)


def _generator_settings(found: Survey) -> dict[str, Any]:
    """What ``clevr-film generate`` noted down; empty for sets of another origin."""
    settings = found.info.get("generator")
    return settings if isinstance(settings, dict) else {}


def _image_size(split: ClevrSplit, filename: str) -> tuple[int, int] | None:
    """Width and height by the image's head; None for one that does not open or lacks its end."""
    path = f"{split.files.images}/{filename}"
    try:
        with split.files.storage.open(path) as stream, Image.open(stream) as image:
            whole = image.format != "PNG" or _tail(stream) == PNG_END
            return image.size if whole else None
    except Exception:  # whatever Pillow's plugins raise for a damaged file
        return None


def _tail(stream: IO[bytes]) -> bytes:
    stream.seek(-len(PNG_END), os.SEEK_END)
    return stream.read()


def _lean(scene: Scene) -> Scene:
    """What programs read of a scene: attributes and relationships. A tenth of the memory of it all."""
    objects = tuple(_kind(thing.shape, thing.size, thing.color, thing.material) for thing in scene.objects)
    return Scene(objects, {}, scene.relationships, world=scene.world)


@lru_cache(maxsize=1024)
def _kind(shape: str, size: str, color: str, material: str) -> SceneObject:
    """One object for all that look the same."""
    return SceneObject(shape, size, color, material, (0.0, 0.0, 0.0), 0.0)


def _plain(value: Any) -> Any:
    """Counters sorted by what they count, with keys as JSON has them."""
    if isinstance(value, dict):
        keys = sorted(value) if isinstance(value, Counter) else value
        return {_key(key): _plain(value[key]) for key in keys}
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value


def _key(key: Any) -> str:
    return "x".join(map(str, key)) if isinstance(key, tuple) else str(key)
