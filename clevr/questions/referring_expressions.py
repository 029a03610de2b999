"""Samples referring expressions from a scene: objects described by attributes, relations and shared attributes.

Every object that a question singles out (*the cube*, *the ball left of it*) is another one, so that no phrase runs in a
circle or tells what is asked. The scene is held as bit sets: bit *i* of a set stands for object *i*, so that a
description, a relation and their intersection are one integer each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np

from clevr.questions.logical_form import (
    NOTHING_TOLD,
    Description,
    Intersection,
    ObjectSet,
    Related,
    Same,
    implies,
    shared_attribute,
)
from clevr.world.scene import RELATIONS, Scene
from clevr.world.spec import ATTRIBUTES

T = TypeVar("T")


class StableRandom:
    """Random choices, all made from ``random.Random.random``: the one draw that no release changes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.random = random.Random(int(rng.integers(1 << 63))).random

    def pick(self, options: Sequence[T]) -> T:
        """One of some options, each equally likely."""
        return options[int(self.random() * len(options))]

    def weigh(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of some options, with probabilities in proportion to the weights."""
        mark = self.random() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0:
                return option
        return options[-1]

    def order(self, weights: Sequence[float]) -> list[int]:
        """All places of a sequence in random order, those of large weight early.

        The first places are draws in proportion to the weights without replacement
        (Efraimidis and Spirakis 2006: sort by ``u ** (1 / weight)``).
        """
        keys = [self.random() ** (1 / weight) for weight in weights]
        return sorted(range(len(keys)), key=keys.__getitem__, reverse=True)


MASKS = tuple(tuple(bool(number >> place & 1) for place in range(4)) for number in range(16))
"""All 16 choices of what a description tells: ``(size, color, material, shape)``."""

_TOLD = tuple(frozenset(a for a, tell in zip(ATTRIBUTES, mask, strict=True) if tell) for mask in MASKS)


Option = tuple[Description, int]
"""A description and the objects that fit it."""


class SceneView:
    """The objects of a scene by description, by relation and by equal attributes."""

    def __init__(self, scene: Scene) -> None:
        self.world = scene.world
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
            size, color, material, shape = (pick(self.world.values[name]) if tell else None for tell, name in told)
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


MASK_WEIGHTS = (0.3, 0.8, 1.2, 0.9, 0.3)
"""Sampling weights of the number of attributes, 0 to 4, that describe a set of objects."""

_TRIES = 8
"""So often is a description picked before a phrase is given up."""


class Origin(NamedTuple):
    """Where a description looks for its objects."""

    source: Related | Intersection | Same | None
    among: int
    wider: tuple[int, ...]
    """``among`` without one of its conditions, for each; a condition that leaves some description with
    the same objects as without it is idle there, and the description is not used."""
    taken: int
    """The objects that were singled out on the way."""
    landmarks: tuple[Description, ...]
    """The descriptions that singled one out of the whole scene. No other object fits them, so things
    whose description implies one are none: the text would tell the answer."""


class Named(NamedTuple):
    """A description that fits exactly one object."""

    things: ObjectSet
    object: int
    taken: int
    landmarks: tuple[Description, ...]


class ReferringExpressions:
    """Draws phrases about one scene."""

    def __init__(self, view: SceneView, draw: StableRandom) -> None:
        self.view = view
        self.draw = draw

    def named(self, shape: str, hidden: str = "", taken: int = 0) -> Named | None:
        """An object set of a shape (see :mod:`clevr.questions.families`) that holds exactly one object.

        Args:
            shape: ``x``, ``rx``, ``rrx``, ``rrrx``, ``b``; or one with an ``s``, and the attribute: ``s color``.
            hidden: an attribute that the phrase must not tell.
            taken: objects that it must not single out.

        Returns:
            ``None`` where the draw met no such phrase; another draw may.
        """
        origin = self.origin(shape, taken)
        if origin is None:
            return None
        same = shared_attribute(ObjectSet(NOTHING_TOLD, origin.source))
        options = self.view.unique(origin.among, _hide(hidden, same))
        if len(origin.wider) > 1:
            options = [option for option in options if self._needs_all(origin, option[0])]
        telltales = _without(hidden, origin.landmarks)
        for _ in range(_TRIES if options else 0):
            description, objects = self.draw.pick(options)
            given_away = any(implies(description, telltale) for telltale in telltales)
            if not objects & origin.taken and not given_away:
                things = ObjectSet(description, origin.source)
                landmarks = origin.landmarks or (description,)
                return Named(things, first_object(objects), origin.taken | objects, landmarks)
        return None

    def origin(self, shape: str, taken: int = 0) -> Origin | None:
        """Where things of a shape come from; ``None`` where the draw met no such phrase."""
        everything = self.view.everything
        steps, _, attribute = shape.partition(" ")
        if steps == "x":
            return Origin(None, everything, (), taken, ())
        if steps[0] == "r":
            to = self.named(shape[1:], taken=taken)
            if to is None:
                return None
            related, among = self._related(to)
            return Origin(related, among, (everything,), to.taken, to.landmarks)
        if steps == "bs":
            return self._related_and_same(attribute, taken)
        if steps == "b":
            one = self.named("x", taken=taken)
            other = one and self.named("x", taken=one.taken)
            if one is None or other is None:
                return None
            (first, here), (second, there) = self._related(one), self._related(other)
            landmarks = (*one.landmarks, *other.landmarks)
            return Origin(Intersection(first, second), here & there, (there, here), other.taken, landmarks)
        to = self.named(steps[1:] or "x", attribute, taken)
        if to is None:
            return None
        same = self.view.same[attribute][to.object]
        return Origin(Same(attribute, to.things), same, (), to.taken, to.landmarks)

    def _related_and_same(self, attribute: str, taken: int) -> Origin | None:
        one = self.named("x", attribute, taken)
        other = one and self.named("x", taken=one.taken)
        if one is None or other is None:
            return None
        same, (related, there) = self.view.same[attribute][one.object], self._related(other)
        source = Intersection(Same(attribute, one.things), related)
        return Origin(source, same & there, (there, same), other.taken, (*one.landmarks, *other.landmarks))

    def options(self, origin: Origin, mask: int) -> list[Option]:
        """Every description of a mask that is worth asking for, with the objects it finds at the origin.

        Each fits an object of the scene, though perhaps none at the origin.
        """
        among, wider = origin.among, origin.wider
        return [
            (description, objects & among)
            for description, objects in self.view.by_mask[mask]
            if all(objects & among != objects & other for other in wider)
            and not any(implies(description, landmark) for landmark in origin.landmarks)
        ]

    def mask(self, *hidden: str, least: int = 0) -> int:
        """How much to tell of a set of things: one of the places of ``MASKS``.

        Args:
            hidden: attributes not to tell.
            least: the number of attributes to tell at least.
        """
        most = 4 - len(hidden)
        told = self.draw.weigh(range(least, most + 1), MASK_WEIGHTS[least : most + 1])
        return self.draw.pick(_MASKS_TELLING[told, frozenset(hidden)])

    def _related(self, to: Named) -> tuple[Related, int]:
        relation = self.draw.pick(RELATIONS)
        return Related(relation, to.things), self.view.related[relation][to.object]

    def _needs_all(self, origin: Origin, description: Description) -> bool:
        objects = self.view.fitting(description)
        return all(objects & origin.among != objects & other for other in origin.wider)


def _without(hidden: str, landmarks: tuple[Description, ...]) -> list[Description]:
    """The landmarks that tell a hidden attribute, without it.

    Objects that fit one of these cannot have the landmark's value: they would be the landmark.
    """
    if not hidden:
        return []
    place = ATTRIBUTES.index(hidden)
    telling = [list(landmark) for landmark in landmarks if landmark[place]]
    for landmark in telling:
        landmark[place] = None
    return [(size, color, material, shape) for size, color, material, shape in telling]


@cache
def _hide(*attributes: str) -> frozenset[str]:
    return frozenset(filter(None, attributes))


_MASKS_TELLING = {
    (told, frozenset(hidden)): [
        place
        for place, mask in enumerate(MASKS)
        if sum(mask) == told and not any(mask[ATTRIBUTES.index(attribute)] for attribute in hidden)
    ]
    for hidden in [(), *((a,) for a in ATTRIBUTES), *((a, b) for a in ATTRIBUTES for b in ATTRIBUTES)]
    for told in range(5)
}
