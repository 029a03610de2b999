"""Scenes that are changed one object at a time, and answers explained step by step."""

from __future__ import annotations

import numpy as np
import pytest

from clevr.questions import parse
from clevr.questions.referring_expressions import StableRandom
from clevr.tasks.kinds.odd_one_out import odd_ones
from clevr.tasks.scenes import LOOKS, with_distractors, with_value, without
from clevr.tasks.working import explain
from clevr.world.placement import relate
from tests.clevr.questions.scenes import random_scene
from tests.clevr.world.examples import drawn, scene_of, thing


@pytest.mark.parametrize("index", range(3))
def test_a_scene_without_an_object_is_the_scene_of_the_others(index: int):
    for scene in drawn(4):
        smaller = without(scene, index)
        kept = [other for number, other in enumerate(scene.objects) if number != index]
        assert list(smaller.objects) == kept
        assert smaller.relationships == relate([other.coords for other in kept], scene.directions)


def test_a_change_leaves_everything_else():
    scene = drawn(1)[0]
    other = {"large": "small", "small": "large"}[scene.objects[1].size]
    changed = with_value(scene, 1, "size", other)
    assert changed.objects[1].size == other
    assert changed.objects[1].coords == (*scene.objects[1].coords[:2], {"large": 0.7, "small": 0.35}[other])
    assert changed.objects[0] == scene.objects[0]
    assert changed.objects[2:] == scene.objects[2:]
    assert changed.relationships == scene.relationships


@pytest.mark.parametrize("number", [0, 1, 4])
def test_distractors_differ_in_one_look(number: int):
    things = random_scene(np.random.default_rng(3), 6).objects
    changed = with_distractors(things, number, StableRandom(np.random.default_rng(0)))
    assert [(one.size, one.coords) for one in changed] == [(one.size, one.coords) for one in things]
    alike = [
        sum(sum(getattr(one, look) != getattr(model, look) for look in LOOKS) == 1 for one in changed)
        for model in changed
    ]
    assert max(alike) >= number
    assert sum(one != other for one, other in zip(things, changed, strict=True)) <= number


def test_odd_ones_are_all_found():
    plain = {"size": "large", "material": "rubber", "shape": "cube"}
    red, blue = {**plain, "color": "red"}, {**plain, "color": "blue"}
    assert odd_ones([red, red, blue]) == [(2, "color")]
    assert odd_ones([red, red, red]) == []
    assert odd_ones([red, red, blue, blue]) == []
    assert odd_ones([red, blue, {**red, "color": "green"}]) == []
    assert odd_ones([{**red, "size": "small"}, red, blue]) == [(0, "size"), (2, "color")]


def test_steps_are_explained():
    scene = scene_of(thing("cube", color="red"), thing("sphere", color="red", material="metal"))
    program = parse("How many red metal things are there?")[0].program()
    assert explain(program, scene) == ("filter red metal: large red metal sphere", "count: 1")
    program = parse("What shape is the rubber thing?")[0].program()
    found = "large red rubber cube"
    assert explain(program, scene) == (f"filter rubber: {found}", f"unique: {found}", "query shape: cube")
