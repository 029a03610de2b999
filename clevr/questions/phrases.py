"""Draws the phrases of a question from a scene: things told by attributes, relations and likeness.

Every object that a question singles out (*the cube*, *the ball left of it*) is another one, so that
no phrase runs in a circle or tells what is asked.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from clevr.questions.dice import Dice
from clevr.questions.meaning import Both, Description, Related, Same, Things, implies
from clevr.questions.programs import ATTRIBUTES
from clevr.questions.view import MASKS, Option, SceneView, first_object
from clevr.world.scene import RELATIONS

MASK_WEIGHTS = (0.3, 0.8, 1.2, 0.9, 0.3)
"""How often a set of things is told by none, one, ... all four of its attributes."""

_TRIES = 8
"""So often is a description picked before a phrase is given up."""


class Origin(NamedTuple):
    """Where a description looks for its objects."""

    source: Related | Both | Same | None
    among: int
    wider: tuple[int, ...]
    """``among`` without one of its relations, for each; a relation that leaves some description with
    the same objects as without it is idle there, and the description is not used."""
    taken: int
    """The objects that were singled out on the way."""
    landmarks: tuple[Description, ...]
    """The descriptions that singled one out of the whole scene. No other object fits them, so things
    whose description implies one are none: the text would tell the answer."""


class Named(NamedTuple):
    """Things of which there is exactly one."""

    things: Things
    object: int
    taken: int
    landmarks: tuple[Description, ...]


class Phrases:
    """Draws phrases about one scene."""

    def __init__(self, view: SceneView, dice: Dice) -> None:
        self.view = view
        self.dice = dice

    def named(self, shape: str, hidden: str = "", taken: int = 0) -> Named | None:
        """Things of a shape (see :mod:`clevr.questions.families`) that are exactly one object.

        Args:
            shape: ``x``, ``rx``, ``rrx``, ``rrrx``, ``b``, or ``s`` with an attribute, ``s color``.
            hidden: an attribute that the phrase must not tell.
            taken: objects that it must not single out.

        Returns:
            ``None`` where the draw met no such phrase; another draw may.
        """
        origin = self.origin(shape, taken)
        if origin is None:
            return None
        same = origin.source.attribute if isinstance(origin.source, Same) else ""
        options = self.view.unique(origin.among, _hide(hidden, same))
        if len(origin.wider) > 1:
            options = [option for option in options if self._needs_all(origin, option[0])]
        telltales = _without(hidden, origin.landmarks)
        for _ in range(_TRIES if options else 0):
            description, objects = self.dice.pick(options)
            given_away = any(implies(description, telltale) for telltale in telltales)
            if not objects & origin.taken and not given_away:
                things = Things(description, origin.source)
                landmarks = origin.landmarks or (description,)
                return Named(things, first_object(objects), origin.taken | objects, landmarks)
        return None

    def origin(self, shape: str, taken: int = 0) -> Origin | None:
        """Where things of a shape come from; ``None`` where the draw met no such phrase."""
        everything = self.view.everything
        if shape == "x":
            return Origin(None, everything, (), taken, ())
        if shape[0] == "r":
            to = self.named(shape[1:], taken=taken)
            if to is None:
                return None
            related, among = self._related(to)
            return Origin(related, among, (everything,), to.taken, to.landmarks)
        if shape == "b":
            one = self.named("x", taken=taken)
            other = one and self.named("x", taken=one.taken)
            if one is None or other is None:
                return None
            (first, here), (second, there) = self._related(one), self._related(other)
            landmarks = (*one.landmarks, *other.landmarks)
            return Origin(Both(first, second), here & there, (there, here), other.taken, landmarks)
        attribute = shape.split()[1]
        to = self.named("x", attribute, taken)
        if to is None:
            return None
        same = self.view.same[attribute][to.object]
        return Origin(Same(attribute, to.things), same, (), to.taken, to.landmarks)

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
        told = self.dice.weigh(range(least, most + 1), MASK_WEIGHTS[least : most + 1])
        return self.dice.pick(_MASKS_TELLING[told, frozenset(hidden)])

    def _related(self, to: Named) -> tuple[Related, int]:
        relation = self.dice.pick(RELATIONS)
        return Related(relation, to.things), self.view.related[relation][to.object]

    def _needs_all(self, origin: Origin, description: Description) -> bool:
        objects = self.view.fitting(description)
        return all(objects & origin.among != objects & other for other in origin.wider)


def _without(hidden: str, landmarks: tuple[Description, ...]) -> list[Description]:
    """The landmarks that tell a hidden attribute, without it.

    Things that fit one of these cannot have the landmark's value: they would be the landmark.
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
