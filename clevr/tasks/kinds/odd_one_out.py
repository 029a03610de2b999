"""Odd one out: all objects but one share a value of one attribute, and nobody says which attribute it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clevr.questions.programs import VALUES
from clevr.tasks.item import Draft
from clevr.tasks.scenes import with_value
from clevr.tasks.trial import Trial
from clevr.tasks.working import describe
from clevr.world.spec import ATTRIBUTES

_PROMPTS = (
    "All objects but one have something in common. What color is the one that is different?",
    "One object differs from all others in something that they share. What is its color?",
    "Which object is the odd one out? Give its color.",
)


def odd_one_out(trial: Trial) -> Draft | None:
    """The colour of the one object that differs from all others in what they share."""
    attribute = trial.plan.pick(ATTRIBUTES)
    layout = trial.layout()
    looks = [{name: getattr(thing, name) for name in ATTRIBUTES} for thing in layout.things]
    odd = _choose(trial, looks, attribute)
    if odd is None:
        return None
    shared = _shared(trial, looks[odd][attribute], attribute)
    for index, look in enumerate(looks):
        if index != odd:
            look[attribute] = shared
    if odd_ones(looks) != [(odd, attribute)]:
        return None
    scene = trial.finish(layout)
    for index in range(len(looks)):
        if index != odd:
            scene = with_value(scene, index, attribute, shared)
    thing = scene.objects[odd]
    return Draft(
        scenes=(scene,),
        prompt=trial.draw.pick(_PROMPTS),
        answer=thing.color,
        answer_type="color",
        working=(
            f"the {attribute} of all others is {shared}",
            f"the {attribute} of the {describe(thing)} is {getattr(thing, attribute)}",
            f"its color is {thing.color}",
        ),
    )


Look = Mapping[str, str]
"""The values of an object."""


def _choose(trial: Trial, looks: Sequence[Look], attribute: str) -> int | None:
    """Any object; where it is to differ in size, a large one, as a small one would not fit if it were large."""
    fitting = [i for i, look in enumerate(looks) if attribute != "size" or look["size"] == "large"]
    return trial.draw.pick(fitting) if fitting else None


def _shared(trial: Trial, own: str, attribute: str) -> str:
    """The value that all others get."""
    return "small" if attribute == "size" else trial.draw.pick([v for v in VALUES[attribute] if v != own])


def odd_ones(looks: Sequence[Look]) -> list[tuple[int, str]]:
    """Every object that differs from all others in an attribute that these share, with that attribute."""
    found = []
    for attribute in ATTRIBUTES:
        values = [look[attribute] for look in looks]
        if len(set(values)) == 2:
            found += [(index, attribute) for index, value in enumerate(values) if values.count(value) == 1]
    return found
