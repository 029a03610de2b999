from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clevr.answers.scores import Score, answer_numbers, evaluate, most_common_answers, score_by, total
from clevr.data.table import QuestionTable
from clevr.questions.programs import Node
from clevr.questions.question import Question
from clevr.questions.tokens import ANSWER_WORDS

COUNT = (Node("scene"), Node("count", (0,)))
COLOR = (Node("scene"), Node("unique", (0,)), Node("query_color", (1,)))
HOP = (Node("scene"), Node("unique", (0,)), Node("relate", (1,), ("left",)), Node("exist", (2,)))


def a_question(**changes: Any) -> Question:
    values: dict[str, Any] = {"question": "How many red things are there?", "image_index": 0, "image_filename": "a.png"}
    values |= {"answer": "1", "program": COUNT, "question_family_index": 84}
    return Question(**{**values, **changes})


def a_table() -> QuestionTable:
    """Two questions about numbers, two about colours, one that follows a relation, one without an answer."""
    color: dict[str, Any] = {"question": "What color is it", "program": COLOR, "question_family_index": 88}
    hop: dict[str, Any] = {"question": "Is there one left of the cube?", "program": HOP, "question_family_index": 73}
    return QuestionTable.from_questions(
        [
            a_question(answer="1"),
            a_question(answer="10", image_filename="b.png"),
            a_question(answer="red", **color),
            a_question(answer="red", **color, image_filename="b.png"),
            a_question(answer="yes", **hop),
            a_question(answer=None),
        ]
    )


GIVEN = answer_numbers(["1", "3", "red", "blue", "yes", "no"])
OBJECTS = {"a.png": 4, "b.png": 9}


def test_accuracy_by_every_kind() -> None:
    found = evaluate(a_table(), GIVEN, num_objects=OBJECTS)
    assert found.overall == Score(3, 5)
    assert found.by == {
        "type": {"count": Score(1, 2), "exist": Score(1, 1), "query": Score(1, 2)},
        "function": {"count": Score(1, 2), "exist": Score(1, 1), "query_color": Score(1, 2)},
        "hops": {"0": Score(2, 4), "1": Score(1, 1)},
        "words": {"4": Score(1, 2), "6": Score(1, 2), "7": Score(1, 1)},
        "family": {
            "73 one_hop exist rx": Score(1, 1),
            "84 zero_hop count x": Score(1, 2),
            "88 zero_hop query_color x": Score(1, 2),
        },
        "objects": {"4": Score(3, 3), "9": Score(0, 2)},
    }
    assert list(found.by["type"]) == ["count", "exist", "query"]


def test_what_is_taken_for_what() -> None:
    confusion = evaluate(a_table(), GIVEN).confusion
    pairs = {
        (ANSWER_WORDS[row], ANSWER_WORDS[column]): int(confusion[row, column])
        for row, column in zip(*np.nonzero(confusion), strict=True)
    }
    assert pairs == {("1", "1"): 1, ("10", "3"): 1, ("red", "red"): 1, ("red", "blue"): 1, ("yes", "yes"): 1}


def test_wrong_numbers_off_by_one() -> None:
    table = QuestionTable.from_questions([a_question(answer=answer) for answer in ("1", "9", "10", "3", "2", "5")])
    assert evaluate(table, answer_numbers(["2", "10", "9", "5", "red", "5"])).off_by_one == Score(3, 4)
    assert evaluate(table, answer_numbers(["1", "9", "10", "3", "2", "5"])).off_by_one == Score(0, 0)


def test_most_common_answers() -> None:
    table = QuestionTable.from_questions(
        [a_question(answer=answer) for answer in ("2", "2", "0")]
        + [a_question(answer="blue", program=COLOR, question_family_index=88)]
    )
    assert most_common_answers(table) == {
        "count": ANSWER_WORDS.index("2"),
        "query_color": ANSWER_WORDS.index("blue"),
    }
    itself = evaluate(table, answer_numbers(["0"] * 4)).majority
    assert itself == {"overall": Score(3, 4), "count": Score(2, 3), "query": Score(1, 1)}
    elsewhere = evaluate(a_table(), GIVEN, known=table).majority
    assert elsewhere == {"overall": Score(0, 5), "count": Score(0, 2), "exist": Score(0, 1), "query": Score(0, 2)}


def test_questions_of_people_have_no_kinds() -> None:
    table = QuestionTable.from_questions([a_question(program=None, question_family_index=None)])
    found = evaluate(table, answer_numbers(["1"]))
    assert set(found.by) == {"words"}
    assert found.majority == {}


def test_everything_is_json() -> None:
    content = json.loads(json.dumps(evaluate(a_table(), GIVEN, num_objects=OBJECTS).to_json(), allow_nan=False))
    assert content["overall"] == {
        "right": 3,
        "count": 5,
        "accuracy": 0.6,
        "interval": [pytest.approx(0.2307, abs=1e-4), pytest.approx(0.8824, abs=1e-4)],
    }
    assert content["by"]["hops"]["1"]["count"] == 1
    assert np.sum(content["confusion"]["counts"]) == 5


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_of_newcombe(right: int, count: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 1998, table I, method 3."""
    assert Score(right, count).interval == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 10**6), st.data())
def test_intervals_hold_the_accuracy(count: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, count))
    low, high = Score(right, count).interval
    assert 0 <= low <= right / count + 1e-12
    assert right / count - 1e-12 <= high <= 1
    mirrored = Score(count - right, count).interval
    assert (1 - high, 1 - low) == (pytest.approx(mirrored[0], abs=1e-9), pytest.approx(mirrored[1], abs=1e-9))


def test_no_questions_say_nothing() -> None:
    assert Score(0, 0).interval == (0, 1)
    assert math.isnan(Score(0, 0).accuracy)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "10", "9", "a"])), min_size=1))
def test_groups_add_up(questions: list[tuple[bool, str]]) -> None:
    right, names = (np.array(column) for column in zip(*questions, strict=True))
    found = score_by(right, names)
    named = names != ""
    assert total(found.values()) == Score(int(right[named].sum()), int(named.sum()))
    assert list(found) == [name for name in ("9", "10", "a") if name in names]


def test_answers_must_be_there_and_as_many() -> None:
    with pytest.raises(ValueError, match="1 answers to 6 questions; expected one for each"):
        evaluate(a_table(), GIVEN[:1])
    with pytest.raises(ValueError, match="no question has an answer to compare with"):
        evaluate(QuestionTable.from_questions([a_question(answer=None)]), GIVEN[:1])
    with pytest.raises(ValueError, match="'pink' is no answer of CLEVR; expected one of 0, 1, 10"):
        answer_numbers(["pink"])
