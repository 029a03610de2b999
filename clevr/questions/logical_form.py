"""What a question means, between its text and its program.

The text of a question and its program are two spellings of one small tree: *what is asked* about
*which things*. The writer draws such a tree from a scene, :mod:`clevr.questions.templates` spells it as
text and reads text back into it, and :meth:`LogicalForm.program` spells it as a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from clevr.questions.families import FAMILIES, Family
from clevr.questions.programs import Node
from clevr.world.spec import ATTRIBUTES

Description = tuple[str | None, str | None, str | None, str | None]
"""Size, colour, material and shape, each given or None."""

NOTHING_TOLD: Description = (None, None, None, None)


def implies(one: Description, other: Description) -> bool:
    """Whether everything that fits one description fits the other too."""
    size, color, material, shape = other
    return (
        (size is None or size == one[0])
        and (color is None or color == one[1])
        and (material is None or material == one[2])
        and (shape is None or shape == one[3])
    )


class ObjectSet(NamedTuple):
    """The objects of ``source`` (of the whole scene, without one) that fit a description."""

    description: Description
    source: Related | Intersection | Same | Union | None = None


class Related(NamedTuple):
    """The objects in a relation to the one object ``to``."""

    relation: str
    to: ObjectSet


class Intersection(NamedTuple):
    """The objects in two relations at once. The text names ``second`` before ``first``, as CLEVR does."""

    first: Related
    second: Related


class Same(NamedTuple):
    """The other objects with the same value of an attribute as the one object ``to``."""

    attribute: str
    to: ObjectSet


class Union(NamedTuple):
    """The objects of one set or of the other."""

    first: ObjectSet
    second: ObjectSet


@dataclass(frozen=True, slots=True)
class LogicalForm:
    """What is asked (the last function of the program), about one kind of things or about two."""

    asks: str
    about: tuple[ObjectSet, ...]

    def program(self) -> tuple[Node, ...]:
        """The functional program, its nodes in the order in which CLEVR writes most of its own."""
        nodes: list[Node] = []
        if self.asks in ("count", "exist"):
            _add(nodes, self.asks, _add_things(nodes, self.about[0]))
        elif self.asks.startswith("query_"):
            _add(nodes, self.asks, _add_unique(nodes, self.about[0]))
        else:
            attribute = self.asks.removeprefix("equal_")
            compares_objects = attribute in ATTRIBUTES
            add_side = _add_unique if compares_objects else _add_things
            value = f"query_{attribute}" if compares_objects else "count"
            sides = [_add(nodes, value, add_side(nodes, things)) for things in self.about]
            _add(nodes, self.asks, *sides)
        return tuple(nodes)

    def families(self) -> tuple[Family, ...]:
        """The families with such a question: one; two if ``s+`` has no description; or none."""
        keys = {""}
        for things in self.about:
            keys = {f"{key} {shape}".strip() for key in keys for shape in _shapes(things)}
        attribute = _shared_attribute(self.about[0])
        return tuple(family for key in sorted(keys) for family in _BY_STRUCTURE.get((self.asks, key, attribute), ()))


_BY_STRUCTURE: dict[tuple[str, str, str], tuple[Family, ...]] = {}
for _family in FAMILIES:
    _key = (_family.asks, " ".join(_family.about), _family.attribute)
    _BY_STRUCTURE[_key] = (*_BY_STRUCTURE.get(_key, ()), _family)


def _shapes(things: ObjectSet) -> tuple[str, ...]:
    """The family notations (:mod:`clevr.questions.families`) that fit; none for what no family holds."""
    match things.source:
        case None:
            return ("x",)
        case Related(_, to):
            return tuple(f"r{shape}" for shape in _shapes(to) if set(shape) <= {"r", "x"})
        case Intersection(Related(_, one), Related(_, other)):
            return ("b",) if one.source is None and other.source is None else ()
        case Same(_, to):
            if to.source is not None:
                return ()
            return ("s", "s+") if things.description == NOTHING_TOLD else ("s+",)
        case Union(first, second):
            return tuple(f"{a}|{b}" for a in _shapes(first) for b in _shapes(second))


def _shared_attribute(things: ObjectSet) -> str:
    if isinstance(things.source, Same):
        return things.source.attribute
    if isinstance(things.source, Union):
        return ",".join(a for a, told in zip(ATTRIBUTES, things.description, strict=True) if told)
    return ""


def unique_program(things: ObjectSet) -> tuple[Node, ...]:
    """The program that finds the one object of a set; it ends in ``unique``."""
    nodes: list[Node] = []
    _add_unique(nodes, things)
    return tuple(nodes)


def _add(nodes: list[Node], function: str, *inputs: int, value: str | None = None) -> int:
    nodes.append(Node(function, inputs, () if value is None else (value,)))
    return len(nodes) - 1


def _add_unique(nodes: list[Node], things: ObjectSet) -> int:
    return _add(nodes, "unique", _add_things(nodes, things))


def _add_related(nodes: list[Node], related: Related) -> int:
    return _add(nodes, "relate", _add_unique(nodes, related.to), value=related.relation)


def _add_things(nodes: list[Node], things: ObjectSet) -> int:
    match things.source:
        case None:
            last = _add(nodes, "scene")
        case Related() as related:
            last = _add_related(nodes, related)
        case Intersection(first, second):
            last = _add(nodes, "intersect", _add_related(nodes, first), _add_related(nodes, second))
        case Same(attribute, to):
            last = _add(nodes, f"same_{attribute}", _add_unique(nodes, to))
        case Union(one, other):
            last = _add(nodes, "union", _add_things(nodes, one), _add_things(nodes, other))
    for attribute, value in zip(ATTRIBUTES, things.description, strict=True):
        if value is not None:
            last = _add(nodes, f"filter_{attribute}", last, value=value)
    return last
