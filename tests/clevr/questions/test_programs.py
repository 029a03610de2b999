from __future__ import annotations

import pytest

from clevr.questions import (
    CATALOGUE,
    Node,
    ProgramError,
    check_program,
    num_hops,
    program_tree,
    question_type,
)

SCENE = Node("scene")


def red(position: int) -> Node:
    return Node("filter_color", (position,), ("red",))


def test_catalogue_is_that_of_clevr() -> None:
    names = {"scene", "unique", "relate", "union", "intersect", "count", "exist"}
    names |= {"equal_integer", "less_than", "greater_than"}
    for verb in ("filter", "query", "same", "equal"):
        names |= {f"{verb}_{attribute}" for attribute in ("color", "shape", "size", "material")}
    assert set(CATALOGUE) == names
    assert CATALOGUE["filter_size"] == (("set",), "set", "size")
    assert CATALOGUE["equal_shape"] == (("shape", "shape"), "boolean", "")


@pytest.mark.parametrize(
    "record",
    [
        {"function": "filter_color", "inputs": [0], "value_inputs": ["red"]},
        {"type": "filter_color", "inputs": [0], "side_inputs": ["red"]},
        {"function": "filter_color", "inputs": [0], "value_inputs": ["red"], "_output": [1, 2]},
    ],
)
def test_node_reads_every_spelling(record: dict[str, object]) -> None:
    node = Node.from_json(record)
    assert node == red(0)
    assert node.to_json() == {"function": "filter_color", "inputs": [0], "value_inputs": ["red"]}


def test_node_without_side_inputs() -> None:
    assert Node.from_json({"type": "scene", "inputs": []}) == SCENE


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"inputs": [0]}, r"a program node must name its 'function' \(or 'type'\), got \{'inputs': \[0\]\}"),
        ({"function": "count", "inputs": 0}, r"the inputs of count must be lists, got 0 and \[\]"),
        ({"function": "relate", "inputs": [0], "value_inputs": "left"}, r"inputs of relate must be lists"),
    ],
)
def test_records_that_are_no_nodes(record: dict[str, object], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        Node.from_json(record)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ([], "the program is empty: expected at least one node"),
        ([SCENE, Node("weigh", (0,))], "node 1: unknown function 'weigh'; CLEVR has scene, unique, relate"),
        ([SCENE, Node("count", ())], r"node 1 \(count\): expected 1 inputs, got \[\]"),
        ([SCENE, Node("count", (1,))], r"node 1 \(count\): input 1 is not the number of an earlier node"),
        ([SCENE, Node("count", (-1,))], r"node 1 \(count\): input -1 is not the number"),
        ([SCENE, Node("count", ("0",))], r"node 1 \(count\): input '0' is not the number"),
        (
            [SCENE, Node("relate", (0,), ("left",))],
            r"node 1 \(relate\): expected object as input, but node 0 \(scene\) gives set",
        ),
        (
            [SCENE, Node("count", (0,), ("red",))],
            r"node 1 \(count\): expected no literal value, got \['red'\]",
        ),
        (
            [SCENE, Node("filter_color", (0,))],
            r"node 1 \(filter_color\): expected one literal value, got \[\]",
        ),
        (
            [SCENE, Node("filter_color", (0,), ("pink",))],
            r"node 1 \(filter_color\): unknown value 'pink'; expected one of \('gray', 'red'",
        ),
        ([SCENE, red(0)], r"node 1 \(filter_color\): the last node must give an answer, it gives set"),
    ],
)
def test_programs_at_fault(program: list[Node], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        check_program(program)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("count", "count"),
        ("exist", "exist"),
        ("equal_integer", "compare integer"),
        ("less_than", "compare integer"),
        ("greater_than", "compare integer"),
        ("query_material", "query"),
        ("equal_material", "compare attribute"),
    ],
)
def test_question_type(function: str, kind: str) -> None:
    assert question_type([SCENE, Node(function)]) == kind


@pytest.mark.parametrize("program", [[], [SCENE], [SCENE, red(0)], [Node("query_weight")]])
def test_no_question_type(program: list[Node]) -> None:
    with pytest.raises(ProgramError, match="a question ends in a function that gives an answer, got"):
        question_type(program)


def test_hops() -> None:
    program = [SCENE, red(0), Node("unique", (1,)), Node("relate", (2,), ("left",)), Node("count", (3,))]
    check_program(program)
    assert num_hops(program) == 1
    assert num_hops(program[:2]) == 0


def test_tree_is_free_of_the_order_of_nodes() -> None:
    one = [SCENE, red(0), SCENE, Node("union", (1, 2)), Node("count", (3,))]
    other = [SCENE, SCENE, red(1), Node("union", (2, 0)), Node("count", (3,))]
    swapped = [SCENE, SCENE, red(1), Node("union", (0, 2)), Node("count", (3,))]
    assert program_tree(one) == program_tree(other) != program_tree(swapped)
    assert program_tree(one)[0] == "count"
