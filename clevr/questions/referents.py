"""Which objects a question is about, hop by hop, up to those that are counted, asked for or compared."""

from __future__ import annotations

from typing import cast

from clevr.questions.executor import Output, trace
from clevr.questions.programs import Program
from clevr.world.scene import Scene

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


def referents_by_hop(program: Program, scene: Scene) -> tuple[Sets, ...]:
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
    strands = [_strand(program, number, outputs) for number in _looked_at(program)]
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


def _strand(program: Program, number: int, outputs: list[Output]) -> tuple[Sets, ...]:
    """Hops up to a node that gives objects."""
    node, here = program[number], (_objects(outputs[number]),)
    if not node.inputs:
        return (here,)
    before = [_strand(program, source, outputs) for source in node.inputs]
    if len(before) == 2:
        return (*_side_by_side(before[0], before[1]), here)
    is_hop = node.function == "relate" or node.function.startswith("same_")
    return (*before[0], here) if is_hop else (*before[0][:-1], here)


def _side_by_side(first: tuple[Sets, ...], second: tuple[Sets, ...]) -> tuple[Sets, ...]:
    """Two strands as one; of a strand that is itself joined from two, the first stands for it until they join."""
    hops = range(max(len(first), len(second)))
    return tuple((first[min(hop, len(first) - 1)][0], second[min(hop, len(second) - 1)][0]) for hop in hops)
