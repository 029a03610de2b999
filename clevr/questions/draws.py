"""Draws a question of one family from one scene, with balanced answers.

How the balance comes about without counters: the questions that a scene could be asked are collected
until two of different answers are among them that are alike to who cannot look, and only then is the
answer chosen, by lot. A text is thus as likely to come with one answer as with another, every
question is a function of its scene and its random numbers alone, and any range of scenes can be
written on its own.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice

from clevr.questions.dice import Dice
from clevr.questions.families import Family
from clevr.questions.meaning import Meaning, Things
from clevr.questions.offers import MASK_DRAWS, Answer, offers
from clevr.questions.phrases import Phrases
from clevr.questions.view import SceneView

COUNT_WEIGHTS = (0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 10.0)
"""How gladly each count from 0 to 10 is taken as the answer: large ones, which few scenes offer, gladly."""

_WELCOME = 2.0
"""An answer of this weight is rare enough to be taken even where the scene offers no other."""
_DRAWS = 2 * MASK_DRAWS
"""After so many draws a scene is said to have no such question."""
_COUNT_DRAWS = 5
"""Counting questions are collected from at least so many draws, which gives rare answers room."""


def draw_question(family: Family, view: SceneView, dice: Dice) -> tuple[Meaning, Answer] | None:
    """One question of a family about a scene, and its answer.

    Returns:
        ``None`` where the scene offers none, or only such whose answer could be guessed.
    """
    found = _collect(family, Phrases(view, dice))
    if found is None:
        return None
    answers = list(found)
    answer = dice.weigh(answers, [_weight(answer) for answer in answers])
    return Meaning(family.asks, dice.pick(found[answer])), answer


def _collect(family: Family, phrases: Phrases) -> dict[Answer, list[tuple[Things, ...]]] | None:
    """Questions of one hint, by their answers."""
    found: dict[Hashable, dict[Answer, list[tuple[Things, ...]]]] = {}
    least_draws = _COUNT_DRAWS if family.asks == "count" else 1
    for number, offered in enumerate(islice(offers(family, phrases), _DRAWS), start=1):
        for answer, about, hint in offered:
            found.setdefault(hint, {}).setdefault(answer, []).append(about)
        if number >= least_draws:
            for answers in found.values():
                if len(answers) > 1:
                    return answers
    return next((answers for answers in found.values() if _weight(next(iter(answers))) >= _WELCOME), None)


def _weight(answer: Answer) -> float:
    return COUNT_WEIGHTS[answer] if type(answer) is int else 1.0
