"""How hard a task is: how many objects, how long a chain of relations, how alike and how hidden the objects are."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

from clevr.questions.referring_expressions import StableRandom
from clevr.world.placement import SceneConfig
from fewshot_film.errors import InvalidValueError


@dataclass(frozen=True)
class Difficulty:
    """What makes a task hard. The numbered levels are :data:`LEVELS`.

    Raises:
        InvalidValueError: a range that is empty, or beyond what the kinds of tasks can be asked with.
    """

    min_objects: int
    """Fewest objects in a scene, at least 3."""
    max_objects: int
    """Most objects in a scene, at most 10."""
    min_hops: int
    """Fewest steps from one object to others: relations, or shared attributes; at least 0."""
    max_hops: int
    """Most such steps; at most 3."""
    distractors: int = 0
    """Objects that are made to look like another one but for a single attribute."""
    min_pixels: int = 200
    """Least number of pixels by which each object is seen at 320x240: the less, the more of it may be hidden."""
    reach: float = 3.0
    """Objects stand at x and y between minus this and this: the less, the more they hide each other."""
    margin: float = 0.4
    """Least distance between the middles of two objects along each of the four directions; at least 0.2, the distance
    from which on one object is left of another."""

    def __post_init__(self) -> None:
        """Check the ranges. Equal difficulties become alike to the last letter, as items are drawn from their text."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or (field.type == "int" and value != int(value)):
                expected = "whole" if field.type == "int" else "finite"
                raise InvalidValueError(f"{field.name} is {value}; expected a {expected} number")
            object.__setattr__(self, field.name, int(value) if field.type == "int" else float(value))
        in_range = 3 <= self.min_objects <= self.max_objects <= 10 and 0 <= self.min_hops <= self.max_hops <= 3
        has_room = self.margin >= 0.2 and self.reach > 0 and self.min_pixels >= 1
        if not in_range or not 0 <= self.distractors < self.min_objects or not has_room:
            raise InvalidValueError(
                f"{self}; expected 3 <= min_objects <= max_objects <= 10, 0 <= min_hops <= max_hops <= 3, "
                "0 <= distractors < min_objects, a margin of at least 0.2, a reach above 0 and min_pixels of at least 1"
            )

    @cached_property
    def scene_config(self) -> SceneConfig:
        """The rules of placement."""
        return SceneConfig(
            min_objects=self.min_objects,
            max_objects=self.max_objects,
            reach=self.reach,
            margin=self.margin,
            min_pixels=self.min_pixels,
        )

    @cached_property
    def key(self) -> str:
        """A text that differs between any two difficulties; part of every item's seed."""
        return repr(dataclasses.astuple(self))

    def draw_hops(self, draw: StableRandom, most: int = 3) -> int:
        """A number of steps within the range, each equally likely; at most ``most``."""
        highest = min(self.max_hops, most)
        return draw.pick(range(min(self.min_hops, highest), highest + 1))


LEVELS = {
    1: Difficulty(3, 4, 0, 0),
    2: Difficulty(4, 5, 0, 1),
    3: Difficulty(5, 7, 1, 2, distractors=1),
    4: Difficulty(7, 9, 1, 3, distractors=2, min_pixels=100, reach=2.8, margin=0.3),
    5: Difficulty(9, 10, 2, 3, distractors=4, min_pixels=60, reach=2.6, margin=0.25),
}
"""The numbered levels, 1 the easiest."""


def difficulty_of(level: int | Difficulty) -> Difficulty:
    """The difficulty of a level.

    Raises:
        InvalidValueError: there is no such level.
    """
    if isinstance(level, Difficulty):
        return level
    if level not in LEVELS:
        raise InvalidValueError(f"difficulty {level!r}; expected one of {', '.join(map(str, LEVELS))}, or a Difficulty")
    return LEVELS[level]
