"""Odd one out: all objects but one share a value of one attribute, and nobody says which attribute it is."""

from __future__ import annotations

from clevr.questions.programs import VALUES
from clevr.tasks.item import Draft
from clevr.tasks.scenes import with_value
from clevr.tasks.trial import Trial
from clevr.tasks.working import describe
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES

_PROMPTS = (
    "All objects but one have something in common. What color is the one that is different?",
    "One object differs from all others in something that they share. What is its color?",
    "Which object is the odd one out? Give its color.",
)


def odd_one_out(trial: Trial) -> Draft | None:
    """The colour of the one object that differs from all others in what they share."""
    attribute = trial.plan.pick(ATTRIBUTES)
    scene = trial.scene()
    odd = _choose(trial, scene, attribute)
    if odd is None:
        return None
    scene = _share(trial, scene, odd, attribute)
    if odd_ones(scene) != [(odd, attribute)]:
        return None
    thing = scene.objects[odd]
    shared = getattr(scene.objects[not odd], attribute)
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


def _choose(trial: Trial, scene: Scene, attribute: str) -> int | None:
    """Any object; where it is to differ in size, a large one, as a small one would not fit if it were large."""
    fitting = [i for i, thing in enumerate(scene.objects) if attribute != "size" or thing.size == "large"]
    return trial.draw.pick(fitting) if fitting else None


def _share(trial: Trial, scene: Scene, odd: int, attribute: str) -> Scene:
    """The scene with one value of an attribute for all objects but one, and another value for that one."""
    if attribute == "size":
        shared = "small"
    else:
        own = getattr(scene.objects[odd], attribute)
        shared = trial.draw.pick([value for value in VALUES[attribute] if value != own])
    for index in range(len(scene.objects)):
        if index != odd:
            scene = with_value(scene, index, attribute, shared)
    return scene


def odd_ones(scene: Scene) -> list[tuple[int, str]]:
    """Every object that differs from all others in an attribute that these share, with that attribute."""
    found = []
    for attribute in ATTRIBUTES:
        values = [getattr(thing, attribute) for thing in scene.objects]
        for index, value in enumerate(values):
            others = {*values[:index], *values[index + 1 :]}
            if len(others) == 1 and value not in others:
                found.append((index, attribute))
    return found
