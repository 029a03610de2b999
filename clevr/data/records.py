"""The records of a scenes or questions file, read one by one and checked: a :class:`Scene` or a :class:`Question` each.

CLEVR's training questions are one JSON object of 700 MB, ten times that as Python objects. Here the records
of the wanted list are decoded and handed out in turn, so a file of any size takes some megabytes.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import IO, Any

from clevr.data.errors import DataError
from clevr.data.storage import DAMAGED_ZIP
from clevr.questions.families import global_family_index
from clevr.questions.programs import Node, ProgramError, check_program
from clevr.questions.question import Question
from clevr.questions.tokens import answers_of
from clevr.world.scene import RELATIONS, Scene
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.errors import UserError, shown

BLOCK = 1 << 20
LONGEST_RECORD = 1 << 24
"""Characters after which a value that still does not decode counts as malformed, not as unfinished."""

_WHITE_SPACE = re.compile(r"[ \t\n\r]*")
_MORE_OF_A_NUMBER = ("", *".eE+-0123456789")
_decode = json.JSONDecoder().raw_decode


class JsonRecords:
    """The records of ``{"info": {...}, key: [record, ...]}`` or of a bare ``[record, ...]``, in their order.

    Args:
        opener: opens the file for reading bytes; called by each iteration, which also closes it.
        file: how messages name the file.
        key: the list that is wanted, ``"questions"`` or ``"scenes"``.
    Raises:
        DataError: while iterating: the file is empty, cut short, not JSON, not UTF-8, or has no such list;
            with the record and the position in characters.
    """

    def __init__(self, opener: Callable[[], IO[bytes]], file: str, key: str) -> None:
        self.file = file
        self.key = key
        self.others: dict[str, Any] = {}
        """Every other entry of the outer object that was met so far: the info block under ``"info"``."""
        self._opener = opener

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._opener() as stream:
            scanner = _Scanner(stream, self.file)
            opening = scanner.peek()
            if opening == "[":
                yield from self._array(scanner)
            elif opening == "{":
                yield from self._object(scanner)
            else:
                raise scanner.unexpected(f"a JSON object with the list {self.key!r}")
            if scanner.peek(may_end=True):
                raise scanner.unexpected("nothing after the end of the JSON")

    def _object(self, scanner: _Scanner) -> Iterator[dict[str, Any]]:
        found = False
        for _ in scanner.items("}"):
            if scanner.peek() != '"':
                raise scanner.unexpected("a name in quotes")
            name = scanner.value()
            scanner.step_over(":")
            if name != self.key:
                self.others[name] = scanner.value()
            elif scanner.peek() != "[":
                raise scanner.unexpected(f"{self.key!r} to be a list")
            else:
                found = True
                yield from self._array(scanner)
        if not found:
            others = ", ".join(sorted(self.others)) or "nothing"
            raise DataError(self.file, "", f"expected a list {self.key!r}, found {others}")

    def _array(self, scanner: _Scanner) -> Iterator[dict[str, Any]]:
        for index in scanner.items("]"):
            scanner.record = f"record {index} of {self.key!r}"
            value = scanner.value()
            if not isinstance(value, dict):
                text = json.dumps(value)[:60]
                raise DataError(self.file, scanner.record, f"expected an object, got {text}")
            yield value
        scanner.record = ""


class _Scanner:
    """Text of a file, read in blocks as far as it is needed."""

    def __init__(self, stream: IO[bytes], file: str) -> None:
        self.file = file
        self.record = ""
        """What is being read, for messages."""
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._dropped = 0
        self._ended = False

    def peek(self, *, may_end: bool = False) -> str:
        """The next character that is no white space, without stepping over it; "" at the end if it may be."""
        while True:
            match = _WHITE_SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                if may_end:
                    return ""
                raise self._cut_short() if self._dropped + self._at else self._error("the file is empty")
            self._read(BLOCK)

    def step_over(self, *allowed: str) -> str:
        """Take one of the allowed characters and return it."""
        character = self.peek()
        if character not in allowed:
            raise self.unexpected(" or ".join(repr(one) for one in allowed))
        self._at += 1
        return character

    def items(self, closing: str) -> Iterator[int]:
        """Step over the brackets and commas of a list or an object; the caller takes each item."""
        self._at += 1
        if self.peek() == closing:
            self._at += 1
            return
        index = 0
        yield index
        while self.step_over(",", closing) == ",":
            index += 1
            yield index

    def value(self) -> Any:
        """Decode one value; read on while it may only be unfinished."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError:
                raise self._error("nested too deeply to be a CLEVR record") from None
            except ValueError as error:  # malformed, or cut off by the end of what was read so far
                if self._has_enough():
                    raise self._malformed(error) from None
            else:
                # "1" and "1." may be what was read so far of 1.5.
                if self._text[end : end + 1] not in _MORE_OF_A_NUMBER or self._has_enough():
                    self._at = end
                    return value
            self._read(max(BLOCK, len(self._text) - self._at))

    def unexpected(self, expected: str) -> DataError:
        """An error that says what was expected here, and what is here."""
        return self._error(f"expected {expected}, got {self._text[self._at : self._at + 20]!r}")

    def _has_enough(self) -> bool:
        """Whether reading on would not change what stands here."""
        return self._ended or len(self._text) - self._at > LONGEST_RECORD

    def _read(self, size: int) -> None:
        try:
            block = self._stream.read(size)
            more = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8 text ({error.reason}); download or write the file again") from None
        except DAMAGED_ZIP as error:
            raise self._error(f"damaged inside the zip ({error}); get it again") from None
        self._dropped += self._at
        self._text = self._text[self._at :] + more
        self._at = 0
        self._ended = not block

    def _malformed(self, error: ValueError) -> DataError:
        where = getattr(error, "pos", self._at)
        # A whole file ends with a bracket; one that was cut mostly does not, or is cut where a value is due.
        if self._ended and (where >= len(self._text) or self._text.rstrip()[-1:] not in ("}", "]")):
            return self._cut_short()
        self._at = where
        return self._error(f"not JSON ({getattr(error, 'msg', error)}) at {self._text[where : where + 20]!r}")

    def _cut_short(self) -> DataError:
        self._at = len(self._text)
        return self._error("the file is cut short; download or write it again")

    def _error(self, problem: str) -> DataError:
        character = f"character {self._dropped + self._at}"
        return DataError(self.file, f"{self.record}, {character}" if self.record else character, problem)


