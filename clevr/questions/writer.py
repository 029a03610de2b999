"""Writes the questions of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clevr.questions import balance
from clevr.questions.dice import Dice
from clevr.questions.draws import draw_question
from clevr.questions.executor import answer_text
from clevr.questions.families import FAMILIES, Family
from clevr.questions.question import Question
from clevr.questions.spelling import spell
from clevr.questions.view import SceneView
from clevr.world.scene import Scene
from fewshot_film.errors import InvalidValueError


def write_questions(
    scene: Scene,
    rng: np.random.Generator,
    num_questions: int = 10,
    families: Sequence[Family] = FAMILIES,
) -> list[Question]:
    """Well-posed questions about a scene, each of another family, with balanced answers.

    The questions depend on the scene, on the generator's state and on the arguments alone: seed the
    generator from (seed, split, image index) and every scene's questions can be written anywhere.

    Args:
        scene: the scene to ask about.
        rng: the source of all randomness; one number is drawn from it.
        num_questions: how many to write. A scene of few objects may have fewer to offer.
        families: the families to choose from.

    Returns:
        At most ``num_questions`` questions; their ``question_index`` counts from
        ``num_questions * image_index``.

    Raises:
        ValueError: more questions are asked for than there are families.
    """
    if not 0 <= num_questions <= len(families):
        raise InvalidValueError(
            f"num_questions is {num_questions}: each question of a scene is of another family, "
            f"so expected 0 to {len(families)}"
        )
    dice = Dice(rng)
    view = SceneView(scene)
    questions: list[Question] = []
    for place in dice.order([balance.FAMILY_WEIGHTS[family.index] for family in families]):
        if len(questions) == num_questions:
            break
        drawn = draw_question(families[place], view, dice)
        if drawn is None:
            continue
        meaning, answer = drawn
        questions.append(
            Question(
                question=spell(meaning, dice.pick),
                image_index=scene.image_index,
                image_filename=scene.image_filename,
                split=scene.split,
                question_index=scene.image_index * num_questions + len(questions),
                answer=answer_text(answer),
                program=meaning.program(),
                question_family_index=families[place].index,
            )
        )
    return questions
