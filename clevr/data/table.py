"""All questions of a split in a few arrays: 700,000 of them take 80 MB and load in a moment.

Arrays are kept beside a data set, so that they need not be made again while what they came from stays the same.
"""

from __future__ import annotations

import zipfile
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from clevr.questions.programs import QUESTION_TYPES
from clevr.questions.question import Question
from clevr.questions.tokens import SPECIAL_TOKENS, answers_of
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.run.files import write_atomically

FORMAT = 1
"""Raised when the arrays change their meaning; older caches are then made again."""

_TYPE_NUMBERS = {name: number for number, name in enumerate(QUESTION_TYPES)}


class Texts(Sequence[str]):
    """Texts in one array, which loader processes share where a list of texts would be copied.

    Args:
        data: the UTF-8 bytes of all texts behind each other, uint8 ``(B,)``.
        ends: where each text ends, int64 ``(N,)``.
    """

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.data = data
        self.ends = ends

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Texts:
        """Pack texts; an iterator is read once."""
        data = bytearray()
        ends = []
        for text in texts:
            data += text.encode()
            ends.append(len(data))
        return cls(np.frombuffer(bytes(data), np.uint8), np.asarray(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        start = self.ends[number - 1] if number else 0
        return bytes(self.data[start : self.ends[number]]).decode()


@dataclass(frozen=True)
class QuestionTable:
    """The questions of a split as columns of ``N`` entries; a number is -1 where the file says nothing."""

    texts: Texts
    """The questions as written."""
    images: Texts
    """File names of the ``M`` images that are asked about, in the order they first occur."""
    image: NDArray[np.int32]
    """Position of each question's image in ``images``."""
    image_index: NDArray[np.int64]
    """CLEVR's number of each question's image."""
    question_index: NDArray[np.int64]
    """CLEVR's number of each question."""
    answer: NDArray[np.int8]
    """Position in :attr:`answers`."""
    type: NDArray[np.int8]
    """Position in :data:`clevr.questions.QUESTION_TYPES`; -1 without a program."""
    family: NDArray[np.int16]
    """Number of the question's family, 0 to 89."""
    program_length: NDArray[np.int16]
    """Nodes of the program; -1 without one."""
    num_hops: NDArray[np.int8]
    """Spatial relations of the program; -1 without one."""
    world: WorldSpec = CLEVR
    """What the questions are about."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer tokens, four special ones first; of CLEVR :data:`clevr.questions.tokens.ANSWERS`."""
        return (*SPECIAL_TOKENS, *answers_of(self.world))

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def from_questions(cls, questions: Iterable[Question], world: WorldSpec = CLEVR) -> QuestionTable:
        """Collect questions about a world, which are read once and not kept."""
        images: dict[str, int] = {}
        rows = array("q")
        known = {answer: number for number, answer in enumerate(answers_of(world), start=len(SPECIAL_TOKENS))}

        def texts() -> Iterable[str]:
            for question in questions:
                position = images.setdefault(question.image_filename, len(images))
                rows.extend((position, question.image_index, *_numbers(question, known)))
                yield question.question

        packed = Texts.pack(texts())
        columns = np.frombuffer(rows, np.int64).reshape(-1, 8).T
        kinds = (np.int32, np.int64, np.int64, np.int8, np.int8, np.int16, np.int16, np.int8)
        names = (field.name for field in fields(cls) if field.name not in ("texts", "images", "world"))
        arrays: dict[str, Any] = {
            name: column.astype(kind) for name, column, kind in zip(names, columns, kinds, strict=True)
        }
        return cls(packed, Texts.pack(images), **arrays, world=world)

    def select(self, numbers: NDArray[np.integer[Any]]) -> QuestionTable:
        """Some of the questions, in the order asked for; the list of images stays whole."""
        columns = {
            field.name: getattr(self, field.name)[numbers]
            for field in fields(self)
            if field.name not in ("texts", "images", "world")
        }
        return replace(self, texts=Texts.pack(self.texts[int(number)] for number in numbers), **columns)

    def save(self, path: Path, signature: str) -> None:
        """Write the table; the file is there whole or not at all.

        Args:
            path: where to; its folder is made.
            signature: what the questions were read from, for :meth:`load`.
        """
        arrays: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Texts):
                arrays |= {f"{field.name}.data": value.data, f"{field.name}.ends": value.ends}
            elif field.name != "world":
                arrays[field.name] = value
        save_arrays(path, _full_signature(signature, self.world), arrays)

    @classmethod
    def load(cls, path: Path, signature: str, world: WorldSpec = CLEVR) -> QuestionTable | None:
        """Read a table; None if there is none for this signature and world, or only a damaged one."""
        arrays = load_arrays(path, _full_signature(signature, world))
        if arrays is None:
            return None
        try:
            columns: dict[str, Any] = {
                field.name: Texts(arrays[f"{field.name}.data"], arrays[f"{field.name}.ends"])
                if f"{field.name}.data" in arrays
                else arrays[field.name]
                for field in fields(cls)
                if field.name != "world"
            }
        except KeyError:
            return None
        return cls(**columns, world=world)


def _full_signature(signature: str, world: WorldSpec) -> str:
    answers = "" if world.values == CLEVR.values else f" {' '.join(answers_of(world))}"
    return f"{FORMAT} {signature}{answers}"


def _numbers(question: Question, known: Mapping[str, int]) -> tuple[int, ...]:
    """The columns behind the image, in the table's order."""
    program = question.program
    return (
        question.question_index,
        -1 if question.answer is None else known[question.answer],
        -1 if question.type is None else _TYPE_NUMBERS[question.type],
        -1 if question.question_family_index is None else question.question_family_index,
        -1 if program is None else len(program),
        -1 if question.num_hops is None else question.num_hops,
    )


def save_arrays(path: Path, signature: str, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> None:
    """Write named arrays; the file is there whole or not at all.

    Args:
        path: where to; its folder is made.
        signature: what the arrays were made from, for :func:`load_arrays`.
        arrays: by name.
        compressed: take less room and more time.
    """
    save = np.savez_compressed if compressed else np.savez

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a path, NumPy would add an ending to it
            save(file, allow_pickle=False, signature=np.asarray(signature), **arrays)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def load_arrays(path: Path, signature: str) -> dict[str, NDArray[Any]] | None:
    """Read named arrays; None if there are none of this signature, or only a damaged file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["signature"]) != signature:
                return None
            return {name: arrays[name] for name in arrays.files if name != "signature"}
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
