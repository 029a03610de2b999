"""Check one record of a scenes or questions file and make it a :class:`Scene` or a :class:`Question`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from clevr.data.errors import DataError
from clevr.questions.families import global_family_index
from clevr.questions.programs import Node, ProgramError, check_program
from clevr.questions.question import Question
from clevr.questions.tokens import ANSWERS, SPECIAL_TOKENS
from clevr.world.scene import COLORS, MATERIALS, RELATIONS, SHAPES, SIZES, Scene
from fewshot_film.errors import UserError

Kind = type | tuple[type, ...]
_ATTRIBUTES = {"shape": SHAPES, "size": SIZES, "color": COLORS, "material": MATERIALS}
_KINDS: dict[Kind, str] = {
    str: "a text",
    int: "an integer",
    list: "a list",
    dict: "an object",
    (int, float): "a number",
}
_REQUIRED = object()
_ANSWERS = dict.fromkeys(ANSWERS[len(SPECIAL_TOKENS) :])


class RecordError(UserError, ValueError):
    """What is wrong with a record; the caller adds the file and the record's number."""


def parse_questions(records: Iterable[dict[str, Any]], file: str, *, text_only: bool = False) -> Iterator[Question]:
    """Check every record of a questions file.

    Args:
        records: what the JSON holds, in its order.
        file: how messages name the file.
        text_only: the questions belong to no picture; ``image_index`` is then -1 and the file name empty.
    Raises:
        DataError: naming the file and the number of the record in it.
    """
    for number, record in enumerate(records):
        try:
            yield parse_question(record, text_only=text_only)
        except ValueError as error:
            raise DataError(file, f"record {number} of 'questions'", str(error)) from None


def parse_scenes(records: Iterable[dict[str, Any]], file: str) -> Iterator[Scene]:
    """Check every record of a scenes file; raises as :func:`parse_questions`."""
    for number, record in enumerate(records):
        try:
            yield parse_scene(record)
        except ValueError as error:
            raise DataError(file, f"record {number} of 'scenes'", str(error)) from None


def parse_question(record: Mapping[str, Any], *, text_only: bool = False) -> Question:
    """Check one question: its keys, their types, the answer and the program.

    Answers that are booleans or numbers become CLEVR's texts; an image index that is missing is taken from
    the file name; keys that CLEVR does not have are not looked at.

    Raises:
        RecordError: a key is missing, of the wrong type, or holds what CLEVR does not know.
    """
    text = _get(record, "question", str)
    if not text.strip():
        raise RecordError("the question is empty; expected its text")
    filename, index = ("", -1) if text_only else _picture(record)
    return Question(
        question=text,
        image_index=index,
        image_filename=filename,
        split=_get(record, "split", str, ""),
        question_index=_index(record, "question_index", 0),
        answer=_answer(record.get("answer")),
        program=_program(record),
        question_family_index=_family(record),
    )


def parse_scene(record: Mapping[str, Any]) -> Scene:
    """Check one scene: its keys, their types, the attributes of its objects and its relationships.

    Raises:
        RecordError: a key is missing, of the wrong type, or holds what CLEVR does not know.
    """
    filename, index = _picture(record)
    objects = _get(record, "objects", list)
    for number, thing in enumerate(objects):
        _check_object(thing, f"object {number}")
    directions = _get(record, "directions", dict, {})
    for name, vector in directions.items():
        _check_vector(vector, f"direction {name!r}")
    _check_relationships(_get(record, "relationships", dict), len(objects))
    split = _get(record, "split", str, "")
    changed = {"image_filename": filename, "image_index": index, "split": split, "directions": directions}
    return Scene.from_json({**record, **changed})


def _get(record: Mapping[str, Any], key: str, kind: Kind, default: Any = _REQUIRED) -> Any:
    """The value of a key, of the type it must have; a key that may be missing may also be null."""
    value = record.get(key)
    if value is None:
        if default is _REQUIRED:
            raise RecordError(f"no {key!r}; the record has {', '.join(record) or 'nothing'}")
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RecordError(f"{key!r} must be {_KINDS[kind]}, got {value!r:.60}")
    if isinstance(value, str) and not _is_unicode(value):
        raise RecordError(f"{key!r} holds half of a surrogate pair, which is no character: {value!a:.60}")
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _picture(record: Mapping[str, Any]) -> tuple[str, int]:
    """File name and index of the picture; an index that is missing is taken from the name."""
    filename = _get(record, "image_filename", str)
    if not filename or "/" in filename or "\\" in filename:
        raise RecordError(f"'image_filename' must be the name of a picture without folders, got {filename!r}")
    index = _index(record, "image_index", None)
    if index is None:
        digits = re.findall(r"[0-9]{1,9}", filename)
        if not digits:
            raise RecordError(f"no 'image_index', and no number in {filename!r} to use instead")
        index = int(digits[-1])
    return filename, index


