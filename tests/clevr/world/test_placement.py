from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.world.camera import MEAN_CAMERA, directions
from clevr.world.placement import PlacementError, SceneConfig, complete, draw_setting, place, relate
from clevr.world.scene import COLORS, MATERIALS, SHAPES
from clevr.world.spec import CLEVR

LAMPS = CLEVR.lamps
SIZES = CLEVR.half_widths

seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, rules: SceneConfig):
    generator = np.random.default_rng(seed)
    setting = draw_setting(generator, rules)
    return setting, place(generator, setting, rules)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_objects_keep_their_distance(seed):
    setting, things = draw(seed, SceneConfig())
    assert 3 <= len(things) == setting.num_objects <= 10
    for one in things:
        x, y, z = one.coords
        assert max(abs(x), abs(y)) <= 3
        assert z == SIZES[one.size]
        assert 0 <= one.rotation < 360
    for one, other in itertools.combinations(things, 2):
        dx, dy = one.coords[0] - other.coords[0], one.coords[1] - other.coords[1]
        assert math.hypot(dx, dy) - SIZES[one.size] - SIZES[other.size] >= 0.25 - 1e-12
        for name in ("left", "right", "front", "behind"):
            vector = directions()[name]
            assert not 0 < dx * vector[0] + dy * vector[1] < 0.4 - 1e-12


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_relations_are_opposite_and_complete(seed):
    _, things = draw(seed, SceneConfig())
    relations = relate([one.coords for one in things], directions())
    assert list(relations) == ["left", "right", "front", "behind"]
    for name, opposite in (("left", "right"), ("front", "behind")):
        for i, j in itertools.permutations(range(len(things)), 2):
            assert (j in relations[name][i]) == (i in relations[opposite][j])
            assert (j in relations[name][i]) != (j in relations[opposite][i])  # the margin leaves no ties


def test_relations_of_three_objects_by_hand():
    front, right = np.array(directions()["front"]), np.array(directions()["right"])
    places = [tuple(0 * front), tuple(1.0 * front + 0.15 * right), tuple(-0.5 * front + 0.3 * right)]
    relations = relate(places, directions())
    assert relations["front"] == ((1,), (), (0, 1))
    assert relations["behind"] == ((2,), (0, 2), ())
    assert relations["right"] == ((2,), (), ())  # two steps of 0.15 do not count, their sum does
    assert relations["left"] == ((), (), (0,))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_camera_and_lamps_stay_within_their_jitter(seed):
    setting, _ = draw(seed, SceneConfig(max_objects=3))
    assert np.abs(np.array(setting.camera) - MEAN_CAMERA).max() <= 0.5
    assert list(setting.lamps) == ["key", "fill", "back"]
    for lamp in LAMPS:
        if lamp.jitter:
            assert np.abs(np.array(setting.lamps[lamp.name]) - lamp.position).max() <= 1


def test_every_attribute_is_drawn_evenly():
    things = [one for seed in range(150) for one in draw(seed, SceneConfig(max_objects=5))[1]]
    for name, values in (("shape", SHAPES), ("color", COLORS), ("size", tuple(SIZES)), ("material", MATERIALS)):
        counts = [sum(getattr(one, name) == value for one in things) for value in values]
        assert min(counts) > 0.6 * len(things) / len(values)
        assert sum(counts) == len(things)


@pytest.mark.parametrize(
    ("condition", "cube", "cylinder"),
    [
        ("A", {"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"}),
        ("B", {"red", "green", "purple", "cyan"}, {"gray", "blue", "brown", "yellow"}),
    ],
)
def test_the_conditions_of_cogent(condition, cube, cylinder):
    things = [one for seed in range(60) for one in draw(seed, SceneConfig(condition=condition))[1]]
    for shape, colors in (("cube", cube), ("cylinder", cylinder), ("sphere", set(COLORS))):
        assert {one.color for one in things if one.shape == shape} == colors


def test_plain_scenes_have_every_colour_of_every_shape():
    assert all(set(colors) == set(COLORS) for colors in SceneConfig().colors.values())


def test_unknown_condition():
    with pytest.raises(PlacementError, match="unknown condition 'C'; expected one of plain, A, B"):
        SceneConfig(condition="C")


@pytest.mark.parametrize(("least", "most"), [(0, 3), (5, 4)])
def test_impossible_numbers_of_objects(least, most):
    with pytest.raises(PlacementError, match=f"scenes of {least} to {most} objects; expected 1 <= min_objects"):
        SceneConfig(min_objects=least, max_objects=most)


def test_no_room():
    rules = SceneConfig(min_objects=10, max_objects=10, reach=0.5, max_tries=1)
    with pytest.raises(PlacementError, match=r"10 objects did not fit within 0\.5 of the middle"):
        draw(0, rules)


def test_a_scene_is_complete():
    setting, things = draw(5, SceneConfig())
    scene = complete(things, setting, 480, 320, "val", 12)
    assert (scene.split, scene.image_index, scene.image_filename) == ("val", 12, "CLEVR_val_000012.png")
    assert scene.extra["camera"] == list(setting.camera)
    for before, after in zip(things, scene.objects, strict=True):
        column, row, depth = after.pixel_coords
        assert isinstance(column, int)
        assert isinstance(row, int)
        assert 0 <= column < 480
        assert 5 < depth < 20
        assert (before.coords, before.color, before.rotation) == (after.coords, after.color, after.rotation)
