from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from clevr.questions import IllPosedError, Node, ProgramError, Question, check_program, execute, trace
from clevr.questions.programs import answer_text
from clevr.world.scene import Scene, SceneObject
from tests.clevr.questions.scenes import random_scene
from tests.reference import clevr_questions_oracle as oracle


def thing(size: str, color: str, material: str, shape: str) -> SceneObject:
    return SceneObject(shape=shape, size=size, color=color, material=material, coords=(0, 0, 0), rotation=0)


# Three things in a row: 0 is left of 1 is left of 2.
ROW = Scene(
    objects=(
        thing("large", "red", "metal", "cube"),
        thing("small", "red", "rubber", "sphere"),
        thing("large", "blue", "metal", "cylinder"),
    ),
    directions={},
    relationships={"left": ((), (0,), (1, 0)), "right": ((1, 2), (2,), ()), "front": ((),) * 3},
)


def chain(*steps: str) -> list[Node]:
    """A program without branches, ``"filter_color red"`` a step."""
    nodes = [Node("scene")]
    for step in steps:
        function, *values = step.split()
        nodes.append(Node(function, (len(nodes) - 1,), tuple(values)))
    return nodes


def join(function: str, left: list[Node], right: list[Node]) -> list[Node]:
    moved = [Node(n.function, tuple(i + len(left) for i in n.inputs), n.value_inputs) for n in right]
    return [*left, *moved, Node(function, (len(left) - 1, len(left) + len(right) - 1))]


BLUE, BALL = "filter_color blue", "filter_shape sphere"


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        (chain("count"), "3"),
        (chain("filter_color red", "count"), "2"),
        (chain("filter_size small", "filter_material metal", "exist"), "no"),
        (chain("filter_shape cube", "exist"), "yes"),
        (chain(BLUE, "unique", "relate left", "count"), "2"),
        (
            chain(BLUE, "unique", "relate left", BALL, "unique", "relate left", "unique", "query_shape"),
            "cube",
        ),
        (chain(BLUE, "unique", "same_size", "unique", "query_color"), "red"),
        (chain(BLUE, "unique", "same_material", "count"), "1"),
        (chain(BALL, "unique", "same_color", "count"), "1"),
        (chain(BALL, "unique", "same_shape", "exist"), "no"),
        (chain(BLUE, "unique", "query_size"), "large"),
        (chain(BLUE, "unique", "query_material"), "metal"),
        ([*join("union", chain(BLUE), chain("filter_color red")), Node("count", (4,))], "3"),
        ([*join("intersect", chain(BALL), chain("filter_color red")), Node("count", (4,))], "1"),
        (join("equal_integer", chain(BLUE, "count"), chain(BALL, "count")), "yes"),
        (join("less_than", chain(BLUE, "count"), chain(BALL, "count")), "no"),
        (join("greater_than", chain("filter_color red", "count"), chain(BALL, "count")), "yes"),
        (
            join("equal_color", chain(BLUE, "unique", "query_color"), chain(BALL, "unique", "query_color")),
            "no",
        ),
        (join("equal_size", chain(BLUE, "unique", "query_size"), chain(BALL, "unique", "query_size")), "no"),
        (join("equal_material", *[chain(BLUE, "unique", "query_material")] * 2), "yes"),
        (join("equal_shape", *[chain(BLUE, "unique", "query_shape")] * 2), "yes"),
    ],
)
def test_by_hand(program: list[Node], answer: str) -> None:
    check_program(program)
    assert execute(program, ROW) == answer


def test_trace_gives_every_output() -> None:
    program = chain(BLUE, "unique", "relate left", "exist")
    assert trace(program, ROW) == [(0, 1, 2), (2,), 2, (0, 1), True]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            chain("filter_color green", "unique", "query_size"),
            r"node 2 \(unique\): expected exactly one object, fou",
        ),
        (chain("unique", "query_size"), r"found 3; the question is ill-posed in this scene"),
    ],
)
def test_ill_posed(program: list[Node], message: str) -> None:
    with pytest.raises(IllPosedError, match=message):
        execute(program, ROW)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ([], "the program is empty"),
        (chain("dance"), "node 1: unknown function 'dance'"),
        (chain("relate left"), r"node 1 \(relate\): expected object as input"),
        (chain(BLUE), r"node 1 \(filter_color\): the last node must give an answer, it gives objects"),
        (chain(BLUE, "unique"), r"node 2 \(unique\): the last node must give an answer, it gives objects"),
        (
            chain(BLUE, "unique", "relate behind", "count"),
            r"node 3 \(relate\): the scene has no relation 'behind', only \['front', 'left', 'right'\]",
        ),
    ],
)
def test_errors_name_node_and_function(program: list[Node], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        execute(program, ROW)


def test_answers_are_spelt_as_in_clevr() -> None:
    assert [answer_text(value) for value in (True, False, 10, "cube")] == ["yes", "no", "10", "cube"]


def test_agrees_with_the_oracle_on_random_programs() -> None:
    """Chains of functions drawn at random, most of which no family would ask."""
    rng = np.random.default_rng(5)
    steps = ["filter_color red", "filter_size small", "filter_material metal", "filter_shape cube"]
    relations = [f"relate {name}" for name in ("left", "right", "front", "behind")]
    jumps = [*relations, *(f"same_{name}" for name in ("color", "size", "material", "shape"))]
    ends = ["count", "exist", *(f"query_{name}" for name in ("color", "size", "material", "shape"))]
    ill_posed = 0
    for _ in range(400):
        scene = random_scene(rng)
        words = list(rng.choice(steps, rng.integers(0, 3)))
        for jump in rng.choice(jumps, rng.integers(0, 3)):
            words += ["unique", jump, *rng.choice(steps, rng.integers(0, 2))]
        end = str(rng.choice(ends))
        program = chain(*map(str, words), *(["unique"] if end.startswith("query") else []), end)
        records = [node.to_json() for node in program]
        try:
            expected = oracle.answer(records, scene.to_json())
        except oracle.NotOneObjectError:
            ill_posed += 1
            with pytest.raises(IllPosedError):
                execute(program, scene)
        else:
            assert execute(program, scene) == expected
    assert 0 < ill_posed < 400


def test_all_programs_of_a_set_from_the_wild(shared_data: Path) -> None:
    """1,250 questions made with the public generator in Blender; answers are booleans there."""
    executed = 0
    with zipfile.ZipFile(shared_data / "clevr-blender-sample.zip") as archive:
        for split in ("train", "val", "test"):
            records = json.loads(archive.read(f"{split}/CLEVR_scenes.json"))["scenes"]
            scenes = {record["image_index"]: Scene.from_json(record) for record in records}
            for record in json.loads(archive.read(f"{split}/CLEVR_questions.json"))["questions"]:
                question = Question.from_json(record)
                assert question.program is not None
                check_program(question.program)
                assert execute(question.program, scenes[question.image_index]) == question.answer
                executed += 1
    assert executed == 1250
