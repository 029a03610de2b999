from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.data.errors import DataError
from clevr.data.records import RecordError, parse_question, parse_questions, parse_scene, parse_scenes
from tests.clevr.data.builders import (
    a_node,
    a_program,
    a_question,
    a_scene,
    an_object,
    fine_or_refused,
    without,
)


def test_question_keeps_what_the_file_says() -> None:
    question = parse_question(a_question(3))
    assert json.loads(json.dumps(question.to_json())) == a_question(3)


def test_scene_keeps_what_the_file_says() -> None:
    record = a_scene(3, note="kept")
    assert json.loads(json.dumps(parse_scene(record).to_json())) == record


@pytest.mark.parametrize(
    ("written", "text"),
    [(True, "yes"), (False, "no"), (0, "0"), (10, "10"), ("Yes", "yes"), ("large ", "large")],
)
def test_answers_become_clevrs_texts(written: Any, text: str) -> None:
    assert parse_question(a_question(answer=written)).answer == text


def test_a_test_split_has_neither_answer_nor_program() -> None:
    question = parse_question(without(a_question(), "answer", "program", "question_family_index"))
    assert question.answer is question.program is question.question_family_index is question.type is None


def test_keys_of_the_public_generator() -> None:
    nodes = [
        {"type": "scene", "inputs": [], "_output": [0, 1]},
        {"type": "filter_color", "inputs": [0], "side_inputs": ["red"], "_output": [0]},
        {"type": "count", "inputs": [1], "_output": 1},
    ]
    wild = a_question(program=nodes, image="CLEVR_val_000000", template_filename="zero_hop.json")
    question = parse_question({**wild, "question_family_index": 0})
    assert question == parse_question(a_question())


def test_families_of_other_templates_have_no_number() -> None:
    assert parse_question(a_question(template_filename="mine.json")).question_family_index is None


def test_image_index_comes_from_the_file_name() -> None:
    assert parse_question(without(a_question(12), "image_index")).image_index == 12
    with pytest.raises(RecordError, match=r"no 'image_index', and no number in 'x\.png' to use instead"):
        parse_question(without(a_question(image_filename="x.png"), "image_index"))


