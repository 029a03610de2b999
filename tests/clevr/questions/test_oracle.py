"""The oracle itself must find fault with questions that are at fault."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference.clevr_questions_oracle import faults


def thing(color: str, shape: str) -> dict[str, str]:
    return {"color": color, "shape": shape, "size": "small", "material": "metal"}


SCENE: dict[str, Any] = {
    "objects": [thing("red", "cube"), thing("red", "sphere"), thing("blue", "sphere")],
    "relationships": {"left": [[], [0], [0, 1]]},
}


def program(*steps: str) -> list[dict[str, Any]]:
    """Steps such as ``"filter_color 0 red"``: function, inputs, values."""
    nodes = []
    for step in steps:
        function, *rest = step.split()
        inputs = [int(word) for word in rest if word.isdigit()]
        nodes.append({"function": function, "inputs": inputs, "value_inputs": [w for w in rest if not w.isdigit()]})
    return nodes


BLUE = ("scene", "filter_color 0 blue", "unique 1")


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        (("scene", "filter_color 0 red", "unique 1", "query_shape 2"), "node 2 has not one object"),
        ((*BLUE, "relate 2 left", "filter_shape 3 cube", "count 4"), "a relation is idle"),
        ((*BLUE, "query_color 2"), "query_color asks for what the description tells"),
        ((*BLUE, "same_color 2", "exist 3"), "same_color asks for what the description tells"),
        (
            (*BLUE, "same_shape 2", "filter_shape 3 sphere", "exist 4"),
            "an attribute is told of things that share it anyway",
        ),
        (("scene", "count 0", "scene", "count 2", "equal_integer 1 3"), "a set is compared with a part of it"),
        (
            ("scene", "count 0", "scene", "filter_color 2 red", "count 3", "less_than 1 4"),
            "a set is compared with a part of it",
        ),
        (
            (*BLUE, "relate 2 left", "filter_color 3 blue", "exist 4"),
            "the things are told like a landmark, of which there is no other",
        ),
        (
            (*BLUE, "relate 2 left", "filter_shape 3 sphere", "unique 4", "query_color 5"),
            "the landmark's value cannot be that of the things",
        ),
        (("scene", "scene", "union 0 1", "count 2"), "a union of a set with itself"),
        (
            ("scene", "filter_color 0 red", "scene", "union 1 2", "filter_color 3 red", "count 4"),
            "an attribute is told of the union and of its part",
        ),
        (
            (*BLUE, "query_shape 2", *BLUE, "query_shape 6", "equal_shape 3 7"),
            "an object is singled out twice",
        ),
    ],
)
def test_faults_are_found(steps: tuple[str, ...], fault: str) -> None:
    nodes = program(*steps)
    if len(steps) == 9:  # the second half reads itself
        for node in nodes[4:8]:
            node["inputs"] = [number + 4 if number < 4 else number for number in node["inputs"]]
    assert fault in faults(nodes, SCENE)


def test_a_question_without_fault() -> None:
    assert faults(program(*BLUE, "relate 2 left", "filter_shape 3 sphere", "unique 4", "query_size 5"), SCENE) == []
