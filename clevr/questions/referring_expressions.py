"""Samples referring expressions from a scene: objects described by attributes, relations and shared attributes.

Every object that a question singles out (*the cube*, *the ball left of it*) is another one, so that no phrase runs in a
circle or tells what is asked. The scene is held as bit sets (:mod:`clevr.questions.scene_bits`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from clevr.questions.logical_form import (
    Description,
    Intersection,
    ObjectSet,
    Related,
    Same,
    implies,
)
from clevr.questions.scene_bits import SceneBits, sets_of
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

    def shuffle(self, number: int) -> list[int]:
        """So many places in random order: as :meth:`order` with equal weights of 1."""
        random = self.random
        keys = [random() for _ in range(number)]
        return sorted(range(number), key=keys.__getitem__, reverse=True)


MASKS = tuple(tuple(bool(number >> place & 1) for place in range(4)) for number in range(16))
"""All 16 choices of what a description tells: ``(size, color, material, shape)``."""

_NAMES = tuple(frozenset(a for a, tell in zip(ATTRIBUTES, mask, strict=True) if tell) for mask in MASKS)


Option = tuple[Description, int]
"""A description and the objects that fit it."""


class SceneView(SceneBits):
    """The objects of a scene, and the descriptions that fit some of them."""

    def __init__(self, scene: Scene) -> None:
        values = {name: [getattr(thing, name) for thing in scene.objects] for name in ATTRIBUTES}
        super().__init__(
            everything=(1 << len(scene.objects)) - 1,
            values=values,
            related={relation: [_bits(row) for row in scene.relationships[relation]] for relation in RELATIONS},
            by_value={name: sets_of(column) for name, column in values.items()},
        )
        self.world = scene.world
        self._telling: dict[frozenset[str], tuple[list[Option], list[Option]]] = {}
        self._unique: dict[tuple[int, frozenset[str]], list[Option]] = {}

    @cached_property
    def by_mask(self) -> list[list[Option]]:
        """For each of :data:`MASKS`: every description that tells this much and fits an object."""
        alike = [[self.by_value[name][value] for value in column] for name, column in self.values.items()]
        told = [_told(*look) for look in zip(*self.values.values(), strict=True)]
        fitting = [[self.everything] * len(told)]  # for each mask, the objects that what it tells of an object fits
        for mask in range(1, len(MASKS)):
            highest = mask.bit_length() - 1
            rest = fitting[mask ^ 1 << highest]
            fitting.append([some & more for some, more in zip(rest, alike[highest], strict=True)])
        return [
            [(told[i][mask], objects) for i, objects in enumerate(sets) if not objects & (1 << i) - 1]
            for mask, sets in enumerate(fitting)
        ]

    def unique(self, among: int, hidden: frozenset[str]) -> list[Option]:
        """The descriptions that single out one object among some, without telling hidden attributes.

        Where ``among`` is not the whole scene, a description that singles the object out by itself
        is left out: it would make the rest of the phrase idle.
        """
        key = (among, hidden)
        options = self._unique.get(key)
        if options is None:
            options, several = self._without(hidden)
            if among != self.everything:
                options = [
                    (description, found)
                    for description, objects in several
                    if (found := objects & among) and not found & (found - 1)
                ]
            self._unique[key] = options
        return options

    def _without(self, hidden: frozenset[str]) -> tuple[list[Option], list[Option]]:
        """The descriptions that tell no hidden attribute: those that fit one object, and those that fit several."""
        options = self._telling.get(hidden)
        if options is None:
            options = [], []
            for told, some in zip(_NAMES, self.by_mask, strict=True):
                if told.isdisjoint(hidden):
                    for option in some:
                        options[option[1] & (option[1] - 1) > 0].append(option)
            self._telling[hidden] = options
        return options

    def absent(self, mask: int, pick: Callable[[Sequence[str]], str]) -> Description | None:
        """A description that tells this much and fits no object; ``None`` where a few tries find none."""
        for _ in range(4):
            told = zip(MASKS[mask], ATTRIBUTES, strict=True)
            size, color, material, shape = (pick(self.world.values[name]) if tell else None for tell, name in told)
            if not self.fitting((size, color, material, shape)):
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


@cache
def _told(*look: str) -> tuple[Description, ...]:
    """What each of :data:`MASKS` tells of an object, whose values are in the order of ``ATTRIBUTES``."""
    descriptions = ([value if tell else None for value, tell in zip(look, mask, strict=True)] for mask in MASKS)
    return tuple((size, color, material, shape) for size, color, material, shape in descriptions)


MASK_WEIGHTS = (0.3, 0.8, 1.2, 0.9, 0.3)
"""Sampling weights of the number of attributes, 0 to 4, that describe a set of objects."""

_TRIES = 8
"""So often is a description picked before a phrase is given up."""


class Origin(NamedTuple):
    """Where a description looks for its objects."""

    source: Related | Intersection | Same | None
    same: str
    """The attribute that all of them share with another object; empty where they need not."""
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
        if shape == "x":
            source: Related | Intersection | Same | None = None
            landmarks: tuple[Description, ...] = ()
            telltales: list[Description] = []
            options = self.view.unique(self.view.everything, _hide(hidden))
        else:
            origin = self.origin(shape, taken)
            if origin is None:
                return None
            source, same, among, wider, taken, landmarks = origin
            options = self.view.unique(among, _hide(hidden, same))
            if len(wider) > 1:
                options = [option for option in options if self._needs_all(origin, option[0])]
            telltales = _without(hidden, landmarks) if hidden else []
        number, random = len(options), self.draw.random
        for _ in range(_TRIES if number else 0):
            description, objects = options[int(random() * number)]
            if not objects & taken and not (telltales and any(implies(description, other) for other in telltales)):
                things = ObjectSet(description, source)
                return Named(things, objects.bit_length() - 1, taken | objects, landmarks or (description,))
        return None

    def origin(self, shape: str, taken: int = 0) -> Origin | None:
        """Where things of a shape come from; ``None`` where the draw met no such phrase."""
        kind, inner, attribute = _steps(shape)
        if kind == "x":
            return Origin(None, "", self.view.everything, (), taken, ())
        if kind == "r":
            to = self.named(inner, taken=taken)
            if to is None:
                return None
            related, among = self._related(to)
            return Origin(related, "", among, (self.view.everything,), to.taken, to.landmarks)
        if kind == "s":
            to = self.named(inner, attribute, taken)
            if to is None:
                return None
            same = self.view.same(attribute, to.object)
            return Origin(Same(attribute, to.things), attribute, same, (), to.taken, to.landmarks)
        one = self.named("x", attribute, taken)
        other = one and self.named("x", taken=one.taken)
        if one is None or other is None:
            return None
        return self._of_two(one, other, attribute)

    def _of_two(self, one: Named, other: Named, attribute: str) -> Origin:
        """The objects in relations to two others, or that share an attribute with the first instead."""
        first: Related | Same
        if attribute:
            first, here = Same(attribute, one.things), self.view.same(attribute, one.object)
            second, there = self._related(other)
        else:
            first, here = self._related(one)
            second, there = self._related(other)
        landmarks = (*one.landmarks, *other.landmarks)
        return Origin(Intersection(first, second), attribute, here & there, (there, here), other.taken, landmarks)

    def options(self, origin: Origin, mask: int) -> list[Option]:
        """Every description of a mask that is worth asking for, with the objects it finds at the origin.

        Each fits an object of the scene, though perhaps none at the origin.
        """
        among, wider, landmarks = origin.among, origin.wider, origin.landmarks
        found = []
        for description, objects in self.view.by_mask[mask]:
            here = objects & among
            for other in wider:
                if here == objects & other:
                    break
            else:
                for landmark in landmarks:
                    if implies(description, landmark):
                        break
                else:
                    found.append((description, here))
        return found

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
def _steps(shape: str) -> tuple[str, str, str]:
    """The first letter of a notation, the notation behind it, and its attribute; ``bs`` is a ``b`` with one."""
    steps, _, attribute = shape.partition(" ")
    return steps[0], f"{steps[1:] or 'x'} {attribute}" if steps[0] == "r" and attribute else steps[1:] or "x", attribute


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
