"""CLOSURE's families: well-posed, answered rightly, read back, and made of nothing that CLEVR's families lack."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from clevr.questions import (
    CLOSURE_FAMILIES,
    CLOSURE_GROUPS,
    FAMILIES,
    GROUPS,
    Question,
    execute,
    parse,
    program_tree,
    write_questions,
)
from clevr.questions.families import ALL_FAMILIES
from clevr.questions.logical_form import NOTHING_TOLD, Intersection, LogicalForm, ObjectSet, Related, Same, Union
from clevr.questions.tokens import ANSWERS, VOCABULARY, tokenize
from clevr.world.scene import Scene
from tests.clevr.questions.scenes import random_scene
from tests.reference import clevr_questions_oracle as oracle

NUM_SCENES = 400
RED, BLUE = (ObjectSet((None, color, None, None)) for color in ("red", "blue"))
BALL, CUBE = ObjectSet((None, None, None, "sphere")), ObjectSet((None, None, None, "cube"))


@pytest.fixture(scope="module")
def written() -> list[tuple[Scene, list[Question]]]:
    made = [random_scene(np.random.default_rng([4, i]), index=i) for i in range(NUM_SCENES)]
    return [
        (scene, write_questions(scene, np.random.default_rng([5, i]), families=CLOSURE_FAMILIES))
        for i, scene in enumerate(made)
    ]


def group_of(question: Question) -> str:
    assert question.question_family_index is not None
    return ALL_FAMILIES[question.question_family_index].group


def test_seven_groups_numbered_on_from_clevrs() -> None:
    assert [family.index for family in ALL_FAMILIES] == list(range(142))
    assert Counter(family.group for family in CLOSURE_FAMILIES) == {
        "and_mat_spa": 12,
        "or_mat": 4,
        "or_mat_spa": 4,
        "compare_mat": 12,
        "compare_mat_spa": 12,
        "embed_mat_spa": 4,
        "embed_spa_mat": 4,
    }
    assert not {*GROUPS} & {*CLOSURE_GROUPS}
    structures = {(family.asks, family.about, family.attribute) for family in ALL_FAMILIES}
    assert len(structures) == 142
    assert all(not family.asks.endswith(f"_{family.attribute}") for family in CLOSURE_FAMILIES)


def test_every_group_is_written_about_equally_often(written: list[tuple[Scene, list[Question]]]) -> None:
    counts = Counter(group_of(question) for _, questions in written for question in questions)
    assert set(counts) == set(CLOSURE_GROUPS)
    assert min(counts.values()) > 0.75 * counts.total() / 7 > 300
    assert max(counts.values()) < 1.25 * counts.total() / 7
    families = {question.question_family_index for _, questions in written for question in questions}
    assert families == set(range(90, 142))


def test_answers_are_right_and_questions_well_posed(written: list[tuple[Scene, list[Question]]]) -> None:
    for scene, questions in written:
        record = scene.to_json()
        for question in questions:
            program = question.to_json()["program"]
            assert question.program is not None
            assert execute(question.program, scene) == question.answer == oracle.answer(program, record)
            assert oracle.faults(program, record) == [], question.question
            assert not shares_idly(program, record), question.question


def shares_idly(program: list[oracle.Record], record: oracle.Record) -> bool:
    """Whether the objects looked at last, or singled out, would be the same if nothing had to be shared."""
    for at, node in enumerate(program[:-2]):
        if not node["function"].startswith("same_") or program[-1]["function"] == "exist":
            continue
        last = at
        while program[oracle.reader_of(program, last)]["function"] not in ("unique", "count"):
            last = oracle.reader_of(program, last)
        everything = {at: list(range(len(record["objects"])))}
        if sorted(oracle.run(program, record, last)) == sorted(oracle.run(program, record, last, everything)):
            return True
    return False


def test_texts_are_read_back_as_their_programs_and_as_nothing_else(
    written: list[tuple[Scene, list[Question]]],
) -> None:
    for _, questions in written:
        for question in questions:
            assert question.program is not None
            (form,) = parse(question.question)
            assert program_tree(form.program()) == program_tree(question.program), question.question
            assert [family.index for family in form.families()] == [question.question_family_index]


def test_words_and_functions_are_those_of_clevrs_families(written: list[tuple[Scene, list[Question]]]) -> None:
    of_clevr = [question for scene, _ in written[:150] for question in write_questions(scene, np.random.default_rng(0))]
    words, functions = set[str](), set[str]()
    for question in of_clevr:
        words |= {*tokenize(question.question)}
        functions |= {node.function for node in question.program or ()}
    for _, questions in written:
        for question in questions:
            assert {*tokenize(question.question)} <= words & {*VOCABULARY}
            assert {node.function for node in question.program or ()} <= functions
            assert question.answer in ANSWERS


def test_no_answer_is_common(written: list[tuple[Scene, list[Question]]]) -> None:
    answers: dict[str, Counter[str | None]] = {}
    for _, questions in written:
        for question in questions:
            answers.setdefault(group_of(question), Counter())[question.answer] += 1
    for group, counts in answers.items():
        common = max(counts.values()) / counts.total()
        bound = {"and": 0.15, "or": 0.45}.get(group.partition("_")[0], 0.5)
        assert common < bound + 3 * (0.25 / counts.total()) ** 0.5, (group, counts)


@pytest.mark.parametrize(
    ("text", "group", "form"),
    [
        (
            "What shape is the red object that is behind the ball and has the same size as the blue thing?",
            "and_mat_spa",
            LogicalForm(
                "query_shape", (ObjectSet(RED.description, Intersection(Same("size", BLUE), Related("behind", BALL))),)
            ),
        ),
        (
            "There is a thing that is left of the ball and is made of the same material as the cube; what color is it?",
            "and_mat_spa",
            LogicalForm(
                "query_color", (ObjectSet(NOTHING_TOLD, Intersection(Same("material", CUBE), Related("left", BALL))),)
            ),
        ),
        (
            "How many things are either balls or red things that are the same shape as the blue thing?",
            "or_mat",
            LogicalForm(
                "count", (ObjectSet(NOTHING_TOLD, Union(BALL, ObjectSet(RED.description, Same("shape", BLUE)))),)
            ),
        ),
        (
            "How many objects are balls behind the blue object or cubes of the same color as the ball?",
            "or_mat_spa",
            LogicalForm(
                "count",
                (
                    ObjectSet(
                        NOTHING_TOLD,
                        Union(
                            ObjectSet(BALL.description, Related("behind", BLUE)),
                            ObjectSet(CUBE.description, Same("color", BALL)),
                        ),
                    ),
                ),
            ),
        ),
        (
            "There is another ball that is the same size as the red thing; is it the same color as the cube?",
            "compare_mat",
            LogicalForm("equal_color", (ObjectSet(BALL.description, Same("size", RED)), CUBE)),
        ),
        (
            "Does the ball of the same size as the red thing have the same color as the cube left of the blue thing?",
            "compare_mat_spa",
            LogicalForm(
                "equal_color",
                (ObjectSet(BALL.description, Same("size", RED)), ObjectSet(CUBE.description, Related("left", BLUE))),
            ),
        ),
        (
            "Is there a ball behind the cube that is the same color as the red thing?",
            "embed_mat_spa",
            LogicalForm(
                "exist",
                (ObjectSet(BALL.description, Related("behind", ObjectSet(CUBE.description, Same("color", RED)))),),
            ),
        ),
        (
            "Is there another ball that has the same material as the cube left of the red thing?",
            "embed_spa_mat",
            LogicalForm(
                "exist",
                (ObjectSet(BALL.description, Same("material", ObjectSet(CUBE.description, Related("left", RED)))),),
            ),
        ),
    ],
)
def test_read_by_hand(text: str, group: str, form: LogicalForm) -> None:
    assert parse(text) == (form,)
    assert [family.group for family in form.families()] == [group]


@pytest.mark.parametrize(
    "text",
    [
        "What size is the thing that is left of the ball and is the same size as the cube?",
        "There is a ball of the same size as the cube; is it the same size as the red thing?",
        "How many red things are either balls or things of the same size as the cube?",
        "How many things are behind the cube that is the same color as the ball?",
    ],
)
def test_what_neither_clevr_nor_closure_asks(text: str) -> None:
    assert parse(text) == ()


def test_clevrs_families_are_the_default() -> None:
    scene = random_scene(np.random.default_rng(0), num_objects=8)
    written = write_questions(scene, np.random.default_rng(0))
    assert written == write_questions(scene, np.random.default_rng(0), families=FAMILIES)
    with pytest.raises(ValueError, match=r"num_questions is 53: .* expected 0 to 52"):
        write_questions(scene, np.random.default_rng(0), num_questions=53, families=CLOSURE_FAMILIES)