def _index(record: Mapping[str, Any], key: str, default: int | None, last: int = 2**31 - 1) -> Any:
    index = _get(record, key, int, default)
    if index is not None and not 0 <= index <= last:
        raise RecordError(f"{key!r} must be from 0 to {last}, got {index!r:.20}")
    return index


def _answer(answer: Any) -> str | None:
    if answer is None:
        return None
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if not isinstance(answer, str | int):
        raise RecordError(f"'answer' must be a text, an integer or a boolean, got {answer!r}")
    text = str(answer).strip().lower()
    if text not in _ANSWERS:
        raise RecordError(f"unknown answer {answer!r}; expected one of {', '.join(_ANSWERS)}")
    return text


def _family(record: Mapping[str, Any]) -> int | None:
    index = _index(record, "question_family_index", None, last=2**15 - 1)
    template = _get(record, "template_filename", str, None)
    return index if index is None or template is None else _family_of_template(template, index)


@lru_cache(maxsize=1024)
def _family_of_template(template: str, index: int) -> int | None:
    """CLEVR v1.0's number of a family that is counted within a template file; None for an own template."""
    try:
        return global_family_index(template, index)
    except ValueError:
        return None


def _program(record: Mapping[str, Any]) -> tuple[Node, ...] | None:
    nodes = _get(record, "program", list, None)
    if nodes is None:
        return None
    program = tuple(_read_node(node, number) for number, node in enumerate(nodes))
    try:
        check_program(program)
    except ProgramError as error:
        raise RecordError(str(error)) from None
    return program


def _read_node(record: Any, number: int) -> Node:
    if not isinstance(record, dict):
        raise RecordError(f"node {number} of the program must be an object, got {record!r:.60}")
    function = record.get("function", record.get("type"))
    inputs = record.get("inputs", [])
    values = record.get("value_inputs", record.get("side_inputs", []))
    if not isinstance(function, str):
        raise RecordError(f"node {number} of the program must name its 'function', got {record!r:.60}")
    where = f"node {number} ({function})"
    if not isinstance(inputs, list) or any(type(entry) is not int for entry in inputs):
        raise RecordError(f"{where}: 'inputs' must be a list of integers, got {inputs!r:.60}")
    if not isinstance(values, list) or any(type(entry) is not str for entry in values):
        raise RecordError(f"{where}: 'value_inputs' must be a list of texts, got {values!r:.60}")
    return _node(function, tuple(inputs), tuple(values))


@lru_cache(maxsize=1 << 16)
def _node(function: str, inputs: tuple[int, ...], values: tuple[str, ...]) -> Node:
    """One object for all nodes that are equal: CLEVR's eight million are a few thousand."""
    return Node(function, inputs, values)


def _check_object(thing: Any, where: str) -> None:
    if not isinstance(thing, dict):
        raise RecordError(f"{where} must be an object, got {thing!r:.60}")
    try:
        for attribute, known in _ATTRIBUTES.items():
            value = _get(thing, attribute, str)
            if value not in known:
                raise RecordError(f"unknown {attribute} {value!r}; expected one of {', '.join(known)}")
        for key in ("3d_coords", "pixel_coords"):
            _check_vector(_get(thing, key, list), repr(key))
        if not _is_finite(_get(thing, "rotation", (int, float))):
            raise RecordError(f"'rotation' must be a finite number, got {thing['rotation']}")
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None


def _check_vector(vector: Any, where: str) -> None:
    good = isinstance(vector, list) and len(vector) == 3
    if not good or not all(map(_is_finite, vector)):
        raise RecordError(f"{where} must be a list of 3 numbers, got {vector!r:.60}")


def _is_finite(number: Any) -> bool:
    return type(number) in (int, float) and -math.inf < number < math.inf


def _check_relationships(relationships: Mapping[str, Any], num_objects: int) -> None:
    for relation in dict.fromkeys((*RELATIONS, *relationships)):
        rows = _get(relationships, relation, list)
        if len(rows) != num_objects:
            raise RecordError(f"'relationships' of {relation!r}: {len(rows)} lists for {num_objects} objects")
        for number, row in enumerate(rows):
            if not isinstance(row, list) or any(
                type(other) is not int or not 0 <= other < num_objects or other == number for other in row
            ):
                raise RecordError(
                    f"'relationships' of {relation!r}, object {number}: expected numbers of others, "
                    f"0 to {num_objects - 1}, got {row!r:.60}"
                )
