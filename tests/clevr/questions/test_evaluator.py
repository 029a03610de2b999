"""The quick evaluation of a question gives what its program gives."""

from __future__ import annotations

import numpy as np
import pytest

from clevr.questions.evaluator import evaluate
from clevr.questions.families import ALL_FAMILIES
from clevr.questions.logical_form import LogicalForm
from clevr.questions.programs import IllPosedError, answer_text, trace
from clevr.questions.referring_expressions import SceneView, StableRandom
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
                expected = by_program(form, scene)
                if expected is None:
                    ill_posed += 1
                    with pytest.raises(IllPosedError, match="expected exactly one object, found"):
                        evaluate(form, other)
                else:
                    asked += 1
                    found = evaluate(form, other)
                    assert (answer_text(found.answer), list(found.objects)) == expected
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
                if expected is None:
                    ill_posed += 1
                    with pytest.raises(IllPosedError, match="expected exactly one object, found"):
                        evaluate(form, bits)
                else:
                    agreed += 1
                    found = evaluate(form, bits)
                    assert answer_text(found.answer) == expected[0]
                    assert list(found.objects) == [before[number] for number in expected[1]]
    assert agreed > 200
    assert ill_posed > 50
