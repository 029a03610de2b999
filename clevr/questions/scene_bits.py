"""The objects of a scene as bit sets: bit *i* of a set stands for object *i*.

A description, a relation and their intersection are one integer each. A scene of which one object is changed differs in
few of these sets, so what asks the same about many changed scenes need not make them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clevr.questions.logical_form import Description


class SceneBits:
    """The objects of a scene by description, by relation and by equal attributes."""

    def __init__(
        self,
        everything: int,
        values: Mapping[str, Sequence[str]],
        related: Mapping[str, Sequence[int]],
        by_value: Mapping[str, Mapping[str, int]],
    ) -> None:
        self.everything = everything
        self.values = values
        """``values[attribute][i]``: the value of object *i*."""
        self.related = related
        """``related[relation][i]``: the objects in this relation to object *i*."""
        self.by_value = by_value
        """``by_value[attribute][value]``: the objects of this value; its keys are in the order of ``ATTRIBUTES``."""

    def same(self, attribute: str, index: int) -> int:
        """The other objects that share the attribute's value with an object."""
        return self.by_value[attribute][self.values[attribute][index]] & ~(1 << index)

    def fitting(self, description: Description) -> int:
        """The objects of the scene that fit a description."""
        (size, color, material, shape), by_value = description, self.by_value
        objects = self.everything
        if size is not None:
            objects &= by_value["size"].get(size, 0)
        if color is not None:
            objects &= by_value["color"].get(color, 0)
        if material is not None:
            objects &= by_value["material"].get(material, 0)
        if shape is not None:
            objects &= by_value["shape"].get(shape, 0)
        return objects

    def without(self, index: int) -> SceneBits:
        """The scene without one object; the others keep their numbers.

        That object is still in some of the sets of relations and of equal attributes, but fits no description.
        """
        return SceneBits(self.everything & ~(1 << index), self.values, self.related, self.by_value)

    def with_value(self, index: int, attribute: str, value: str) -> SceneBits:
        """The scene with another value of one object's attribute."""
        changed = [*self.values[attribute]]
        changed[index] = value
        values, by_value = {**self.values, attribute: changed}, {**self.by_value, attribute: sets_of(changed)}
        return SceneBits(self.everything, values, self.related, by_value)


def sets_of(values: Sequence[str]) -> dict[str, int]:
    """The objects of each value."""
    sets: dict[str, int] = {}
    for number, value in enumerate(values):
        sets[value] = sets.get(value, 0) | 1 << number
    return sets
