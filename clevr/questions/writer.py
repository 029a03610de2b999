"""Writes the questions of a scene, with balanced answers.

How the balance comes about without counters: the questions that a scene could be asked are collected
until two of different answers are among them that are indistinguishable without the image, and only
then is the answer chosen, at random. A text is thus as likely to come with one answer as with another, every
question is a function of its scene and its random numbers alone, and any range of scenes can be
written on its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import islice

import numpy as np

from clevr.questions.candidates import MASK_DRAWS, Answer, candidates
from clevr.questions.executor import answer_text
from clevr.questions.families import FAMILIES, FAMILY_WEIGHTS, Family
from clevr.questions.logical_form import LogicalForm, ObjectSet
from clevr.questions.question import Question
from clevr.questions.realizer import realize
from clevr.questions.referring_expressions import ReferringExpressions, SceneView
from clevr.questions.sampling import StableRandom
from clevr.world.scene import Scene
from fewshot_film.errors import InvalidValueError

COUNT_WEIGHTS = (0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 10.0)
"""Sampling weight of each count from 0 to 10 as the answer: large for large counts, which few scenes offer."""

_WELCOME = 2.0
"""An answer of this weight is rare enough to be taken even where the scene offers no other."""
_DRAWS = 2 * MASK_DRAWS
"""After so many draws a scene is said to have no such question."""
_COUNT_DRAWS = 5
"""Counting questions are collected from at least so many draws, which gives rare answers room."""


def draw_question(family: Family, view: SceneView, draw: StableRandom) -> tuple[LogicalForm, Answer] | None:
    """One question of a family about a scene, and its answer.

    Returns:
        ``None`` where the scene offers none, or only such whose answer could be guessed.
    """
    found = _collect(family, ReferringExpressions(view, draw))
    if found is None:
        return None
    answers = list(found)
    answer = draw.weigh(answers, [_weight(answer) for answer in answers])
    return LogicalForm(family.asks, draw.pick(found[answer])), answer


def _collect(family: Family, phrases: ReferringExpressions) -> dict[Answer, list[tuple[ObjectSet, ...]]] | None:
    """Questions of one hint, by their answers."""
    found: dict[Hashable, dict[Answer, list[tuple[ObjectSet, ...]]]] = {}
    least_draws = _COUNT_DRAWS if family.asks == "count" else 1
    for number, offered in enumerate(islice(candidates(family, phrases), _DRAWS), start=1):
        for answer, about, hint in offered:
            found.setdefault(hint, {}).setdefault(answer, []).append(about)
        if number >= least_draws:
            for answers in found.values():
                if len(answers) > 1:
                    return answers
    return next((answers for answers in found.values() if _weight(next(iter(answers))) >= _WELCOME), None)


def _weight(answer: Answer) -> float:
    return COUNT_WEIGHTS[answer] if type(answer) is int else 1.0


def write_questions(
    scene: Scene,
    rng: np.random.Generator,
    num_questions: int = 10,
    families: Sequence[Family] = FAMILIES,
    weights: Sequence[float] = FAMILY_WEIGHTS,
) -> list[Question]:
    """Well-posed questions about a scene, each of another family, with balanced answers.

    The questions depend on the scene, on the generator's state and on the arguments alone: seed the
    generator from (seed, split, image index) and every scene's questions can be written anywhere.

    Args:
        scene: the scene to ask about.
        rng: the source of all randomness; one number is drawn from it.
        num_questions: how many to write. A scene of few objects may have fewer to offer.
        families: the families to choose from.
        weights: how eagerly each family is tried, by its number.

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
    draw = StableRandom(rng)
    view = SceneView(scene)
    questions: list[Question] = []
    for place in draw.order([weights[family.index] for family in families]):
        if len(questions) == num_questions:
            break
        drawn = draw_question(families[place], view, draw)
        if drawn is None:
            continue
        form, answer = drawn
        questions.append(
            Question(
                question=realize(form, draw.pick),
                image_index=scene.image_index,
                image_filename=scene.image_filename,
                split=scene.split,
                question_index=scene.image_index * num_questions + len(questions),
                answer=answer_text(answer),
                program=form.program(),
                question_family_index=families[place].index,
            )
        )
    return questions
