"""CLEVR's questions: all 90 families, and those that count; and CLOSURE's."""

from __future__ import annotations

from functools import cache

from clevr.questions.families import CLOSURE_FAMILIES, FAMILIES, Family
from clevr.questions.programs import answer_text
from clevr.questions.realizer import realize
from clevr.questions.referring_expressions import SceneView
from clevr.questions.writer import draw_question
from clevr.tasks.answer_types import answer_type_of
from clevr.tasks.item import Draft
from clevr.tasks.trial import Trial
from clevr.tasks.working import explain

_STEPS = {"r": 1, "s": 1, "b": 2}
"""Steps that each letter of a family's notation stands for."""


def num_steps(family: Family) -> int:
    """The relations and shared attributes that questions of a family follow."""
    return sum(_STEPS.get(letter, 0) for about in family.about for letter in about.replace("bs", "b"))


@cache
def _families(min_hops: int, max_hops: int, asks: str) -> tuple[Family, ...]:
    return tuple(f for f in FAMILIES if min_hops <= num_steps(f) <= max_hops and asks in ("", f.asks))


@cache
def _closure_groups(min_hops: int, max_hops: int) -> tuple[tuple[Family, ...], ...]:
    """The families of each of CLOSURE's groups with so many steps; as all take one or two, at least those of one."""
    least, most = min(min_hops, 2), max(max_hops, 1)
    groups: dict[str, list[Family]] = {}
    for family in CLOSURE_FAMILIES:
        if least <= num_steps(family) <= most:
            groups.setdefault(family.group, []).append(family)
    return tuple(map(tuple, groups.values()))


def questions(trial: Trial) -> Draft | None:
    """A question of any family, all of them equally often."""
    hops = trial.difficulty
    return _ask(trial, trial.plan.pick(_families(hops.min_hops, hops.max_hops, "")))


def counting(trial: Trial) -> Draft | None:
    """How many there are of something."""
    hops = trial.difficulty
    return _ask(trial, trial.plan.pick(_families(hops.min_hops, hops.max_hops, "count")))


def closure(trial: Trial) -> Draft | None:
    """A question of CLOSURE, of each of its groups equally often."""
    groups = _closure_groups(trial.difficulty.min_hops, trial.difficulty.max_hops)
    return _ask(trial, trial.plan.pick(trial.plan.pick(groups)))


def _ask(trial: Trial, family: Family) -> Draft | None:
    scene = trial.scene()
    drawn = draw_question(family, SceneView(scene), trial.draw)
    if drawn is None:
        return None
    form, answer = drawn
    program = form.program()
    return Draft(
        scenes=(scene,),
        prompt=realize(form, trial.draw.pick),
        answer=answer_text(answer),
        answer_type=answer_type_of(program),
        working=explain(program, scene),
        program=program,
    )
