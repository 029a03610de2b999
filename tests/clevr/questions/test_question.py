from __future__ import annotations

from typing import Any

import pytest

from clevr.questions import Node, ProgramError, Question

NODES = [
    {"function": "scene", "inputs": [], "value_inputs": []},
    {"function": "count", "inputs": [0], "value_inputs": []},
]
V1: dict[str, Any] = {
    "split": "val",
    "image_index": 4,
    "image_filename": "CLEVR_val_000004.png",
    "question_index": 40,
    "question": "How many things are there?",
    "answer": "5",
    "question_family_index": 84,
    "program": NODES,
}


def test_clevr_v1_record_returns_as_it_came() -> None:
    question = Question.from_json(V1)
    assert question.to_json() == V1
    assert question.program == (Node("scene"), Node("count", (0,)))
    assert question.type == "count"
    assert question.num_hops == 0


def test_test_split_has_neither_answer_nor_program() -> None:
    record = {key: V1[key] for key in ("split", "image_index", "image_filename", "question_index", "question")}
    question = Question.from_json(record)
    assert question.answer is question.program is question.question_family_index is None
    assert question.type is question.num_hops is None
    assert question.to_json() == record


@pytest.mark.parametrize(("raw", "text"), [(True, "yes"), (False, "no"), (3, "3"), ("red", "red")])
def test_answers_of_the_public_generator(raw: object, text: str) -> None:
    assert Question.from_json({**V1, "answer": raw}).answer == text


def test_family_counted_within_a_template_file() -> None:
    record = {**V1, "template_filename": "zero_hop.json", "question_family_index": 0}
    assert Question.from_json(record).question_family_index == 84


def test_missing_question() -> None:
    with pytest.raises(KeyError, match="question"):
        Question.from_json({"image_index": 0, "image_filename": "a.png"})


def test_node_without_function() -> None:
    with pytest.raises(ProgramError, match="must name its 'function'"):
        Question.from_json({**V1, "program": [{"inputs": []}]})
