from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions.program_encoding import (
    FUNCTIONS,
    MAX_HOPS,
    STEPS,
    encode_program,
    field_sizes,
    referents,
    trace_hops,
)
from clevr.questions.programs import VALUES, Node, Program
from clevr.questions.writer import write_questions
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES
from tests.clevr.questions.scenes import scenes

NONE = (0, 0, 0, 0, 0)


def step(name: str) -> int:
    return STEPS.index(name)


def test_one_strand_by_hand() -> None:
    """What size is the metal thing left of the small red cube?"""
    program = (
        Node("scene"),
        Node("filter_size", (0,), ("small",)),
        Node("filter_color", (1,), ("red",)),
        Node("filter_shape", (2,), ("cube",)),
        Node("unique", (3,)),
        Node("relate", (4,), ("left",)),
        Node("filter_material", (5,), ("metal",)),
        Node("unique", (6,)),
        Node("query_size", (7,)),
    )
    size, color, shape, metal = (
        1 + VALUES[kind].index(value)
        for kind, value in (("size", "small"), ("color", "red"), ("shape", "cube"), ("material", "metal"))
    )
    hops, function = encode_program(program)
    first, second = (step("scene"), size, color, 0, shape), (step("left"), 0, 0, metal, 0)
    assert hops == ((NONE, NONE), (NONE, NONE), (first, NONE), (second, NONE))
    assert FUNCTIONS[function] == "query_size"
    assert ATTRIBUTES == ("size", "color", "material", "shape"), "the order of the fields"


def test_two_strands_of_unequal_length() -> None:
    program = (
        Node("scene"),
        Node("unique", (0,)),
        Node("same_color", (1,)),
        Node("count", (2,)),
        Node("scene"),
        Node("count", (4,)),
        Node("less_than", (3, 5)),
    )
    hops, function = encode_program(program)
    assert hops[2] == ((step("scene"), 0, 0, 0, 0), (step("scene"), 0, 0, 0, 0))
    assert hops[3] == ((step("same_color"), 0, 0, 0, 0), NONE)
    assert FUNCTIONS[function] == "less_than"


def test_two_strands_that_join() -> None:
    program = (Node("scene"), Node("scene"), Node("union", (0, 1)), Node("exist", (2,)))
    hops, function = encode_program(program)
    assert hops[2] == ((step("scene"), 0, 0, 0, 0), (step("scene"), 0, 0, 0, 0))
    assert hops[3] == ((step("union"), 0, 0, 0, 0), NONE)
    assert FUNCTIONS[function] == "exist"


def run(program: Program, scene: Scene) -> tuple[tuple[int, ...], ...]:
    """The sets that an outline leads to, by an interpreter of its own."""
    sets: list[set[int]] = [set(), set()]
    for pair in encode_program(program)[0]:
        after = list(sets)
        for strand, (number, *filters) in enumerate(pair):
            name, before = STEPS[number], sets[strand]
            if not name:
                continue
            if name == "scene":
                found = set(range(len(scene.objects)))
            elif name in ("union", "intersect"):
                found = sets[0] | sets[1] if name == "union" else sets[0] & sets[1]
            elif name.startswith("same_"):
                (only,), kind = before, name[5:]
                value = getattr(scene.objects[only], kind)
                found = {i for i, other in enumerate(scene.objects) if getattr(other, kind) == value} - {only}
            else:
                (only,) = before
                found = set(scene.relationships[name][only])
            for kind, chosen in zip(ATTRIBUTES, filters, strict=True):
                if chosen:
                    value = VALUES[kind][chosen - 1]
                    found = {i for i in found if getattr(scene.objects[i], kind) == value}
            after[strand] = found
        sets = after
    return tuple(tuple(sorted(found)) for found in sets)


@settings(max_examples=15)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_an_outline_says_all_that_leads_to_the_referents(scene: Scene, seed: int) -> None:
    for question in write_questions(scene, np.random.default_rng(seed), 20):
        assert question.program is not None
        expected = referents(question.program, scene)
        assert run(question.program, scene)[: len(expected)] == expected
        hops, function = encode_program(question.program)
        assert len(hops) == MAX_HOPS
        fields = np.array(hops).reshape(-1, len(field_sizes()))
        assert (fields >= 0).all()
        assert (fields < field_sizes()).all()
        assert sum(pair != (NONE, NONE) for pair in hops) == len(trace_hops(question.program, scene))
        assert FUNCTIONS[function] == question.program[-1].function
