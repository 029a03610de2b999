"""The quick evaluation of a question gives what its program gives."""

from __future__ import annotations

import numpy as np
import pytest

from clevr.questions.evaluator import evaluate
from clevr.questions.families import ALL_FAMILIES
from clevr.questions.logical_form import LogicalForm
from clevr.questions.programs import IllPosedError, answer_text, trace
from clevr.questions.referring_expressions import SceneView, StableRandom
from clevr.questions.scene_bits import SceneBits
from clevr.questions.writer import draw_question
from clevr.tasks.scenes import with_value, without
from clevr.world.scene import COLORS
from tests.clevr.questions.scenes import random_scene


def by_program(form: LogicalForm, scene) -> tuple[str, list[int]] | None:
    program = form.program()
    try:
        outputs = trace(program, scene)
    except IllPosedError:
        return None
    return answer_text(outputs[-1]), [
        out for node, out in zip(program, outputs, strict=True) if node.function == "unique"
    ]


def evaluates_to(form: LogicalForm, bits: SceneBits, expected: tuple[str, list[int]] | None) -> bool:
    """Whether a question is well posed; it must have the expected answer and objects then, and be refused if not."""
    if expected is None:
        with pytest.raises(IllPosedError, match="expected exactly one object, found"):
            evaluate(form, bits)
        return False
    found = evaluate(form, bits)
    assert (answer_text(found.answer), list(found.objects)) == expected
    return True


def test_questions_of_all_families_have_the_answers_of_their_programs():
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, number) for number in (3, 6, 10, 10)]
    views = [SceneView(scene) for scene in scenes]
    asked = ill_posed = 0
    for family in ALL_FAMILIES:
        for view in views:
            drawn = draw_question(family, view, StableRandom(rng))
            if drawn is None:
                continue
            form, answer = drawn
            assert evaluate(form, view).answer == answer
            for scene, other in zip(scenes, views, strict=True):
                is_posed = evaluates_to(form, other, by_program(form, scene))
                asked, ill_posed = asked + is_posed, ill_posed + (not is_posed)
    assert asked > 200
    assert ill_posed > 200


def test_changed_sets_are_those_of_the_changed_scene():
    rng = np.random.default_rng(1)
    agreed = ill_posed = 0
    for scene in (random_scene(rng, number) for number in (4, 7, 10)):
        view, index = SceneView(scene), int(rng.integers(len(scene.objects)))
        numbers = [number for number in range(len(scene.objects)) if number != index]
        color = next(color for color in COLORS if color != scene.objects[index].color)
        changed = [
            (without(scene, index), view.without(index), numbers),
            (with_value(scene, index, "color", color), view.with_value(index, "color", color), range(10)),
        ]
        drawn = [draw_question(family, view, StableRandom(rng)) for family in ALL_FAMILIES]
        for form in (question[0] for question in drawn if question is not None):
            for other, bits, before in changed:
                expected = by_program(form, other)
                renumbered = expected and (expected[0], [before[number] for number in expected[1]])
                is_posed = evaluates_to(form, bits, renumbered)
                agreed, ill_posed = agreed + is_posed, ill_posed + (not is_posed)
    assert agreed > 200
    assert ill_posed > 50
