"""Counterfactuals: what would be true if one object were removed, or had another colour, size, material or shape.

The truth is worked out in the changed scene; only the unchanged one is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from clevr.questions.evaluator import evaluate
from clevr.questions.families import Family
from clevr.questions.logical_form import LogicalForm
from clevr.questions.programs import VALUES, IllPosedError, answer_text
from clevr.questions.referring_expressions import Named, ReferringExpressions
from clevr.questions.scene_bits import SceneBits
from clevr.questions.writer import COUNT_WEIGHTS
from clevr.tasks.item import Draft
from clevr.tasks.kinds.phrasing import draw_candidates, draw_shape, families_in_words, words
from clevr.tasks.kinds.questions import num_steps
from clevr.tasks.scenes import with_value, without
from clevr.tasks.trial import Trial
from clevr.tasks.working import describe, explain
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES

_AFFECTED = 0.75
"""Share of items in which the change makes a difference; where it never did, nobody would have to imagine it."""
_NONE = {"count": 0.2, "exist": 0.5}
"""Share of items whose answer is that there would be none."""
_CHANGES = 6
"""So many changes are tried in a scene."""
_DRAWS = 8
"""So many sets of questions are drawn about a change."""
_ENOUGH = 4
"""So many questions are enough to choose from."""


class Change(NamedTuple):
    """What would be different about one object."""

    object: int
    attribute: str = ""
    """Empty: the object is removed."""
    value: str = ""

    def apply(self, scene: Scene) -> Scene:
        """The changed scene."""
        return with_value(scene, *self) if self.attribute else without(scene, self.object)

    def apply_to_bits(self, bits: SceneBits) -> SceneBits:
        """The changed scene, in which all objects keep their numbers."""
        return bits.with_value(*self) if self.attribute else bits.without(self.object)


class _Case(NamedTuple):
    """A question with its answers before and after the change."""

    form: LogicalForm
    before: str
    after: str


def counterfactual(trial: Trial) -> Draft | None:
    """How many there would be, or whether there would be any."""
    hops = trial.difficulty.draw_hops(trial.plan)
    aside = int(trial.plan.random() * (min(hops, 2) + 1))
    asked = trial.plan.pick(("count", "count", "exist"))
    wanted = (trial.plan.random() < _AFFECTED, trial.plan.random() < _NONE[asked])
    family = trial.plan.pick([f for f in families_in_words("some", asked) if num_steps(f) == hops - aside])
    scene = trial.scene()
    phrases = trial.phrases(scene)
    for _ in range(_CHANGES):
        named = phrases.named(draw_shape(trial, aside))
        if named is not None:
            change = _draw_change(trial, scene, named)
            cases = list(islice(_cases(trial, family, phrases, change, wanted), _ENOUGH))
            if cases:
                return _draft(trial, scene, named, change, _balanced(trial, cases))
    return None


def _draft(trial: Trial, scene: Scene, named: Named, change: Change, case: _Case) -> Draft:
    condition, question = _condition(trial, named, change), _question(trial, case.form)
    return Draft(
        scenes=(scene,),
        prompt=f"If {condition}, {question}?",
        answer=case.after,
        answer_type="number" if case.form.asks == "count" else "boolean",
        working=(_changed(scene, change), *explain(case.form.program(), change.apply(scene))),
    )


def _draw_change(trial: Trial, scene: Scene, named: Named) -> Change:
    if trial.draw.random() < 0.5:
        return Change(named.object)
    attribute = trial.draw.pick(ATTRIBUTES)
    value = getattr(scene.objects[named.object], attribute)
    return Change(named.object, attribute, trial.draw.pick([v for v in VALUES[attribute] if v != value]))


def _cases(
    trial: Trial,
    family: Family,
    phrases: ReferringExpressions,
    change: Change,
    wanted: tuple[bool, bool],
) -> Iterator[_Case]:
    """Questions about both scenes, in which no phrase means one object before the change and another one after it.

    ``wanted`` says whether the change makes a difference, and whether there would be none.
    """
    affected, is_none = wanted
    before_varies = affected and not is_none and family.asks == "count"
    changed = change.apply_to_bits(phrases.view)
    for candidate in draw_candidates(family, phrases, trial.draw, draws=_DRAWS):
        if not before_varies and bool(candidate.answer) != (affected == is_none):
            continue  # no answer after the change could be the one that is wanted
        form, before = LogicalForm(family.asks, candidate.about), candidate.answer
        try:
            after, objects = evaluate(form, changed)
        except IllPosedError:
            continue
        if (before != after) == affected and (not after) == is_none:
            named = evaluate(form, phrases.view).objects
            if change.object not in named and named == objects:
                yield _Case(form, answer_text(before), answer_text(after))


def _balanced(trial: Trial, cases: list[_Case]) -> _Case:
    by_answer: dict[str, list[_Case]] = {}
    for case in cases:
        by_answer.setdefault(case.after, []).append(case)
    answers = list(by_answer)
    weights = [COUNT_WEIGHTS[int(answer)] if answer.isdigit() else 1.0 for answer in answers]
    return trial.draw.pick(by_answer[trial.draw.weigh(answers, weights)])


def _condition(trial: Trial, named: Named, change: Change) -> str:
    thing = words("the", named.things, trial.draw)
    if not change.attribute:
        return f"{thing} were {trial.draw.pick(('removed', 'taken away'))}"
    new = {"material": f"made of {change.value}", "shape": f"a {change.value}"}.get(change.attribute, change.value)
    return f"{thing} were {new}"


def _question(trial: Trial, form: LogicalForm) -> str:
    things = words("some", form.about[0], trial.draw)
    return f"how many {things} would there be" if form.asks == "count" else f"would there be any {things}"


def _changed(scene: Scene, change: Change) -> str:
    thing = describe(scene.objects[change.object])
    return f"{thing}: its {change.attribute} becomes {change.value}" if change.attribute else f"{thing}: removed"
