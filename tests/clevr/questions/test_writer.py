from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions import FAMILIES, Question, execute, parse, write_questions
from clevr.questions.tokens import ANSWERS, VOCABULARY, tokenize
from clevr.world.scene import Scene
from tests.clevr.questions.scenes import random_scene, scenes
from tests.reference import clevr_questions_oracle as oracle

NUM_SCENES = 600

PINNED = [
    (65, "How many big things are metallic blocks or gray matte blocks?", "1"),
    (
        59,
        "There is a big object that is made of the same material as the small gray object; what color is it?",
        "green",
    ),
    (
        18,
        "There is a small thing that is in front of the big rubber sphere; is it the same color as the block "
        "to the right of the large cube?",
        "no",
    ),
    (
        17,
        "There is a big shiny cylinder; does it have the same color as the large sphere that is in front of "
        "the rubber sphere?",
        "no",
    ),
]


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
        assert question.program in [form.program() for form in readings]
        families = {family.index for form in readings for family in form.families()}
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
            assert question.num_hops == sum(2 if about == "b" else about.count("r") for about in family.about)


def test_all_families_are_written_about_equally_often(written: list[tuple[Scene, list[Question]]]) -> None:
    counts = Counter(question.question_family_index for _, questions in written for question in questions)
    assert len(counts) == 90
    expected = 10 * NUM_SCENES / 90
    assert max(counts.values()) < 1.5 * expected
    assert min(counts.values()) > 0.5 * expected


def test_no_answer_of_a_type_is_common(written: list[tuple[Scene, list[Question]]]) -> None:
    answers: dict[str, Counter[str]] = {}
    for _, questions in written:
        for question in questions:
            assert question.type is not None
            assert question.answer is not None
            answers.setdefault(question.type, Counter())[question.answer] += 1
    for kind, published in (
        ("count", 0.346),
        ("exist", 0.502),
        ("compare integer", 0.510),
        ("query", 0.36),
        ("compare attribute", 0.513),
    ):
        share = max(answers[kind].values()) / answers[kind].total()
        noise = 3 * (0.25 / answers[kind].total()) ** 0.5
        assert share < published + noise, kind


def test_how_much_a_text_tells_does_not_tell_the_answer(written: list[tuple[Scene, list[Question]]]) -> None:
    """Whoever knows family and length of a yes/no question guesses no better than a coin."""
    right = total = 0
    answers: dict[tuple[int | None, int], Counter[str | None]] = {}
    half = NUM_SCENES // 2
    for number, (_, questions) in enumerate(written):
        for question in questions:
            if question.answer not in ("yes", "no"):
                continue
            known = answers.setdefault((question.question_family_index, len(question.question.split())), Counter())
            if number < half:
                known[question.answer] += 1
            elif known:
                right += known.most_common(1)[0][0] == question.answer
                total += 1
    assert abs(right / total - 0.5) < 3 * (0.25 / total) ** 0.5


def test_a_scene_with_three_objects_has_ten_questions() -> None:
    for seed in range(30):
        scene = random_scene(np.random.default_rng(seed), num_objects=3)
        assert len(write_questions(scene, np.random.default_rng(seed))) == 10


def test_only_the_families_asked_for() -> None:
    scene = random_scene(np.random.default_rng(0), num_objects=8)
    chosen = [family for family in FAMILIES if family.group == "zero_hop"]
    questions = write_questions(scene, np.random.default_rng(0), num_questions=6, families=chosen)
    assert {question.question_family_index for question in questions} <= {84, 85, 86, 87, 88, 89}
    assert write_questions(scene, np.random.default_rng(0), num_questions=0) == []


def test_more_questions_than_families() -> None:
    scene = random_scene(np.random.default_rng(0))
    with pytest.raises(ValueError, match="num_questions is 91: each question of a scene is of another family, so"):
        write_questions(scene, np.random.default_rng(0), num_questions=91)


def test_questions_do_not_change_from_release_to_release() -> None:
    """A change here changes every generated data set: say so in the change log."""
    scene = random_scene(np.random.default_rng(0), num_objects=6)
    written = write_questions(scene, np.random.default_rng(0), num_questions=4)
    assert [(question.question_family_index, question.question, question.answer) for question in written] == PINNED


def test_scenes_of_more_objects_than_any_answer_counts() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="scene 3 has 11 objects; questions can be asked about at most 10, the larg"):
        write_questions(random_scene(rng, 11, index=3), rng)
