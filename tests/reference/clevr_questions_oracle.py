"""Slow second opinion on CLEVR questions: works on the JSON records alone, one rule at a time.

Shares no code with ``clevr.questions``: objects are dictionaries, sets are lists of numbers, programs
are run from their last node by recursion.
"""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]

ATTRIBUTES = ("size", "color", "material", "shape")


class NotOneObjectError(Exception):
    """A ``unique`` had no object, or several."""


def run(program: list[Record], scene: Record, at: int | None = None, instead: dict[int, Any] | None = None):
    """The output of node ``at`` (the last one by default), with the outputs of some nodes replaced."""
    at = len(program) - 1 if at is None else at
    if instead and at in instead:
        return instead[at]
    node = program[at]
    things = scene["objects"]
    inputs = [run(program, scene, number, instead) for number in node["inputs"]]
    name = node["function"]
    if name == "scene":
        return list(range(len(things)))
    if name == "unique":
        if len(inputs[0]) != 1:
            raise NotOneObjectError(at)
        return inputs[0][0]
    if name == "relate":
        return scene["relationships"][node["value_inputs"][0]][inputs[0]]
    if name == "union":
        return [i for i in range(len(things)) if i in inputs[0] or i in inputs[1]]
    if name == "intersect":
        return [i for i in range(len(things)) if i in inputs[0] and i in inputs[1]]
    if name == "count":
        return len(inputs[0])
    if name == "exist":
        return len(inputs[0]) != 0
    if name == "less_than":
        return inputs[0] < inputs[1]
    if name == "greater_than":
        return inputs[0] > inputs[1]
    verb, attribute = name.split("_")
    if verb == "filter":
        return [i for i in inputs[0] if things[i][attribute] == node["value_inputs"][0]]
    if verb == "query":
        return things[inputs[0]][attribute]
    if verb == "same":
        return [
            i for i in range(len(things)) if i != inputs[0] and things[i][attribute] == things[inputs[0]][attribute]
        ]
    assert verb == "equal"
    return inputs[0] == inputs[1]


def answer(program: list[Record], scene: Record) -> str:
    value = run(program, scene)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def reader_of(program: list[Record], at: int) -> int:
    """The node that reads the output of node ``at``; programs are trees, so there is one."""
    (reader,) = [i for i, node in enumerate(program) if at in node["inputs"]]
    return reader


def idle_relations(program: list[Record], scene: Record) -> list[int]:
    """Relations without which the next ``unique``, ``count`` or ``exist`` would meet the same objects."""
    idle = []
    everything = list(range(len(scene["objects"])))
    for at, node in enumerate(program):
        if node["function"] != "relate":
            continue
        last = at
        while program[reader_of(program, last)]["function"] not in ("unique", "count", "exist"):
            last = reader_of(program, last)
        if sorted(run(program, scene, last)) == sorted(run(program, scene, last, {at: everything})):
            idle.append(at)
    return idle


def told(program: list[Record], at: int) -> dict[str, str]:
    """The attributes that the filters ending in node ``at`` tell."""
    values = {}
    while program[at]["function"].startswith("filter_"):
        values[program[at]["function"].removeprefix("filter_")] = program[at]["value_inputs"][0]
        at = program[at]["inputs"][0]
    return values


def faults(program: list[Record], scene: Record) -> list[str]:
    """Every rule of a well-posed question that a program breaks in a scene."""
    found = []
    try:
        run(program, scene)
        singled_out = [run(program, scene, i) for i, n in enumerate(program) if n["function"] == "unique"]
    except NotOneObjectError as error:
        return [f"node {error} has not one object"]
    if len(set(singled_out)) != len(singled_out):
        found.append("an object is singled out twice")
    if idle_relations(program, scene):
        found.append("a relation is idle")
    for node in program:
        verb, _, attribute = node["function"].partition("_")
        if verb in ("query", "same") and attribute in told(program, program[node["inputs"][0]]["inputs"][0]):
            found.append(f"{node['function']} asks for what the description tells")
        if verb == "union":
            first, second = (sorted(run(program, scene, number)) for number in node["inputs"])
            if first == second:
                found.append("a union of a set with itself")
            after = program[reader_of(program, program.index(node))]["function"].removeprefix("filter_")
            if after in ATTRIBUTES and any(after in told(program, number) for number in node["inputs"]):
                found.append("an attribute is told of the union and of its part")
        if verb == "same":
            last = at = program.index(node)
            while program[reader_of(program, last)]["function"].startswith("filter_"):
                last = reader_of(program, last)
            if attribute in told(program, last) and last != at:
                found.append("an attribute is told of things that share it anyway")
    return found + answers_told(program)


def answers_told(program: list[Record]) -> list[str]:
    """Ways in which the words alone tell the answer."""
    found = []
    last = program[-1]
    landmarks = [
        told(program, node["inputs"][0])
        for i, node in enumerate(program)
        if node["function"] == "unique" and comes_from(program, i) == "scene" and not asked_of(program, i)
    ]
    verb, _, attribute = last["function"].partition("_")
    if verb in ("count", "exist"):
        things = told(program, last["inputs"][0])
        if any(landmark.items() <= things.items() for landmark in landmarks):
            found.append("the things are told like a landmark, of which there is no other")
    if verb == "query":
        things = told(program, program[last["inputs"][0]]["inputs"][0])
        for landmark in landmarks:
            rest = {name: value for name, value in landmark.items() if name != attribute}
            if rest != landmark and rest.items() <= things.items():
                found.append("the landmark's value cannot be that of the things")
    if last["function"] in ("equal_integer", "less_than", "greater_than"):
        sides = [program[number]["inputs"][0] for number in last["inputs"]]
        for one, other in (sides, sides[::-1]):
            if comes_from(program, one) == "scene" and told(program, one).items() <= told(program, other).items():
                found.append("a set is compared with a part of it")
    return found


def comes_from(program: list[Record], at: int) -> str:
    """The function that gives the objects which filters and a ``unique`` narrow down to those of ``at``."""
    while program[at]["function"].startswith("filter_") or program[at]["function"] == "unique":
        at = program[at]["inputs"][0]
    return str(program[at]["function"])


def asked_of(program: list[Record], at: int) -> bool:
    """Whether the object of a ``unique`` is what a query is about, rather than a landmark."""
    return bool(program[reader_of(program, at)]["function"].startswith("query_"))
