"""Draws the phrases of a question from a scene: things told by attributes, relations and likeness.

Every object that a question singles out (*the cube*, *the ball left of it*) is another one, so that
no phrase runs in a circle or tells what is asked.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from clevr.questions.dice import Dice
from clevr.questions.meaning import Both, Description, Related, Same, Things
from clevr.questions.programs import ATTRIBUTES
from clevr.questions.view import MASKS, Option, SceneView, first_object
from clevr.world.scene import RELATIONS

MASK_WEIGHTS = (0.3, 1.0, 1.2, 0.7, 0.2)
"""How often a set of things is told by none, one, ... all four of its attributes."""


_TRIES = 8


class Origin(NamedTuple):
    """Where a description looks for its objects."""

    source: Related | Both | Same | None
    among: int
    wider: tuple[int, ...]
    """``among`` without one of its relations, for each; a relation that leaves some description with
    the same objects as without it is idle there, and the description is not used."""
    taken: int
    """The objects that were singled out on the way."""


class Named(NamedTuple):
    """Things of which there is exactly one."""

    things: Things
    object: int
    taken: int


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
        for _ in range(_TRIES if options else 0):
            description, objects = self.dice.pick(options)
            if not objects & origin.taken and self._needs_all(origin, description):
                things = Things(description, origin.source)
                return Named(things, first_object(objects), origin.taken | objects)
        return None

    def origin(self, shape: str, taken: int = 0) -> Origin | None:
        """Where things of a shape come from; ``None`` where the draw met no such phrase."""
        everything = self.view.everything
        if shape == "x":
            return Origin(None, everything, (), taken)
        if shape[0] == "r":
            related = self._related(shape[1:], taken)
            return related and Origin(related[0], related[1], (everything,), related[2])
        if shape == "b":
            first = self._related("x", taken)
            second = first and self._related("x", first[2])
            if first is None or second is None:
                return None
            return Origin(Both(first[0], second[0]), first[1] & second[1], (second[1], first[1]), second[2])
        attribute = shape.split()[1]
        to = self.named("x", attribute, taken)
        return to and Origin(Same(attribute, to.things), self.view.same[attribute][to.object], (), to.taken)

    def options(self, origin: Origin, mask: int) -> list[Option]:
        """Every description of a mask that makes no relation idle, with the objects it finds at the origin.

        Each fits an object of the scene, though perhaps none at the origin.
        """
        among, wider = origin.among, origin.wider
        return [
            (description, objects & among)
            for description, objects in self.view.by_mask[mask]
            if all(objects & among != objects & other for other in wider)
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

    def _related(self, shape: str, taken: int) -> tuple[Related, int, int] | None:
        to = self.named(shape, taken=taken)
        if to is None:
            return None
        relation = self.dice.pick(RELATIONS)
        return Related(relation, to.things), self.view.related[relation][to.object], to.taken

    def _needs_all(self, origin: Origin, description: Description) -> bool:
        if len(origin.wider) < 2:  # one relation: SceneView.unique has seen to it
            return True
        objects = self.view.fitting(description)
        return all(objects & origin.among != objects & other for other in origin.wider)


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
