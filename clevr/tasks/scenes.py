"""Scenes for tasks: drawn by CLEVR's rules, and changed one object at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clevr.questions.programs import VALUES
from clevr.questions.referring_expressions import StableRandom
from clevr.tasks.difficulty import Difficulty
from clevr.world.placement import Setting, complete, draw_setting, place
from clevr.world.scene import Scene, SceneObject
from clevr.world.spec import ATTRIBUTES

LOOKS = tuple(name for name in ATTRIBUTES if name != "size")
"""The attributes that can be changed without moving an object; a large one may not fit where a small one stood."""


def draw_scene(rng: np.random.Generator, difficulty: Difficulty, width: int, height: int) -> Scene:
    """A scene with distractors; whether all of its objects can be seen is not looked at yet.

    Args:
        rng: the source of all randomness.
        difficulty: number of objects, how close they stand, how many distractors there are.
        width: of the image that ``pixel_coords`` are of.
        height: of that image.
    """
    rules = difficulty.scene_config
    setting = draw_setting(rng, rules)
    things = place(rng, setting, rules)
    things = with_distractors(things, difficulty.distractors, StableRandom(rng))
    return finish(things, setting, width, height)


def finish(things: Sequence[SceneObject], setting: Setting, width: int, height: int) -> Scene:
    """Objects as a scene with relations and pixel coordinates."""
    return complete(things, setting, width, height, "tasks", 0)


def with_distractors(things: tuple[SceneObject, ...], number: int, draw: StableRandom) -> tuple[SceneObject, ...]:
    """Some objects made to look like one of them but for colour, material or shape."""
    changed = list(things)
    order = draw.order([1.0] * len(things))
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
