"""The 90 question families of CLEVR v1.0, those of CLOSURE, their numbers and how often each is tried.

A family is what is asked (its last function) about one or two descriptions of things. The notation
of a description, read from left to right as the text names it:

======= ==========================================================================
``x``    objects described by their attributes: *the small red cube*
``rx``   things related to one such thing; ``rrx`` and ``rrrx`` follow more relations
``b``    things that stand in two relations at once: *both left of ... and behind ...*
``s``    other things of the same size, colour, material or shape as one thing
``s+``   the same, described by further attributes: *another red cube of the same size as ...*
``x|rx`` the union of two descriptions: *either ... or ...*
``sx``   as ``s+``, where CLEVR has no such things: things that share an attribute with one ``x``
``srx``  the same with one ``rx``; ``rsx``: things related to one ``sx``
``bs``   things that stand in one relation and share an attribute: *behind ... and as large as ...*
======= ==========================================================================

CLEVR's files hold only the number. Its order is that of the public generator's template files as
the authors read them (compare_integer, comparison, three_hop, single_and, same_relate, single_or,
one_hop, two_hop, zero_hop); see https://github.com/facebookresearch/clevr-dataset-gen/issues/14.

CLOSURE (Bahdanau et al. 2019, https://arxiv.org/abs/1912.05783) asks with the same words and functions what none of
these ask: seven groups of families, in which shared attributes meet relations, unions and comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from fewshot_film.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Family:
    """One family of questions."""

    index: int
    group: str
    asks: str
    """The last function of its programs."""
    about: tuple[str, ...]
    """One description, or the two that are compared."""
    attribute: str = ""
    """Where an ``s`` is in ``about``: what is the same; another union: the attribute described for the whole."""


_A = ("size", "color", "material", "shape")
_HOPS = ("count", "exist", "query_size", "query_color", "query_material", "query_shape")


def _rows() -> list[tuple[str, str, str, str]]:
    """Group, last function, descriptions and attribute, in the order of the family numbers."""
    integer = ("equal_integer", "less_than", "greater_than")
    three_hop = (*_HOPS[:3], "query_shape", "query_color", "query_material")
    zero_hop = ("count", "exist", "query_shape", "query_material", "query_color", "query_size")
    return [
        *(("compare_integer", ask, about, "") for about in ("x x", "rx x", "rx rx") for ask in integer),
        *(("comparison", f"equal_{a}", "x x", "") for a in _A),
        *(("comparison", f"equal_{a}", about, "") for a in _A for about in ("rx x", "x rx", "rx rx")),
        *(("three_hop", ask, "rrrx", "") for ask in three_hop),
        *(("single_and", ask, "b", "") for ask in ("count", *(f"query_{a}" for a in _A))),
        *(("same_relate", ask, "s", a) for ask in ("exist", "count") for a in _A),
        *(("same_relate", ask, "s+", a) for ask in ("exist", "count") for a in _A),
        *(("same_relate", f"query_{b}", "s+", a) for a in _A for b in _A if b != a),
        ("single_or", "count", "x|x", ""),
        ("single_or", "count", "x|x", "size"),
        ("single_or", "count", "x|x", "color"),
        ("single_or", "count", "rx|rx", ""),
        ("single_or", "count", "x|x", "material"),
        ("single_or", "count", "x|x", "shape"),
        ("single_or", "count", "rx|x", ""),
        ("single_or", "count", "x|rx", ""),
        *(("one_hop", ask, "rx", "") for ask in _HOPS),
        *(("two_hop", ask, "rrx", "") for ask in _HOPS),
        *(("zero_hop", ask, "x", "") for ask in zero_hop),
    ]


FAMILIES = tuple(
    Family(index, group, ask, tuple(about.split()), attribute)
    for index, (group, ask, about, attribute) in enumerate(_rows())
)
"""All 90 families; ``FAMILIES[i]`` has CLEVR's ``question_family_index`` *i*."""

GROUPS = tuple(dict.fromkeys(family.group for family in FAMILIES))
"""The nine groups."""


