"""A scene as bit sets: what the question writer looks up a thousand times, worked out once.

Bit *i* of a set stands for object *i*, so that a description, a relation and their intersection are
one integer each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clevr.questions.meaning import Description
from clevr.questions.programs import ATTRIBUTES, VALUES
from clevr.world.scene import RELATIONS, Scene

MASKS = tuple(tuple(bool(number >> place & 1) for place in range(4)) for number in range(16))
"""All 16 choices of what a description tells: ``(size, color, material, shape)``."""

_TOLD = tuple(frozenset(a for a, tell in zip(ATTRIBUTES, mask, strict=True) if tell) for mask in MASKS)


Option = tuple[Description, int]
"""A description and the objects that fit it."""


class SceneView:
    """The objects of a scene by description, by relation and by equal attributes."""

    def __init__(self, scene: Scene) -> None:
        self.everything = (1 << len(scene.objects)) - 1
        self.values = {name: [getattr(thing, name) for thing in scene.objects] for name in ATTRIBUTES}
        """``values[attribute][i]``: the value of object *i*."""
        self.by_mask = _group(self.values)
        """For each of :data:`MASKS`: every description that tells this much and fits an object."""
        self.related = {relation: [_bits(row) for row in scene.relationships[relation]] for relation in RELATIONS}
        """``related[relation][i]``: the objects in this relation to object *i*."""
        self.same = {attribute: _same(values) for attribute, values in self.values.items()}
        """``same[attribute][i]``: the other objects that share the attribute's value with object *i*."""
        self._unique: dict[tuple[int, frozenset[str]], list[Option]] = {}
        self._fitting = dict(option for options in self.by_mask for option in options)

    def unique(self, among: int, hidden: frozenset[str]) -> list[Option]:
        """The descriptions that single out one object among some, without telling hidden attributes.

        Where ``among`` is not the whole scene, a description that singles the object out by itself
        is left out: it would make the rest of the phrase idle.
        """
        key = (among, hidden)
        if key not in self._unique:
            everything = self.everything
            self._unique[key] = [
                (description, found)
                for told, options in zip(_TOLD, self.by_mask, strict=True)
                if told.isdisjoint(hidden)
                for description, objects in options
                if (found := objects & among) and not found & (found - 1) and (found != objects or among == everything)
            ]
        return self._unique[key]

    def fitting(self, description: Description) -> int:
        """The objects of the scene that fit a description."""
        return self._fitting.get(description, 0)

    def absent(self, mask: int, pick: Callable[[Sequence[str]], str]) -> Description | None:
        """A description that tells this much and fits no object; ``None`` where a few tries find none."""
        for _ in range(4):
            told = zip(MASKS[mask], ATTRIBUTES, strict=True)
            size, color, material, shape = (pick(VALUES[name]) if tell else None for tell, name in told)
            if (size, color, material, shape) not in self._fitting:
                return size, color, material, shape
        return None


def first_object(objects: int) -> int:
    """The number of the first object of a set that is not empty."""
    return (objects & -objects).bit_length() - 1


def _bits(members: Sequence[int]) -> int:
    bits = 0
    for member in members:
        bits |= 1 << member
    return bits


def _group(values: dict[str, list[str]]) -> list[list[Option]]:
    objects = list(zip(*(values[attribute] for attribute in ATTRIBUTES), strict=True))
    grouped = []
    for size, color, material, shape in MASKS:
        sets: dict[Description, int] = {}
        for number, (z, c, m, s) in enumerate(objects):
            key = (z if size else None, c if color else None, m if material else None, s if shape else None)
            sets[key] = sets.get(key, 0) | 1 << number
        grouped.append(list(sets.items()))
    return grouped


def _same(values: list[str]) -> list[int]:
    sets: dict[str, int] = {}
    for number, value in enumerate(values):
        sets[value] = sets.get(value, 0) | 1 << number
    return [sets[value] & ~(1 << number) for number, value in enumerate(values)]
