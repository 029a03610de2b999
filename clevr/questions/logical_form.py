"""What a question means, between its text and its program.

The text of a question and its program are two spellings of one small tree: *what is asked* about
*which things*. The writer draws such a tree from a scene, :mod:`clevr.questions.templates` spells it as
text and reads text back into it, and :meth:`LogicalForm.program` spells it as a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from clevr.questions.families import ALL_FAMILIES, Family
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
    """The objects in two relations at once, or in one that share an attribute.

    The text names ``second`` before ``first``, as CLEVR does.
    """

    first: Related | Same
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
        attribute = ",".join(attribute for things in self.about for attribute in _fixed_attributes(things))
        return tuple(family for key in sorted(keys) for family in _BY_STRUCTURE.get((self.asks, key, attribute), ()))


_BY_STRUCTURE: dict[tuple[str, str, str], tuple[Family, ...]] = {}
for _family in ALL_FAMILIES:
    _key = (_family.asks, " ".join(_family.about), _family.attribute)
    _BY_STRUCTURE[_key] = (*_BY_STRUCTURE.get(_key, ()), _family)


def _shapes(things: ObjectSet) -> tuple[str, ...]:
    """The family notations (:mod:`clevr.questions.families`) that fit; none for what no family holds."""
    match things.source:
        case None:
            return ("x",)
        case Related(_, to):
            return tuple(f"r{shape}" for shape in _shapes(to))
        case Intersection(first, second):
            plain = first.to.source is None and second.to.source is None
            return ("bs" if isinstance(first, Same) else "b",) if plain else ()
        case Same(_, to):
            chained = tuple(f"s{shape}" for shape in _shapes(to))
            if to.source is not None:
                return chained
            return ("s", "s+", *chained) if things.description == NOTHING_TOLD else ("s+", *chained)
        case Union(first, second):
            return tuple(f"{a}|{b}" for a in _shapes(first) for b in _shapes(second))


def shared_attribute(things: ObjectSet) -> str:
    """What things have in common with another one; empty where they are not told by that."""
    match things.source:
        case Same(attribute, _) | Intersection(Same(attribute, _), _):
            return attribute
    return ""


def _fixed_attributes(things: ObjectSet) -> tuple[str, ...]:
    """The attributes that are the same on the way to some things, or described for the whole of a union."""
    match things.source:
        case None:
            return ()
        case Related(_, to):
            return _fixed_attributes(to)
        case Same(attribute, to):
            return (attribute, *_fixed_attributes(to))
        case Intersection(first, second):
            return tuple(a for source in (first, second) for a in _fixed_attributes(ObjectSet(NOTHING_TOLD, source)))
        case Union(first, second):
            told = (a for a, value in zip(ATTRIBUTES, things.description, strict=True) if value)
            return (*told, *_fixed_attributes(first), *_fixed_attributes(second))


def unique_program(things: ObjectSet) -> tuple[Node, ...]:
    """The program that finds the one object of a set; it ends in ``unique``."""
    nodes: list[Node] = []
    _add_unique(nodes, things)
    return tuple(nodes)


def _add(nodes: list[Node], function: str, *inputs: int, value: str | None = None) -> int:
    nodes.append(_node(function, inputs, value))
    return len(nodes) - 1


@cache
def _node(function: str, inputs: tuple[int, ...], value: str | None) -> Node:
    """A node, which all programs share that have it; there are few."""
    return Node(function, inputs, () if value is None else (value,))


def _add_unique(nodes: list[Node], things: ObjectSet) -> int:
    return _add(nodes, "unique", _add_things(nodes, things))


def _add_step(nodes: list[Node], source: Related | Same) -> int:
    to = _add_unique(nodes, source.to)
    if isinstance(source, Related):
        return _add(nodes, "relate", to, value=source.relation)
    return _add(nodes, f"same_{source.attribute}", to)


def _add_things(nodes: list[Node], things: ObjectSet) -> int:
    match things.source:
        case None:
            last = _add(nodes, "scene")
        case Related() | Same() as source:
            last = _add_step(nodes, source)
        case Intersection(first, second):
            last = _add(nodes, "intersect", _add_step(nodes, first), _add_step(nodes, second))
        case Union(one, other):
            last = _add(nodes, "union", _add_things(nodes, one), _add_things(nodes, other))
    for attribute, value in zip(ATTRIBUTES, things.description, strict=True):
        if value is not None:
            last = _add(nodes, f"filter_{attribute}", last, value=value)
    return last