def _closure_rows() -> list[tuple[str, str, str, str]]:
    """Group, last function, descriptions and shared attribute; no family asks for what is the same anyway."""
    asked_and_same = [(asked, same) for asked in _A for same in _A if asked != same]
    return [
        *(("and_mat_spa", f"query_{asked}", "bs", same) for asked, same in asked_and_same),
        *(("or_mat", "count", "x|sx", same) for same in _A),
        *(("or_mat_spa", "count", "rx|sx", same) for same in _A),
        *(("compare_mat", f"equal_{asked}", "sx x", same) for asked, same in asked_and_same),
        *(("compare_mat_spa", f"equal_{asked}", "sx rx", same) for asked, same in asked_and_same),
        *(("embed_mat_spa", "exist", "rsx", same) for same in _A),
        *(("embed_spa_mat", "exist", "srx", same) for same in _A),
    ]


CLOSURE_FAMILIES = tuple(
    Family(index, group, ask, tuple(about.split()), attribute)
    for index, (group, ask, about, attribute) in enumerate(_closure_rows(), start=len(FAMILIES))
)
"""CLOSURE's families, numbered on from CLEVR's."""

CLOSURE_GROUPS = tuple(dict.fromkeys(family.group for family in CLOSURE_FAMILIES))
"""The seven kinds of question that CLOSURE's authors report; each asks for several attributes."""

ALL_FAMILIES = (*FAMILIES, *CLOSURE_FAMILIES)
"""``ALL_FAMILIES[i]`` has number *i*."""


def global_family_index(template_filename: str, index: int) -> int:
    """CLEVR v1.0's number of the family that the public generator counts within a template file.

    Raises:
        ValueError: there is no such group, or it has no such family.
    """
    members = [family.index for family in FAMILIES if family.group == PurePath(template_filename).stem]
    if not members:
        raise InvalidValueError(f"unknown group of families {template_filename!r}; expected one of {GROUPS}")
    if not 0 <= index < len(members):
        raise InvalidValueError(f"{template_filename} has {len(members)} families, no number {index}")
    return members[index]


_ROWS = (
    (0.74, 0.72, 0.73, 0.66, 0.71, 0.96, 0.71, 0.86, 0.92, 0.88),
    (1.87, 0.85, 0.85, 0.79, 0.87, 1.08, 1.29, 1.24, 1.68, 0.85),
    (0.81, 1.00, 0.78, 0.81, 1.09, 0.92, 0.98, 1.25, 1.25, 0.95),
    (1.30, 1.84, 2.08, 1.09, 2.22, 2.08, 3.55, 1.30, 3.74, 1.66),
    (0.82, 1.17, 0.82, 0.85, 0.71, 0.97, 0.72, 0.77, 0.71, 1.03),
    (0.66, 0.77, 0.83, 1.06, 1.07, 3.52, 3.67, 3.68, 1.10, 0.80),
    (1.05, 1.20, 0.89, 1.24, 0.69, 0.67, 0.73, 0.91, 0.67, 0.71),
    (0.72, 0.76, 0.83, 0.82, 0.87, 0.72, 0.83, 0.79, 0.84, 0.89),
    (0.97, 0.75, 0.94, 0.85, 0.66, 0.68, 0.78, 0.80, 0.85, 0.79),
)

_CLOSURE_WEIGHTS = dict(zip(CLOSURE_GROUPS, (0.95, 1.16, 1.90, 0.49, 0.66, 1.52, 0.99), strict=True))

FAMILY_WEIGHTS = (
    *(weight for row in _ROWS for weight in row),
    *(_CLOSURE_WEIGHTS[family.group] for family in CLOSURE_FAMILIES),
)
"""How eagerly each family is tried, by its number, so that all 90, or CLOSURE's seven groups, are written as often.

A family that few scenes can serve (*is there anything else of the same size* needs an object that is alone in its size)
must be tried early wherever it can be. Fitted once, on many scenes, by ``python -m benchmarks.clevr_questions
weights``, which prints this table.
"""
