"""Answers a question from its logical form and the bit sets of a scene: the same as running its program, but faster.

What asks the same about many changed scenes needs no program, no check of its nodes and no sets of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from clevr.questions.logical_form import Intersection, LogicalForm, ObjectSet, Related, Same, Union
from clevr.questions.programs import IllPosedError
from clevr.questions.scene_bits import SceneBits


class Evaluation(NamedTuple):
    """What came out of a question."""

    answer: bool | int | str
    objects: tuple[int, ...]
    """The objects that its phrases single out, in the order of their nodes ``unique``."""


def evaluate(form: LogicalForm, view: SceneBits) -> Evaluation:
    """The answer to a question about a scene.

    Raises:
        IllPosedError: a phrase that must mean one object means none, or several.
    """
    found: list[int] = []
    verb, _, attribute = form.asks.partition("_")
    if attribute in view.values:  # what is asked or compared is a value
        values = [view.values[attribute][_only(things, view, found)] for things in form.about]
        return Evaluation(values[0] if verb == "query" else values[0] == values[1], tuple(found))
    counts = [_objects(things, view, found).bit_count() for things in form.about]
    return Evaluation(_OF_COUNTS[form.asks](*counts), tuple(found))


_OF_COUNTS: Mapping[str, Callable[..., bool | int]] = {
    "count": int,
    "exist": bool,
    "equal_integer": int.__eq__,
    "less_than": int.__lt__,
    "greater_than": int.__gt__,
}


def _objects(things: ObjectSet, view: SceneBits, found: list[int]) -> int:
    """The objects of a set; those that were singled out on the way are added to ``found``."""
    match things.source:
        case None:
            among = view.everything
        case Related() | Same() as step:
            among = _step(step, view, found)
        case Intersection(first, second):
            among = _step(first, view, found) & _step(second, view, found)
        case Union(one, other):
            among = _objects(one, view, found) | _objects(other, view, found)
    return among & view.fitting(things.description)


def _step(source: Related | Same, view: SceneBits, found: list[int]) -> int:
    start = _only(source.to, view, found)
    return view.related[source.relation][start] if isinstance(source, Related) else view.same(source.attribute, start)


def _only(things: ObjectSet, view: SceneBits, found: list[int]) -> int:
    objects = _objects(things, view, found)
    if objects.bit_count() != 1:
        raise IllPosedError(f"expected exactly one object, found {objects.bit_count()}: {things}")
    found.append(objects.bit_length() - 1)
    return found[-1]
