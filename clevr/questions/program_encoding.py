"""A program hop by hop: what each hop follows and filters by (encoding), and the objects it arrives at (trace).

Both are targets of auxiliary losses: the encoding has a fixed size, the trace says where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from clevr.questions import actions
from clevr.questions.actions import FUNCTIONS
from clevr.questions.programs import Output, Program, trace
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES, CLEVR, WorldSpec

MAX_HOPS = 4
"""From no hop to three, the most that CLEVR's questions take."""

STEPS = ("", *actions.STEPS)
"""What leads to the objects of a hop: nothing (the question does not take the hop), all objects, a relation, a shared
attribute, two strands that join."""

NUM_FIELDS = 1 + len(ATTRIBUTES)
"""Of each strand of a hop: its step and its four filters."""


def field_sizes(world: WorldSpec = CLEVR) -> tuple[int, ...]:
    """How many values each field of a strand takes; the first value is 'none'."""
    return (len(STEPS), *(1 + len(world.values[attribute]) for attribute in ATTRIBUTES))


Hop = tuple[int, ...]
"""Number of the step, then of the value of each filter, 0 for none."""

_NO_HOP: Hop = (0,) * NUM_FIELDS


def encode_program(program: Program, world: WorldSpec = CLEVR) -> tuple[tuple[tuple[Hop, Hop], ...], int]:
    """The hops of a program and how it ends.

    Args:
        program: any program of CLEVR.
        world: whose values it filters by.

    Returns:
        For the last hop but three, but two, but one, and the last: :data:`NUM_FIELDS` numbers of both strands, zeros
        where there is none; and the number of the last function in :data:`FUNCTIONS`.
    """
    last = program[-1]
    is_comparison = len(last.inputs) == 2
    ends = [program[number].inputs[0] if is_comparison else number for number in last.inputs]
    hops = _joined([_strand(program, number, world) for number in ends])[-MAX_HOPS:]
    missing = [(_NO_HOP, _NO_HOP)] * (MAX_HOPS - len(hops))
    return (*missing, *hops), FUNCTIONS.index(last.function)


def _strand(program: Program, number: int, world: WorldSpec) -> list[tuple[Hop, Hop]]:
    node = program[number]
    if not node.inputs:
        return [(_hop("scene"), _NO_HOP)]
    before = _joined([_strand(program, source, world) for source in node.inputs])
    kind, _, attribute = node.function.partition("_")
    if kind == "filter":
        (*fields,), other = before[-1]
        fields[1 + ATTRIBUTES.index(attribute)] = 1 + world.values[attribute].index(node.value_inputs[0])
        return [*before[:-1], (tuple(fields), other)]
    if kind == "unique":
        return before
    return [*before, (_hop(node.value_inputs[0] if kind == "relate" else node.function), _NO_HOP)]


def _joined(strands: Sequence[list[tuple[Hop, Hop]]]) -> list[tuple[Hop, Hop]]:
    """Two strands side by side; one that ends early has no further hops."""
    if len(strands) == 1:
        return strands[0]
    first, second = ([hop for hop, _ in strand] for strand in strands)
    length = max(len(first), len(second))
    padded = [strand + [_NO_HOP] * (length - len(strand)) for strand in (first, second)]
    return list(zip(*padded, strict=True))


def _hop(step: str) -> Hop:
    return (STEPS.index(step), *_NO_HOP[1:])


Sets = tuple[tuple[int, ...], ...]
"""Sets of object numbers, each sorted: one, or two where a question follows two strands."""


def referents(program: Program, scene: Scene) -> Sets:
    """The objects that the last function of a program looks at.

    Args:
        program: any program of CLEVR.
        scene: what it is run on.

    Returns:
        One set of object numbers; two for a comparison, in the order of the program.

    Raises:
        ProgramError: as :func:`clevr.questions.execute`.
        IllPosedError: as :func:`clevr.questions.execute`.
    """
    outputs = trace(program, scene)
    return tuple(_objects(outputs[number]) for number in _looked_at(program))


def trace_hops(program: Program, scene: Scene) -> tuple[Sets, ...]:
    """The objects that a program has arrived at after each of its hops.

    A relation, a ``same_...`` and the joining of two strands are a hop; what filters belongs to the hop before it. A
    strand that ends early keeps its objects.

    Args:
        program: any program of CLEVR.
        scene: what it is run on.

    Returns:
        One element for no hop, one hop and so on, the last equal to :func:`referents`; in each the set of the one
        strand, or of both.

    Raises:
        ProgramError: as :func:`clevr.questions.execute`.
        IllPosedError: as :func:`clevr.questions.execute`.
    """
    outputs = trace(program, scene)
    strands = [_strand_trace(program, number, outputs) for number in _looked_at(program)]
    if len(strands) == 1:
        return strands[0]
    return _side_by_side(strands[0], strands[1])


def _looked_at(program: Program) -> list[int]:
    """Nodes that give the objects which the last function looks at."""
    last = program[-1]
    is_comparison = len(last.inputs) == 2  # it reads counts or values, each of which reads objects
    return [program[number].inputs[0] if is_comparison else number for number in last.inputs]


def _objects(output: Output) -> tuple[int, ...]:
    return output if isinstance(output, tuple) else (cast(int, output),)


def _strand_trace(program: Program, number: int, outputs: list[Output]) -> tuple[Sets, ...]:
    """Hops up to a node that gives objects."""
    node, here = program[number], (_objects(outputs[number]),)
    if not node.inputs:
        return (here,)
    before = [_strand_trace(program, source, outputs) for source in node.inputs]
    if len(before) == 2:
        return (*_side_by_side(before[0], before[1]), here)
    is_hop = node.function == "relate" or node.function.startswith("same_")
    return (*before[0], here) if is_hop else (*before[0][:-1], here)


def _side_by_side(first: tuple[Sets, ...], second: tuple[Sets, ...]) -> tuple[Sets, ...]:
    """Two strands as one; of a strand that is itself joined from two, the first stands for it until they join."""
    hops = range(max(len(first), len(second)))
    return tuple((first[min(hop, len(first) - 1)][0], second[min(hop, len(second) - 1)][0]) for hop in hops)
