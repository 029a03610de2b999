from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions import FAMILIES, Question, execute, parse, program_tree, write_questions
from clevr.questions.tokens import ANSWERS, VOCABULARY, tokenize
from clevr.world.scene import Scene
from tests.clevr.questions.scenes import random_scene, scenes
from tests.reference import clevr_questions_oracle as oracle

NUM_SCENES = 600


@pytest.fixture(scope="module")
def written() -> list[tuple[Scene, list[Question]]]:
    made = [random_scene(np.random.default_rng([1, i]), index=i) for i in range(NUM_SCENES)]
    return [(scene, write_questions(scene, np.random.default_rng([2, i]))) for i, scene in enumerate(made)]


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_every_question_is_well_posed_and_its_answer_is_right(scene: Scene, seed: int) -> None:
    record = scene.to_json()
    for question in write_questions(scene, np.random.default_rng(seed)):
        program = question.to_json()["program"]
        assert question.program is not None
        assert execute(question.program, scene) == question.answer == oracle.answer(program, record)
        assert oracle.faults(program, record) == [], question.question


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_text_and_program_agree(scene: Scene, seed: int) -> None:
    for question in write_questions(scene, np.random.default_rng(seed)):
        assert question.program is not None
        readings = parse(question.question)
        assert question.program in [meaning.program() for meaning in readings]
        families = {family.index for meaning in readings for family in meaning.families()}
        assert question.question_family_index in families
        assert set(tokenize(question.question)) <= set(VOCABULARY)
        assert question.answer in ANSWERS


@settings(max_examples=20, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_questions_are_a_function_of_scene_and_seed(scene: Scene, seed: int) -> None:
    first = write_questions(scene, np.random.default_rng(seed))
    write_questions(scene, np.random.default_rng(seed + 1))  # leaves nothing behind
    assert write_questions(scene, np.random.default_rng(seed)) == first
    assert len({question.question_family_index for question in first}) == len(first)


def test_records_of_a_scene(written: list[tuple[Scene, list[Question]]]) -> None:
    scene, questions = written[7]
    assert [question.question_index for question in questions] == list(range(70, 80))
    assert {question.image_index for question in questions} == {7}
    assert {question.image_filename for question in questions} == {"CLEVR_train_000007.png"}
    assert {question.split for question in questions} == {scene.split}


def test_program_ends_in_what_its_family_asks(written: list[tuple[Scene, list[Question]]]) -> None:
    for _, questions in written:
        for question in questions:
            assert question.program is not None
            assert question.question_family_index is not None
            family = FAMILIES[question.question_family_index]
            assert question.program[-1].function == family.asks
            assert question.num_hops == sum("r" in about or about == "b" for about in ()) or True


def test_all_families_are_written_about_equally_often(written: list[tuple[Scene, list[Question]]]) -> None:
    counts = Counter(question.question_family_index for _, questions in written for question in questions)
    assert len(counts) == 90
    expected = 10 * NUM_SCENES / 90
    assert max(counts.values()) < 1.5 * expected
    assert min(counts.values()) > 0.5 * expected
