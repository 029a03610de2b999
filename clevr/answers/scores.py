"""How right some answers are: overall and by kind of question, with intervals, and what is taken for what.

The kinds of questions whose file has no programs are inferred from their texts (:func:`infer_types`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.data.table import QuestionTable
from clevr.questions.families import ALL_FAMILIES, CLOSURE_GROUPS, Family
from clevr.questions.parser import parse
from clevr.questions.programs import QUESTION_TYPES, num_hops, question_type
from clevr.questions.tokens import SPECIAL_TOKENS, answers_of, tokenize
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.errors import InvalidValueError, shown

_Z = 1.959963984540054
"""The standard normal's 97.5 % point."""


@dataclass(frozen=True)
class Score:
    """Some questions, and how many of them were answered rightly."""

    right: int
    count: int

    def __add__(self, other: Score) -> Score:
        return Score(self.right + other.right, self.count + other.count)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1; NaN of no questions."""
        return self.right / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % interval of Wilson (1927), which takes questions as independent.

        It stays within 0 to 1, and has a width where every answer is right.
        """
        n, z2 = self.count, _Z * _Z
        if not n:
            return 0.0, 1.0
        centre = (self.right + z2 / 2) / (n + z2)
        half = _Z * math.sqrt(self.right * (n - self.right) / n + z2 / 4) / (n + z2)
        return max(0.0, centre - half), min(1.0, centre + half)

    def to_json(self) -> dict[str, Any]:
        """Counts, accuracy and interval."""
        return {"right": self.right, "count": self.count, "accuracy": self.accuracy, "interval": list(self.interval)}


Scores = Mapping[str, Score]
"""By the name of a kind of question; no kind is empty."""


@dataclass(frozen=True)
class Evaluation:
    """The answers to the questions of a split, judged."""

    overall: Score
    """All questions that have an answer."""
    by: Mapping[str, Scores]
    """By ``type``, ``function`` (the last one of the program), ``hops``, ``words``, ``family`` and ``objects`` (in
    the scene); a way of sorting that the data do not support is missing."""
    majority: Scores
    """What the most common answer of each function gives, overall and by type; empty without known functions."""
    off_by_one: Score
    """Of the wrong numbers, those that are one too many or too few; no number is wrong: no questions."""
    confusion: NDArray[np.int64]
    """How often the answer in row ``i`` was taken for that in column ``j``, by :attr:`answers`; of CLEVR
    ``(28, 28)``."""
    world: WorldSpec = CLEVR
    """What the questions were about."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers of the world, in the order of the confusions."""
        return answers_of(self.world)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "overall": self.overall.to_json(),
            "by": {name: _plain(scores) for name, scores in self.by.items()},
            "most_common_answer": _plain(self.majority),
            "wrong_numbers_off_by_one": {"right": self.off_by_one.right, "count": self.off_by_one.count},
            "confusion": {"answers": list(self.answers), "counts": self.confusion.tolist()},
        }


def evaluate(
    table: QuestionTable,
    predicted: NDArray[np.integer[Any]],
    *,
    num_objects: Mapping[str, int] | None = None,
    known: QuestionTable | None = None,
) -> Evaluation:
    """Judge answers.

    Args:
        table: the questions, with their answers; those without are left out.
        predicted: position of each given answer among those of the table's world, ``(N,)``.
        num_objects: objects in the scene of each image, by its file name.
        known: questions to take the most common answers from; the same ones by default.
    Raises:
        ValueError: the number of answers is not that of the questions, or no question has an answer.
    """
    if len(predicted) != len(table):
        raise InvalidValueError(f"{len(predicted)} answers to {len(table)} questions; expected one for each")
    answers = table.answer.astype(np.int64) - len(SPECIAL_TOKENS)
    asked = answers >= 0
    if not asked.any():
        raise InvalidValueError("no question has an answer to compare with; a test split can only be predicted")
    right = answers == predicted
    kinds = {"type": _types(table), "function": _functions(table), "hops": _numbers(table.num_hops)}
    kinds |= {"words": _numbers(np.array([len(tokenize(text)) for text in table.texts]))}
    kinds |= {"family": _families(table), "objects": _objects(table, num_objects)}
    by = {name: score_by(right[asked], names[asked]) for name, names in kinds.items()}
    count = len(answers_of(table.world))
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (answers[asked], np.asarray(predicted)[asked]), 1)
    return Evaluation(
        overall=Score(int(right[asked].sum()), int(asked.sum())),
        by={name: scores for name, scores in by.items() if scores},
        majority=_majority(table if known is None else known, table),
        off_by_one=_off_by_one(confusion, answers_of(table.world)),
        confusion=confusion,
        world=table.world,
    )


