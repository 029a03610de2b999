"""Runs a functional program over a scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clevr.questions.programs import ATTRIBUTES, CATALOGUE, IllPosedError, Program, ProgramError, check_node
from clevr.world.scene import Scene

Output = bool | int | str | tuple[int, ...]
"""What a node gives: an answer, the number of an object, or the sorted numbers of a set of objects."""


def answer_text(value: bool | int | str) -> str:
    """An answer as CLEVR's files realize it: ``yes`` and ``no``, digits, or the value's own name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def execute(program: Program, scene: Scene) -> str:
    """The answer of a program in a scene, spelt as in CLEVR's files.

    Raises:
        ProgramError: the program is no program of CLEVR, or the scene lacks a relation that it
            follows; node and function are named.
        IllPosedError: a ``unique`` met no object, or more than one.
    """
    if not program:
        raise ProgramError("the program is empty: expected at least one node")
    answer = trace(program, scene)[-1]
    function = program[-1].function
    if isinstance(answer, tuple) or CATALOGUE[function].output == "object":
        raise ProgramError(f"node {len(program) - 1} ({function}): the last node must give an answer, it gives objects")
    return answer_text(answer)


def trace(program: Program, scene: Scene) -> list[Output]:
    """The output of every node, in the order of the nodes.

    Raises:
        ProgramError: as :func:`execute`.
        IllPosedError: as :func:`execute`.
    """
    outputs: list[Any] = []
    for position, node in enumerate(program):
        check_node(program, position)
        inputs = [outputs[number] for number in node.inputs]
        if node.function == "unique" and len(inputs[0]) != 1:
            raise IllPosedError(
                f"node {position} (unique): expected exactly one object, found {len(inputs[0])}; "
                "the question is ill-posed in this scene"
            )
        if node.function == "relate" and node.value_inputs[0] not in scene.relationships:
            raise ProgramError(
                f"node {position} (relate): the scene has no relation {node.value_inputs[0]!r}, "
                f"only {sorted(scene.relationships)}"
            )
        outputs.append(_RUN[node.function](scene, *node.value_inputs, *inputs))
    return outputs


def _filter(attribute: str) -> Callable[..., Output]:
    def run(scene: Scene, value: str, members: tuple[int, ...]) -> Output:
        return tuple(i for i in members if getattr(scene.objects[i], attribute) == value)

    return run


def _query(attribute: str) -> Callable[..., Output]:
    def run(scene: Scene, index: int) -> Output:
        value: str = getattr(scene.objects[index], attribute)
        return value

    return run


def _same(attribute: str) -> Callable[..., Output]:
    def run(scene: Scene, index: int) -> Output:
        values = [getattr(thing, attribute) for thing in scene.objects]
        return tuple(i for i, value in enumerate(values) if i != index and value == values[index])

    return run


# The arguments are the scene, the literal value if the function takes one, and the inputs; their number
# and types have been checked against the catalogue.
_RUN: dict[str, Callable[..., Output]] = {
    "scene": lambda scene: tuple(range(len(scene.objects))),
    "unique": lambda _, members: members[0],
    "relate": lambda scene, relation, index: tuple(sorted(scene.relationships[relation][index])),
    "union": lambda _, some, more: tuple(sorted({*some, *more})),
    "intersect": lambda _, some, more: tuple(sorted({*some} & {*more})),
    "count": lambda _, members: len(members),
    "exist": lambda _, members: bool(members),
    "equal_integer": lambda _, left, right: left == right,
    "less_than": lambda _, left, right: left < right,
    "greater_than": lambda _, left, right: left > right,
    **{f"filter_{attribute}": _filter(attribute) for attribute in ATTRIBUTES},
    **{f"query_{attribute}": _query(attribute) for attribute in ATTRIBUTES},
    **{f"same_{attribute}": _same(attribute) for attribute in ATTRIBUTES},
    **{f"equal_{attribute}": lambda _, left, right: left == right for attribute in ATTRIBUTES},
}
