"""Slow second opinion on tasks: works on the JSON records of scenes and on the text of the prompt, with plain loops.

Shares no code with ``clevr``. Relations are worked out from coordinates: an object is left of another where it lies
more than 0.2 further along the direction *left* of the scene (Johnson et al., "CLEVR", CVPR 2017, and the defaults of
its generator). A program is run from its last node by recursion.
"""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
Thing = dict[str, Any]

FURTHER = 0.2


class NotOneObjectError(Exception):
    """A phrase in the singular fits no object, or several."""


def things_of(scene: Record) -> list[Thing]:
    """The objects of a scene; each with how far it lies along every direction."""
    things = []
    for entry in scene["objects"]:
        thing = {name: entry[name] for name in ("size", "color", "material", "shape")}
        for name in ("left", "right", "front", "behind"):
            thing[name] = 0.0
            for along, axis in zip(entry["3d_coords"], scene["directions"][name], strict=True):
                thing[name] += along * axis
        things.append(thing)
    return things


def in_relation(thing: Thing, relation: str, other: Thing) -> bool:
    """Whether a thing is left of, right of, in front of or behind another one."""
    return bool(thing[relation] - other[relation] > FURTHER)


def run(program: list[Record], things: list[Thing], at: int | None = None) -> Any:
    """The output of node ``at``, by default the last: things, one thing, or an answer."""
    node = program[len(program) - 1 if at is None else at]
    inputs = [run(program, things, number) for number in node["inputs"]]
    name, *value = node["function"], *node["value_inputs"]
    if name == "scene":
        return list(things)
    if name == "unique":
        return only(inputs[0])
    if name == "relate":
        return [thing for thing in things if in_relation(thing, value[0], inputs[0])]
    if name == "union":
        return [thing for thing in things if is_among(thing, inputs[0]) or is_among(thing, inputs[1])]
    if name == "intersect":
        return [thing for thing in things if is_among(thing, inputs[0]) and is_among(thing, inputs[1])]
    if name == "count":
        return len(inputs[0])
    if name == "exist":
        return len(inputs[0]) > 0
    if name == "less_than":
        return inputs[0] < inputs[1]
    if name == "greater_than":
        return inputs[0] > inputs[1]
    verb, attribute = name.split("_")
    if verb == "filter":
        return [thing for thing in inputs[0] if thing[attribute] == value[0]]
    if verb == "query":
        return inputs[0][attribute]
    if verb == "same":
        return [thing for thing in things if thing is not inputs[0] and thing[attribute] == inputs[0][attribute]]
    assert verb == "equal"
    return inputs[0] == inputs[1]


def only(things: list[Thing]) -> Thing:
    """The one thing of a list that has one."""
    if len(things) != 1:
        raise NotOneObjectError(len(things))
    return things[0]


def is_among(thing: Thing, things: list[Thing]) -> bool:
    """Whether a list has this very thing, not just one that looks the same."""
    return any(thing is other for other in things)


def spelt(value: Any) -> str:
    """An answer as a task states it."""
    if value is True or value is False:
        return "yes" if value else "no"
    return str(value)


def questions(prompt: str, program: list[Record], scenes: list[Record]) -> str:
    """The answer to a question of CLEVR."""
    return spelt(run(program, things_of(scenes[0])))


counting = questions

ANSWERS = {"questions": questions, "counting": counting}
"""By kind of task."""


def answer(task: str, prompt: str, program: list[Record] | None, scenes: list[Record]) -> str:
    """The true answer of a task."""
    return ANSWERS[task](prompt, program, scenes)