def test_equal_nodes_are_one_object() -> None:
    first, second = parse_question(a_question(0)).program, parse_question(a_question(1)).program
    assert first is not None
    assert second is not None
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_questions_without_pictures() -> None:
    record = {"question": "Is it red?", "answer": "no", "question_type": "exist", "program_depth": 3}
    with pytest.raises(RecordError, match="no 'image_filename'"):
        parse_question(record)
    question = parse_question(record, text_only=True)
    assert (question.image_index, question.image_filename) == (-1, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": None}, "no 'question'; the record has split, image_index"),
        ({"question": 3}, "'question' must be a text, got 3"),
        ({"question": " "}, "the question is empty; expected its text"),
        (
            {"question": "\ud800"},
            r"'question' holds half of a surrogate pair, which is no character: '\\ud800'",
        ),
        ({"image_filename": "../a_0.png"}, "must be the name of an image without folders, got '../a_0.png'"),
        ({"image_index": "3"}, "'image_index' must be an integer, got '3'"),
        ({"image_index": True}, "'image_index' must be an integer, got True"),
        ({"image_index": -1}, "'image_index' must be from 0 to 2147483647, got -1"),
        ({"question_family_index": 10**9}, "'question_family_index' must be from 0 to 32767, got 1000000000"),
        ({"question_index": 10**400}, "'question_index' must be from 0 to 2147483647, got 1000"),
        ({"answer": "pink"}, "unknown answer 'pink'; expected one of 0, 1, 10, 2"),
        ({"answer": 11}, "unknown answer 11; expected one of"),
        ({"answer": 1.5}, "'answer' must be a text, an integer or a boolean, got 1.5"),
        ({"split": 1}, "'split' must be a text, got 1"),
        ({"program": {}}, r"'program' must be a list, got \{\}"),
        ({"program": []}, "the program is empty"),
        ({"program": [1]}, "node 0 of the program must be an object, got 1"),
        ({"program": [{"inputs": []}]}, "node 0 of the program must name its 'function'"),
        ({"program": [a_node("scene", []), a_node("paint", [0])]}, "node 1: unknown function 'paint'"),
        (
            {"program": [a_node("scene", []), a_node("count", [5])]},
            "node 1 .count.: input 5 is not the number",
        ),
        (
            {"program": [{"function": "scene", "inputs": 0}]},
            "node 0 .scene.: 'inputs' must be a list of integers",
        ),
        ({"program": [{"function": "scene", "inputs": [True]}]}, "'inputs' must be a list of integers"),
        ({"program": [{"function": "scene", "value_inputs": [1]}]}, "'value_inputs' must be a list of texts"),
        ({"program": a_program()[:2]}, "the last node must give an answer, it gives set"),
        ({"program": [a_node("scene", []), a_node("filter_color", [0], "pink")]}, "unknown value 'pink'"),
    ],
)
def test_what_is_wrong_with_a_question(changes: dict[str, Any], message: str) -> None:
    record = a_question(**changes)
    with pytest.raises(DataError, match=f"^some.json, record 1 of 'questions': .*{message}"):
        list(parse_questions([a_question(), record], "some.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objects": None}, "no 'objects'; the record has split"),
        ({"objects": {}}, "'objects' must be a list"),
        ({"objects": [3]}, "object 0 must be an object, got 3"),
        ({"objects": [an_object(color="pink")]}, "object 0: unknown color 'pink'; expected one of gray, red"),
        ({"objects": [without(an_object(), "shape")]}, "object 0: no 'shape'; the record has size"),
        (
            {"objects": [an_object(**{"3d_coords": [0, 1]})]},
            r"object 0: '3d_coords' must be a list of 3 numbers",
        ),
        ({"objects": [an_object(pixel_coords=[0, 1, "2"])]}, r"'pixel_coords' must be a list of 3 numbers"),
        ({"objects": [an_object(rotation="round")]}, "object 0: 'rotation' must be a number, got 'round'"),
        ({"objects": [an_object(rotation=float("inf"))]}, "object 0: 'rotation' must be a finite number, got inf"),
        ({"directions": {"left": 3}}, "direction 'left' must be a list of 3 numbers, got 3"),
        ({"relationships": {"left": [[], []]}}, "no 'right'; the record has left"),
        ({"objects": [an_object()]}, "'relationships' of 'left': 2 lists for 1 objects"),
        (
            {"relationships": {"left": [[2], []]}},
            r"of 'left', object 0: expected numbers of others, 0 to 1, got \[2\]",
        ),
        ({"relationships": {"left": [[0], []]}}, r"of 'left', object 0: expected numbers of others"),
        (
            {"objects": [an_object(pixel_coords=[0, 1, float("nan")])]},
            r"must be a list of 3 numbers, got \[0, 1, nan",
        ),
        ({"relationships": {**a_scene()["relationships"], "above": 3}}, "'above' must be a list, got 3"),
        ({"image_filename": 0}, "'image_filename' must be a text, got 0"),
    ],
)
def test_what_is_wrong_with_a_scene(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^some.json, record 1 of 'scenes': .*{message}"):
        list(parse_scenes([a_scene(), a_scene(**changes)], "some.json"))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["scene", "count", "left", "red", "cube", "yes", "\udc00"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["function", "inputs", "type", "left", "3d_coords", "color"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def _spoil(data: st.DataObject, value: Any) -> Any:
    """Replace one value, at any depth, by anything, or drop it."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        rest = without(value, key)
        return rest if data.draw(st.integers(0, 3)) == 0 else {**rest, key: _spoil(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], _spoil(data, value[place]), *value[place + 1 :]]
    return data.draw(ANYTHING)


@settings(deadline=None)
@given(st.data())
def test_a_spoiled_question_is_read_or_refused_by_name(data: st.DataObject) -> None:
    record = _spoil(data, a_question())
    record = record if isinstance(record, dict) else {"question": record}
    with fine_or_refused("some.json, record 0 of 'questions': "):
        (question,) = parse_questions([record], "some.json")
        assert parse_question(json.loads(json.dumps(question.to_json()))) == question


@settings(deadline=None)
@given(st.data())
def test_a_spoiled_scene_is_read_or_refused_by_name(data: st.DataObject) -> None:
    record = _spoil(data, a_scene())
    record = record if isinstance(record, dict) else {"objects": record}
    with fine_or_refused("some.json, record 0 of 'scenes': "):
        (scene,) = parse_scenes([record], "some.json")
        assert len(scene.objects) == len(record["objects"])
