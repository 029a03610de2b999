from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions.program_encoding import referents, trace_hops
from clevr.questions.programs import IllPosedError, Node, answer_text, execute
from clevr.questions.writer import write_questions
from clevr.world.scene import Scene, SceneObject
from tests.clevr.questions.scenes import random_scene, scenes


def last_step(function: str, sets: tuple[tuple[int, ...], ...], scene: Scene) -> bool | int | str:
    """What the last function gives for the objects that it looks at."""
    kind, _, attribute = function.partition("_")
    values = [[getattr(scene.objects[thing], attribute, None) for thing in objects] for objects in sets]
    steps = {
        "count": lambda: len(sets[0]),
        "exist": lambda: bool(sets[0]),
        "query": lambda: values[0][0],
        "equal": lambda: len(sets[0]) == len(sets[1]) if attribute == "integer" else values[0] == values[1],
        "less": lambda: len(sets[0]) < len(sets[1]),
        "greater": lambda: len(sets[0]) > len(sets[1]),
    }
    return steps[kind]()


@settings(max_examples=20)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_they_hold_the_answer(scene: Scene, seed: int) -> None:
    """The answer can be read off the referents by the last function alone."""
    for question in write_questions(scene, np.random.default_rng(seed), 20):
        assert question.program is not None
        sets = referents(question.program, scene)
        found = last_step(question.program[-1].function, sets, scene)
        assert answer_text(found) == question.answer == execute(question.program, scene)


def test_an_ill_posed_program() -> None:
    scene = random_scene(np.random.default_rng(0), 4)
    program = (Node("scene"), Node("unique", (0,)), Node("query_color", (1,)))
    with pytest.raises(IllPosedError, match=r"node 1 \(unique\): expected exactly one object, found 4"):
        referents(program, scene)


CHAIN = (
    Node("scene"),
    Node("filter_color", (0,), ("red",)),
    Node("unique", (1,)),
    Node("relate", (2,), ("left",)),
    Node("filter_size", (3,), ("small",)),
    Node("count", (4,)),
)


def row_of_objects() -> Scene:
    """From left to right: small blue, large blue, small green, red."""
    kinds = [("small", "blue"), ("large", "blue"), ("small", "green"), ("large", "red")]
    objects = tuple(
        SceneObject("cube", size, color, "metal", (x, 0, 0), 0.0, (x, 0, 9)) for x, (size, color) in enumerate(kinds)
    )
    return Scene(objects, {}, {"left": ((), (0,), (0, 1), (0, 1, 2)), "right": ((1, 2, 3), (2, 3), (3,), ())})


def test_hops_of_one_strand() -> None:
    """What filters belongs to the hop before it."""
    assert trace_hops(CHAIN, row_of_objects()) == (((3,),), ((0, 2),))
    same = (*CHAIN[:3], Node("same_size", (2,)), Node("unique", (3,)), Node("query_color", (4,)))
    assert trace_hops(same, row_of_objects()) == (((3,),), ((1,),))


def test_hops_of_two_strands_that_join() -> None:
    other = (
        Node("scene"),
        Node("filter_color", (5,), ("blue",)),
        Node("filter_size", (6,), ("large",)),
        Node("unique", (7,)),
        Node("relate", (8,), ("right",)),
    )
    program = (*CHAIN[:5], *other, Node("intersect", (4, 9)), Node("count", (10,)))
    assert trace_hops(program, row_of_objects()) == (((3,), (1,)), ((0, 2), (2, 3)), ((2,),))


def test_a_strand_that_ends_early_keeps_its_objects() -> None:
    """Comparing a number of neighbours with a number of all."""
    other = (Node("scene"), Node("filter_color", (6,), ("blue",)), Node("count", (7,)))
    program = (*CHAIN, *other, Node("less_than", (5, 8)))
    assert trace_hops(program, row_of_objects()) == (((3,), (0, 1)), ((0, 2), (0, 1)))


@settings(max_examples=20)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_the_last_hop_is_what_the_question_is_finally_about(scene: Scene, seed: int) -> None:
    for question in write_questions(scene, np.random.default_rng(seed), 20):
        assert question.program is not None
        hops = trace_hops(question.program, scene)
        assert hops[-1] == referents(question.program, scene)
        taken = [node.function for node in question.program if node.function.split("_")[0] in ("relate", "same")]
        joins = sum(node.function in ("union", "intersect") for node in question.program)
        strands = len(hops[0])
        assert len(hops) - 1 <= len(taken) + joins <= strands * (len(hops) - 1) + joins
        assert len(hops) <= 4
