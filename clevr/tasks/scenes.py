"""Scenes for tasks: drawn by CLEVR's rules, and changed one object at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from clevr.questions.programs import VALUES
from clevr.questions.referring_expressions import StableRandom
from clevr.tasks.difficulty import Difficulty
from clevr.world.placement import Setting, complete, draw_setting, place
from clevr.world.scene import Scene, SceneObject
from clevr.world.spec import ATTRIBUTES

LOOKS = tuple(name for name in ATTRIBUTES if name != "size")
"""The attributes that can be changed without moving an object; a large one may not fit where a small one stood."""


class Layout(NamedTuple):
    """Objects in their places, before anyone has worked out how they lie to each other."""

    things: tuple[SceneObject, ...]
    setting: Setting

    def finish(self, width: int, height: int) -> Scene:
        """The scene, with relations, and pixel coordinates in an image of ``width`` x ``height``."""
        return complete(self.things, self.setting, width, height, "tasks", 0)


def draw_layout(rng: np.random.Generator, difficulty: Difficulty) -> Layout:
    """Objects with distractors; whether all of them can be seen is not looked at yet.

    Args:
        rng: the source of all randomness.
        difficulty: number of objects, how close they stand, how many distractors there are.
    """
    rules = difficulty.scene_config
    setting = draw_setting(rng, rules)
    things = place(rng, setting, rules)
    return Layout(with_distractors(things, difficulty.distractors, StableRandom(rng)), setting)


def with_distractors(things: tuple[SceneObject, ...], number: int, draw: StableRandom) -> tuple[SceneObject, ...]:
    """Some objects made to look like one of them but for colour, material or shape."""
    changed = list(things)
    order = draw.shuffle(len(things))
    model = changed[order[0]]
    for place_ in order[1 : number + 1]:
        kept = draw.pick(LOOKS)
        other = draw.pick([value for value in VALUES[kept] if value != getattr(model, kept)])
        looks = {name: getattr(model, name) for name in LOOKS} | {kept: other}
        changed[place_] = replace(changed[place_], **looks)
    return tuple(changed)


def with_value(scene: Scene, index: int, attribute: str, value: str) -> Scene:
    """The scene with another value of one object's attribute; all objects stay where they are.

    A large object that becomes small is put on the ground again. Its pixel coordinates are left as they were.
    """
    change: dict[str, Any] = {attribute: value}
    thing = replace(scene.objects[index], **change)
    if attribute == "size":
        x, y, _ = thing.coords
        thing = replace(thing, coords=(x, y, scene.world.height(thing.shape, value)))
    return replace(scene, objects=(*scene.objects[:index], thing, *scene.objects[index + 1 :]))


def without(scene: Scene, index: int) -> Scene:
    """The scene without one object; those after it move up by one."""
    kept = [place_ for place_ in range(len(scene.objects)) if place_ != index]
    number = {old: new for new, old in enumerate(kept)}
    return replace(
        scene,
        objects=tuple(scene.objects[place_] for place_ in kept),
        relationships={
            name: tuple(tuple(number[other] for other in rows[place_] if other != index) for place_ in kept)
            for name, rows in scene.relationships.items()
        },
    )
