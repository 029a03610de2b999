"""Which of two images fits a sentence.

Source:
    Suhr et al., "NLVR", ACL 2017, https://aclanthology.org/P17-2034, for sentences about pairs of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from clevr.questions.evaluator import evaluate
from clevr.questions.families import Family
from clevr.questions.logical_form import LogicalForm
from clevr.questions.programs import VALUES, IllPosedError, answer_text
from clevr.questions.referring_expressions import ReferringExpressions, SceneView
from clevr.questions.scene_bits import SceneBits
from clevr.tasks.item import Draft
from clevr.tasks.kinds.phrasing import draw_candidates, families_in_words, words
from clevr.tasks.kinds.questions import num_steps
from clevr.tasks.scenes import LOOKS, with_value
from clevr.tasks.trial import Trial
from clevr.tasks.working import explain
from clevr.world.scene import Scene

_ASKS = ("count", "exist", "greater_than", "less_than", "equal_integer")
_OTHERS = 6
"""So many other scenes are tried beside one."""
_DRAWS = 8
"""So many sets of sentences are drawn about a pair of scenes."""
_ENOUGH = 4
"""So many sentences are enough to choose from."""
_ORDER = ("first", "second")


def matching(trial: Trial) -> Draft | None:
    """A sentence is true of one of two images."""
    asks, place = trial.plan.pick(_ASKS), int(trial.plan.random() * 2)
    hops = trial.difficulty.draw_hops(trial.plan, most=2 if asks not in ("count", "exist") else 3)
    family = trial.plan.pick([f for f in families_in_words("some", asks) if num_steps(f) == hops])
    scene = trial.scene()
    phrases = trial.phrases(scene)
    # from level 3 on, and where relations are followed, the other scene is the same one with some objects changed
    is_new = not trial.difficulty.distractors and not hops
    for _ in range(_OTHERS):
        other, changes = (trial.scene(), []) if is_new else (scene, _draw_changes(trial, scene))
        bits: SceneBits = SceneView(other) if is_new else phrases.view
        for change in changes:
            bits = bits.with_value(*change)
        found = list(islice(_sentences(trial, family, phrases, bits), _ENOUGH))
        if found:
            for change in changes:
                other = with_value(other, *change)
            return _draft(trial, *trial.draw.pick(found), scene, other, place)
    return None


def _draft(trial: Trial, form: LogicalForm, truth: str, scene: Scene, other: Scene, place: int) -> Draft:
    scenes = (scene, other) if place == 0 else (other, scene)
    program = form.program()
    return Draft(
        scenes=scenes,
        prompt=(
            "There are two images, the first on the left and the second on the right. Of which one is this true? "
            f"{_sentence(trial, form, truth)} Answer first or second."
        ),
        answer=_ORDER[place],
        answer_type="image",
        working=tuple(
            f"{name} image: {step}" for name, s in zip(_ORDER, scenes, strict=True) for step in explain(program, s)
        ),
        program=program,
    )


def _draw_changes(trial: Trial, scene: Scene) -> list[tuple[int, str, str]]:
    """Some objects, an attribute of each and another value of that: how another scene differs from this one."""
    changes = []
    for index in trial.draw.shuffle(len(scene.objects))[: max(1, 3 - trial.difficulty.distractors)]:
        attribute = trial.draw.pick(LOOKS)
        value = getattr(scene.objects[index], attribute)
        changes.append((index, attribute, trial.draw.pick([v for v in VALUES[attribute] if v != value])))
    return changes


def _sentences(
    trial: Trial, family: Family, phrases: ReferringExpressions, other: SceneBits
) -> Iterator[tuple[LogicalForm, str]]:
    """What can be asked of both scenes and has different answers, with that of the first scene."""
    for candidate in draw_candidates(family, phrases, trial.draw, draws=_DRAWS):
        if candidate.answer is False:
            continue
        form = LogicalForm(family.asks, candidate.about)
        try:
            there = evaluate(form, other).answer
        except IllPosedError:
            continue
        if there != candidate.answer:
            yield form, answer_text(candidate.answer)


def _sentence(trial: Trial, form: LogicalForm, truth: str) -> str:
    """What is true of the first scene."""
    if form.asks == "exist":
        return f"There is {words('a', form.about[0], trial.draw)}."
    some, *more = (words("some", things, trial.draw) for things in form.about)
    if form.asks == "count":
        return f"The number of {some} is {truth}."
    than = (
        {
            "greater_than": f"There are more {some} than {more[0]}.",
            "less_than": f"There are fewer {some} than {more[0]}.",
            "equal_integer": f"There are as many {some} as {more[0]}.",
        }
        if more
        else {}
    )
    return than[form.asks]
