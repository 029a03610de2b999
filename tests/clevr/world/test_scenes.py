from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.world.placement import PlacementError, SceneConfig, Scenes
from clevr.world.render import object_ids
from clevr.world.scene import Scene
from clevr.world.visibility import all_visible, visible_pixels
from tests.clevr.world.examples import drawn, scene_of, thing


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1, max_size=5, unique=True))
def test_a_scene_is_a_function_of_seed_split_and_index(indices):
    scenes = Scenes(3, "val")
    batch = scenes.batch(indices)
    assert batch == [scenes[index] for index in indices]
    assert batch[::-1] == scenes.batch(indices[::-1])


def test_seed_split_and_index_all_count():
    plain = Scenes(0)[0]
    assert Scenes(0)[0] == plain
    others = [Scenes(1)[0], Scenes(0, "val")[0], Scenes(0)[1]]
    assert all(other.objects != plain.objects for other in others)


def test_the_size_of_the_picture_changes_pixel_coordinates_alone():
    small, large = Scenes(0)[2], Scenes(0, width=480, height=320)[2]
    assert small.extra == large.extra
    for one, other in zip(small.objects, large.objects, strict=True):
        assert one.coords == other.coords
        assert one.pixel_coords[2] == other.pixel_coords[2]
        assert other.pixel_coords[0] == pytest.approx(1.5 * one.pixel_coords[0], abs=1.3)


def test_every_object_is_seen_by_200_pixels():
    scenes = drawn(40)
    ids = object_ids(scenes, 320, 240)
    for scene, shown in zip(scenes, ids, strict=True):
        counts = [int((shown == i).sum()) for i in range(len(scene.objects))]
        assert min(counts) >= 200
        assert visible_pixels([scene]) == [counts]


def test_a_hidden_object_is_noticed():
    # The camera looks along (-7.5, 6.5): the small sphere stands right behind the large cube.
    scene = scene_of(thing("cube", 1.0, -0.87), thing("sphere", -0.5, 0.43, size="small"))
    assert all_visible([scene], 1) == [False]
    assert all_visible([scene_of(thing("cube", 1.0, -0.87))], 1) == [True]


def test_scene_0_is_what_it_has_always_been():
    scene = Scenes(0)[0]
    assert [(t.size, t.color, t.material, t.shape) for t in scene.objects] == [
        ("large", "yellow", "rubber", "sphere"),
        ("large", "yellow", "rubber", "sphere"),
        ("large", "purple", "metal", "cylinder"),
    ]
    assert scene.objects[0].coords[:2] == pytest.approx((-2.257369149729234, -1.92321292649229), abs=1e-12)


def test_scenes_survive_their_file():
    scene = drawn(1)[0]
    again = Scene.from_json(json.loads(json.dumps(scene.to_json())))
    assert again.extra == scene.extra
    assert again.to_json() == json.loads(json.dumps(scene.to_json()))


def test_no_arrangement_shows_all(monkeypatch):
    monkeypatch.setattr("clevr.world.placement._MAX_ARRANGEMENTS", 2)
    with pytest.raises(
        PlacementError, match="scene 7 of 'train': no arrangement in 2 rounds shows 100000 pixels of all 3"
    ):
        Scenes(0, rules=SceneConfig(max_objects=3, min_pixels=100_000))[7]


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_negative_numbers(seed, index):
    with pytest.raises(PlacementError, match=f"seed {seed}, scene {index}: both must be 0 or more"):
        Scenes(seed)[index]
