"""Which objects a question is finally about: those that are counted, asked for, or compared."""

from __future__ import annotations

from typing import cast

from clevr.questions.executor import trace
from clevr.questions.programs import Program
from clevr.world.scene import Scene


def referents(program: Program, scene: Scene) -> tuple[tuple[int, ...], ...]:
    """The objects that the last function of a program looks at.

    Args:
        program: any program of CLEVR.
        scene: what it is run on.

    Returns:
        One set of object numbers, sorted; two for a comparison, in the order of the program.

    Raises:
        ProgramError: as :func:`clevr.questions.execute`.
        IllPosedError: as :func:`clevr.questions.execute`.
    """
    outputs = trace(program, scene)
    last = program[-1]
    is_comparison = len(last.inputs) == 2  # it reads counts or values, each of which reads objects
    nodes = [program[number].inputs[0] if is_comparison else number for number in last.inputs]
    found = (outputs[number] for number in nodes)
    return tuple(objects if isinstance(objects, tuple) else (cast(int, objects),) for objects in found)
