"""The functional programs of CLEVR: their functions, their types, their checks, and how one is run over a scene.

A program is a sequence of nodes; each node names a function, the earlier nodes it reads and the
literal values it takes. The catalogue is that of CLEVR v1.0 (Johnson et al., CVPR 2017,
https://arxiv.org/abs/1612.06890, supplementary material A).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from clevr.world.scene import RELATIONS, Scene
from clevr.world.spec import ATTRIBUTES, CLEVR, WorldSpec
from fewshot_film.errors import UserError, shown

VALUES = CLEVR.values
"""The values of each attribute in CLEVR; those of another world are its :attr:`WorldSpec.values`."""

QUESTION_TYPES = ("count", "exist", "compare integer", "query", "compare attribute")
"""The five types by which CLEVR's papers report accuracy."""


class ProgramError(UserError, ValueError):
    """A program that is no program of CLEVR; the message names node and function."""


class IllPosedError(ProgramError):
    """A sound program that has no answer in this scene: a ``unique`` without exactly one object."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a program."""

    function: str
    inputs: tuple[int, ...] = ()
    """Positions of the nodes whose outputs this one reads; all lie before it."""
    value_inputs: tuple[str, ...] = ()
    """Literal values, such as the colour of a ``filter_color``."""

    def to_json(self) -> dict[str, Any]:
        """The node as CLEVR v1.0's question files write it."""
        return {
            "function": self.function,
            "inputs": list(self.inputs),
            "value_inputs": list(self.value_inputs),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Node:
        """Read a node; the older keys ``type`` and ``side_inputs`` do too, further keys are ignored.

        Raises:
            ProgramError: the record names no function, or its inputs are no lists.
        """
        function = record.get("function", record.get("type"))
        inputs = record.get("inputs", [])
        values = record.get("value_inputs", record.get("side_inputs", []))
        if not isinstance(function, str):
            raise ProgramError(f"a program node must name its 'function' (or 'type'), got {shown(dict(record))}")
        if not (isinstance(inputs, list | tuple) and isinstance(values, list | tuple)):
            raise ProgramError(f"the inputs of {function} must be lists, got {shown(inputs)} and {shown(values)}")
        return cls(function, tuple(inputs), tuple(values))


Program = Sequence[Node]


class Signature(NamedTuple):
    """What a function reads, which literal value it takes and what it gives."""

    inputs: tuple[str, ...]
    output: str
    literal: str = ""
    """Its literal value: ``relation``, or a value of this attribute; empty for a function without one."""


def _catalogue() -> dict[str, Signature]:
    functions = {
        "scene": Signature((), "set"),
        "unique": Signature(("set",), "object"),
        "relate": Signature(("object",), "set", "relation"),
        "union": Signature(("set", "set"), "set"),
        "intersect": Signature(("set", "set"), "set"),
        "count": Signature(("set",), "integer"),
        "exist": Signature(("set",), "boolean"),
        "equal_integer": Signature(("integer", "integer"), "boolean"),
        "less_than": Signature(("integer", "integer"), "boolean"),
        "greater_than": Signature(("integer", "integer"), "boolean"),
    }
    for attribute in ATTRIBUTES:
        functions[f"filter_{attribute}"] = Signature(("set",), "set", attribute)
        functions[f"query_{attribute}"] = Signature(("object",), attribute)
        functions[f"same_{attribute}"] = Signature(("object",), "set")
        functions[f"equal_{attribute}"] = Signature((attribute, attribute), "boolean")
    return functions


CATALOGUE = _catalogue()
"""Every function of CLEVR v1.0 by its name."""


def check_node(program: Program, position: int, world: WorldSpec = CLEVR) -> Signature:
    """The signature of one node, after all checks that need no scene.

    Raises:
        ProgramError: an unknown function, a wrong number or type of inputs, an input that is not an
            earlier node, a value that the function does not know.
    """
    node = program[position]
    where = f"node {position} ({node.function})"
    signature = CATALOGUE.get(node.function)
    if signature is None:
        raise ProgramError(f"node {position}: unknown function {node.function!r}; CLEVR has {', '.join(CATALOGUE)}")
    if len(node.inputs) != len(signature.inputs):
        raise ProgramError(f"{where}: expected {len(signature.inputs)} inputs, got {shown(list(node.inputs))}")
    for number, expected in zip(node.inputs, signature.inputs, strict=True):
        if type(number) is not int or not 0 <= number < position:
            raise ProgramError(f"{where}: input {shown(number)} is not the number of an earlier node")
        source = program[number].function
        given = CATALOGUE[source].output
        if given != expected:
            raise ProgramError(f"{where}: expected {expected} as input, but node {number} ({source}) gives {given}")
    literal = signature.literal
    if len(node.value_inputs) != bool(literal):
        expected = "one literal value" if literal else "no literal value"
        raise ProgramError(f"{where}: expected {expected}, got {shown(list(node.value_inputs))}")
    if literal:
        allowed = RELATIONS if literal == "relation" else world.values[literal]
        if node.value_inputs[0] not in allowed:
            raise ProgramError(f"{where}: unknown value {shown(node.value_inputs[0])}; expected one of {allowed}")
    return signature


def check_program(program: Program, world: WorldSpec = CLEVR) -> None:
    """Check everything about a program that does not depend on a scene, only on its world.

    Raises:
        ProgramError: the program is empty, or a node is at fault (see :func:`check_node`), or the
            last node gives objects instead of an answer.
    """
    if not program:
        raise ProgramError("the program is empty: expected at least one node")
    output = [check_node(program, position, world) for position in range(len(program))][-1].output
    if output in ("set", "object"):
        last = f"node {len(program) - 1} ({program[-1].function})"
        raise ProgramError(f"{last}: the last node must give an answer, it gives {output}")


def question_type(program: Program) -> str:
    """One of :data:`QUESTION_TYPES`: the kind of answer that the last node computes.

    Raises:
        ProgramError: the program is empty or its last function gives no answer.
    """
    function = program[-1].function if program else None
    if function in ("count", "exist"):
        return function
    if function in ("equal_integer", "less_than", "greater_than"):
        return "compare integer"
    family, _, attribute = (function or "").partition("_")
    if attribute in ATTRIBUTES and family in ("query", "equal"):
        return "query" if family == "query" else "compare attribute"
    raise ProgramError(f"a question ends in a function that gives an answer, got {function!r}")


def num_hops(program: Program) -> int:
    """The number of spatial relations that a question follows."""
    return sum(node.function == "relate" for node in program)


Tree = tuple[Any, ...]


def program_tree(program: Program) -> Tree:
    """The program as nested tuples ``(function, values, *inputs)``, free of the order of its nodes.

    Two programs that compute the same in another node order, as CLEVR's own files hold them, have
    equal trees.
    """
    trees: list[Tree] = []
    for node in program:
        trees.append((node.function, node.value_inputs, *(trees[number] for number in node.inputs)))
    return trees[-1]


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
        check_node(program, position, scene.world)
        inputs = [outputs[number] for number in node.inputs]
        if node.function == "unique" and len(inputs[0]) != 1:
            raise IllPosedError(
                f"node {position} (unique): expected exactly one object, found {len(inputs[0])}; "
                "the question is ill-posed in this scene"
            )
        if node.function == "relate" and node.value_inputs[0] not in scene.relationships:
            raise ProgramError(
                f"node {position} (relate): the scene has no relation {shown(node.value_inputs[0])}, "
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
