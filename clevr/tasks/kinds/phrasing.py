"""Referring expressions by their number of steps, and the words of phrases."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice

from clevr.questions.families import FAMILIES, Family
from clevr.questions.logical_form import ObjectSet
from clevr.questions.realizer import phrase
from clevr.questions.referring_expressions import ReferringExpressions, StableRandom
from clevr.questions.templates import PHRASES
from clevr.questions.writer import Candidate, candidates
from clevr.tasks.trial import Trial
from clevr.world.spec import ATTRIBUTES

_SHAPES = {0: ("x",), 1: ("rx", "s"), 2: ("rrx", "b"), 3: ("rrrx",)}
"""Notations (:mod:`clevr.questions.families`) by their number of steps."""
_OF_A_DRAW = 4
"""So many of the questions of one draw are looked at; they are much alike."""


def draw_shape(trial: Trial, hops: int) -> str:
    """The notation of a phrase of so many steps."""
    shape = trial.draw.pick(_SHAPES[hops])
    return f"s {trial.draw.pick(ATTRIBUTES)}" if shape == "s" else shape


@cache
def families_in_words(form: str, asks: str) -> tuple[Family, ...]:
    """The families that ask something and whose things have a noun phrase of a form, which all can be put into."""
    sources = {rule.kind for rule in PHRASES[form]}
    fitting = {"b": "intersection", "s": "same", "r": "related", "x": "plain"}
    return tuple(
        family
        for family in FAMILIES
        if family.asks == asks
        and family.about[0] != "s"
        and all("|" not in about and fitting[about[0]] in sources for about in family.about)
    )


def draw_candidates(
    family: Family, phrases: ReferringExpressions, draw: StableRandom, *, draws: int
) -> Iterator[Candidate]:
    """A few questions of a family, from so many draws of :func:`clevr.questions.writer.candidates`."""
    for offered in islice(candidates(family, phrases), draws):
        order = draw.shuffle(len(offered))
        yield from (offered[place] for place in order[:_OF_A_DRAW])


def words(form: str, things: ObjectSet, draw: StableRandom) -> str:
    """A noun phrase: ``the``, ``a`` or ``some`` things, by ``form``."""
    return " ".join(phrase(form, things, draw.pick))
