from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions.executor import answer_text, execute
from clevr.questions.programs import IllPosedError, Node
from clevr.questions.referents import referents
from clevr.questions.writer import write_questions
from clevr.world.scene import Scene
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