Kind = type | tuple[type, ...]
_ATTRIBUTES = ("shape", "size", "color", "material")
_KINDS: dict[Kind, str] = {
    str: "a text",
    int: "an integer",
    list: "a list",
    dict: "an object",
    (int, float): "a number",
}
_REQUIRED = object()


class RecordError(UserError, ValueError):
    """What is wrong with a record; the caller adds the file and the record's number."""


def parse_questions(
    records: Iterable[dict[str, Any]], file: str, world: WorldSpec = CLEVR, *, text_only: bool = False
) -> Iterator[Question]:
    """Check every record of a questions file.

    Args:
        records: what the JSON holds, in its order.
        file: how messages name the file.
        world: what they are about.
        text_only: the questions belong to no image; ``image_index`` is then -1 and the file name empty.
    Raises:
        DataError: naming the file and the number of the record in it.
    """
    for number, record in enumerate(records):
        try:
            yield parse_question(record, world, text_only=text_only)
        except ValueError as error:
            raise DataError(file, f"record {number} of 'questions'", str(error)) from None


def parse_scenes(records: Iterable[dict[str, Any]], file: str, world: WorldSpec = CLEVR) -> Iterator[Scene]:
    """Check every record of a scenes file; raises as :func:`parse_questions`."""
    for number, record in enumerate(records):
        try:
            yield parse_scene(record, world)
        except ValueError as error:
            raise DataError(file, f"record {number} of 'scenes'", str(error)) from None


def parse_question(record: Mapping[str, Any], world: WorldSpec = CLEVR, *, text_only: bool = False) -> Question:
    """Check one question: its keys, their types, the answer and the program.

    Answers that are booleans or numbers become CLEVR's texts; an image index that is missing is taken from
    the file name; keys that CLEVR does not have are not looked at.

    Raises:
        RecordError: a key is missing, of the wrong type, or holds what CLEVR does not know.
    """
    text = _get(record, "question", str)
    if not text.strip():
        raise RecordError("the question is empty; expected its text")
    filename, index = ("", -1) if text_only else _image(record)
    return Question(
        question=text,
        image_index=index,
        image_filename=filename,
        split=_get(record, "split", str, ""),
        question_index=_index(record, "question_index", 0),
        answer=_answer(record.get("answer"), world),
        program=_program(record, world),
        question_family_index=_family(record),
    )


def parse_scene(record: Mapping[str, Any], world: WorldSpec = CLEVR) -> Scene:
    """Check one scene: its keys, their types, the attributes of its objects and its relationships.

    Raises:
        RecordError: a key is missing, of the wrong type, or holds what CLEVR does not know.
    """
    filename, index = _image(record)
    objects = _get(record, "objects", list)
    for number, thing in enumerate(objects):
        _check_object(thing, f"object {number}", world)
    directions = _get(record, "directions", dict, {})
    for name, vector in directions.items():
        _check_vector(vector, f"direction {name!r}")
    _check_relationships(_get(record, "relationships", dict), len(objects))
    split = _get(record, "split", str, "")
    changed = {"image_filename": filename, "image_index": index, "split": split, "directions": directions}
    return Scene.from_json({**record, **changed}, world)


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


def _image(record: Mapping[str, Any]) -> tuple[str, int]:
    """File name and index of the image; an index that is missing is taken from the name."""
    filename = _get(record, "image_filename", str)
    if not filename or "/" in filename or "\\" in filename:
        raise RecordError(f"'image_filename' must be the name of an image without folders, got {filename!r}")
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


def _answer(answer: Any, world: WorldSpec) -> str | None:
    if answer is None:
        return None
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if not isinstance(answer, str | int):
        raise RecordError(f"'answer' must be a text, an integer or a boolean, got {shown(answer)}")
    text = str(answer).strip().lower()
    known = answers_of(world)
    if text not in known:
        raise RecordError(f"unknown answer {shown(answer)}; expected one of {', '.join(known)}")
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


def _program(record: Mapping[str, Any], world: WorldSpec) -> tuple[Node, ...] | None:
    nodes = _get(record, "program", list, None)
    if nodes is None:
        return None
    program = tuple(_read_node(node, number) for number, node in enumerate(nodes))
    try:
        check_program(program, world)
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


def _check_object(thing: Any, where: str, world: WorldSpec) -> None:
    if not isinstance(thing, dict):
        raise RecordError(f"{where} must be an object, got {thing!r:.60}")
    try:
        for attribute in _ATTRIBUTES:
            value, known = _get(thing, attribute, str), world.values[attribute]
            if value not in known:
                raise RecordError(f"unknown {attribute} {shown(value)}; expected one of {', '.join(known)}")
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