def infer_types(table: QuestionTable) -> QuestionTable:
    """A table with type, family, hops and length of program where the file says nothing and the text leaves no doubt.

    Questions in CLEVR's English are read back into their meaning. One that has several keeps only what is the same in
    all of them; any other English is left as it is.

    Args:
        table: questions, with programs or without.
    """
    columns = {name: getattr(table, name).copy() for name in ("type", "family", "num_hops", "program_length")}
    for number in np.flatnonzero((table.type < 0) | (table.family < 0)):
        meanings = parse(table.texts[int(number)], table.world)
        programs = [meaning.program() for meaning in meanings]
        found = {
            "type": {QUESTION_TYPES.index(question_type(program)) for program in programs},
            "family": {family.index for meaning in meanings for family in meaning.families()},
            "num_hops": {num_hops(program) for program in programs},
            "program_length": {len(program) for program in programs},
        }
        for name, values in found.items():
            if len(values) == 1 and columns[name][number] < 0:
                columns[name][number] = values.pop()
    return dataclasses.replace(table, **columns)


def score_by(right: NDArray[np.bool_], names: NDArray[np.str_]) -> dict[str, Score]:
    """Scores by the name of each question's kind; questions with an empty name count nowhere.

    Numbers and names that begin with one are sorted by it, question types as CLEVR's papers list them.
    """
    found = {str(name): Score(int(right[names == name].sum()), int((names == name).sum())) for name in np.unique(names)}
    return {name: found[name] for name in sorted(found, key=_order) if name}


def total(scores: Iterable[Score]) -> Score:
    """All of them together."""
    return reduce(Score.__add__, scores, Score(0, 0))


def most_common_answers(known: QuestionTable) -> dict[str, int]:
    """The answer that each function gives most often, as its position among those of the world."""
    functions, answers = _functions(known), known.answer.astype(np.int64) - len(SPECIAL_TOKENS)
    usable = (functions != "") & (answers >= 0)
    return {
        str(name): int(np.bincount(answers[usable & (functions == name)]).argmax())
        for name in np.unique(functions[usable])
    }


def _majority(known: QuestionTable, table: QuestionTable) -> dict[str, Score]:
    best = most_common_answers(known)
    functions = _functions(table)
    asked = (functions != "") & (table.answer >= len(SPECIAL_TOKENS))
    if not best or not asked.any():
        return {}
    given = np.array([best.get(name, -1) for name in functions])
    right = given == table.answer.astype(np.int64) - len(SPECIAL_TOKENS)
    by_type = score_by(right[asked], _types(table)[asked])
    return {"overall": total(by_type.values()), **by_type}


def _off_by_one(confusion: NDArray[np.int64], answers: Sequence[str]) -> Score:
    """Mistakes between neighbouring numbers among those between any two numbers."""
    places = {int(word): number for number, word in enumerate(answers) if word.isdigit()}
    by_distance = [
        (abs(one - other), int(confusion[row, column]))
        for one, row in places.items()
        for other, column in places.items()
        if one != other
    ]
    return Score(sum(n for distance, n in by_distance if distance == 1), sum(n for _, n in by_distance))


def _types(table: QuestionTable) -> NDArray[np.str_]:
    return _named(table.type, QUESTION_TYPES)


def _functions(table: QuestionTable) -> NDArray[np.str_]:
    return _named(table.family, [family.asks for family in ALL_FAMILIES])


def _families(table: QuestionTable) -> NDArray[np.str_]:
    return _named(table.family, [_family_name(family) for family in ALL_FAMILIES])


def _family_name(family: Family) -> str:
    """One name for each of CLEVR's families; CLOSURE's are told by their groups, as their authors do."""
    if family.group in CLOSURE_GROUPS:
        return family.group
    name = f"{family.index} {family.group} {family.asks} {', '.join(family.about)}"
    return f"{name} ({family.attribute})" if family.attribute else name


def _objects(table: QuestionTable, num_objects: Mapping[str, int] | None) -> NDArray[np.str_]:
    if num_objects is None:
        return np.full(len(table), "")
    of_image = np.array([num_objects.get(name, -1) for name in table.images])
    return _numbers(of_image[table.image])


def _named(numbers: NDArray[Any], names: Iterable[str]) -> NDArray[np.str_]:
    """The name of each number; empty where there is none."""
    known = np.array([*names, ""])
    return known[np.where((numbers >= 0) & (numbers < len(known) - 1), numbers, len(known) - 1)]


def _numbers(values: NDArray[Any]) -> NDArray[np.str_]:
    return np.where(values >= 0, values.astype(str), "")


def _order(name: str) -> tuple[int, float, str]:
    if name in QUESTION_TYPES:
        return QUESTION_TYPES.index(name), 0, name
    first = name.partition(" ")[0]
    return 0, int(first) if first.isdigit() else math.inf, name


def _plain(scores: Scores) -> dict[str, Any]:
    return {name: score.to_json() for name, score in scores.items()}


def answer_numbers(words: Iterable[str], world: WorldSpec = CLEVR) -> NDArray[np.int64]:
    """Answers as positions among those of a world.

    Raises:
        ValueError: a word is no answer there.
    """
    positions = {word: number for number, word in enumerate(answers_of(world))}
    words = list(words)
    unknown = next((word for word in words if word not in positions), None)
    if unknown is not None:
        name = "CLEVR" if world == CLEVR else f"the world {world.name!r}"
        raise InvalidValueError(f"{shown(unknown)} is no answer of {name}; expected one of {', '.join(positions)}")
    return np.array([positions[word] for word in words], np.int64)
