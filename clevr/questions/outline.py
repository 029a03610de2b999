"""The outline of a program: what each hop follows and filters by, in a table of fixed size."""

from __future__ import annotations

from collections.abc import Sequence

from clevr.questions.programs import ATTRIBUTES, CATALOGUE, VALUES, Program
from clevr.world.scene import RELATIONS

MAX_HOPS = 4
"""From no hop to three, the most that CLEVR's questions take."""

STEPS = ("", "scene", *RELATIONS, *(f"same_{attribute}" for attribute in ATTRIBUTES), "union", "intersect")
"""What leads to the objects of a hop: nothing (the question does not take the hop), all objects, a relation, a shared
attribute, two strands that join."""

FUNCTIONS = tuple(name for name, known in CATALOGUE.items() if known.output not in ("set", "object"))
"""What a program may end with."""

FIELDS = (len(STEPS), *(1 + len(VALUES[attribute]) for attribute in ATTRIBUTES))
"""Of each strand of a hop: how many values its step and its four filters take; the first value is 'none'."""

Hop = tuple[int, ...]
"""Number of the step, then of the value of each filter, 0 for none."""

_NO_HOP: Hop = (0,) * len(FIELDS)


def outline(program: Program) -> tuple[tuple[tuple[Hop, Hop], ...], int]:
    """The hops of a program and how it ends.

    Args:
        program: any program of CLEVR.

    Returns:
        For the last hop but three, but two, but one, and the last: :data:`FIELDS` of both strands, zeros where there is
        none; and the number of the last function in :data:`FUNCTIONS`.
    """
    last = program[-1]
    is_comparison = len(last.inputs) == 2
    ends = [program[number].inputs[0] if is_comparison else number for number in last.inputs]
    hops = _joined([_strand(program, number) for number in ends])[-MAX_HOPS:]
    missing = [(_NO_HOP, _NO_HOP)] * (MAX_HOPS - len(hops))
    return (*missing, *hops), FUNCTIONS.index(last.function)


def _strand(program: Program, number: int) -> list[tuple[Hop, Hop]]:
    node = program[number]
    if not node.inputs:
        return [(_hop("scene"), _NO_HOP)]
    before = _joined([_strand(program, source) for source in node.inputs])
    kind, _, attribute = node.function.partition("_")
    if kind == "filter":
        (*fields,), other = before[-1]
        fields[1 + ATTRIBUTES.index(attribute)] = 1 + VALUES[attribute].index(node.value_inputs[0])
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
