from __future__ import annotations

import math

import pytest
import torch

from clevr.world.camera import MEAN_CAMERA
from clevr.world.primitives import SHAPE_CODES, SceneError, pack
from clevr.world.spec import CLEVR
from clevr.world.vectors import Vec
from tests.clevr.world.examples import drawn, scene_of, thing

LAMPS = CLEVR.lamps
COLORS = CLEVR.albedos


def test_the_table_has_every_object_in_order():
    scenes = drawn(12)
    bodies = pack(scenes)
    things = [one for scene in scenes for one in scene.objects]
    assert bodies.scene.tolist() == [i for i, scene in enumerate(scenes) for _ in scene.objects]
    assert bodies.index.tolist() == [i for scene in scenes for i in range(len(scene.objects))]
    assert bodies.shape.tolist() == [SHAPE_CODES[one.shape] for one in things]
    assert bodies.metal.tolist() == [one.material == "metal" for one in things]
    assert bodies.color.T.tolist() == [pytest.approx(COLORS[one.color]) for one in things]
    assert bodies.center.y.tolist() == pytest.approx([one.coords[1] for one in things])


def test_groups_hold_the_bodies_of_one_shape_and_rounds_one_body_of_a_scene():
    bodies = pack(drawn(12))
    seen = torch.cat([group.bodies for group in bodies.groups])
    assert sorted(seen.tolist()) == list(range(len(bodies.scene)))
    for group in bodies.groups:
        assert set(bodies.shape[group.bodies].tolist()) == {group.shape}
        assert group.of_scene[group.round, bodies.scene[group.bodies]].tolist() == group.bodies.tolist()
        assert (group.of_scene >= 0).sum() == len(group.bodies)
        for round_, (members,) in enumerate(group.split(group.round, group.bodies)):
            assert sorted(group.of_scene[round_][group.of_scene[round_] >= 0].tolist()) == sorted(members.tolist())
            assert len(set(bodies.scene[members].tolist())) == len(members)


def test_local_frames_turn_with_the_cube():
    bodies = pack([scene_of(thing("cube", 1.0, 2.0, rotation=math.pi / 2))])
    body = torch.tensor([0])
    local = bodies.local_point(body, Vec.of(torch.tensor([[1.0, 3.0, 0.7]])))
    assert (local.x.item(), local.y.item(), local.z.item()) == pytest.approx((1, 0, 0), abs=1e-6)
    back = bodies.world_direction(body, local)
    assert (back.x.item(), back.y.item(), back.z.item()) == pytest.approx((0, 1, 0), abs=1e-6)


def test_a_scene_without_places_gets_the_mean_ones():
    bodies = pack([scene_of(thing())])
    assert (bodies.camera.x.item(), bodies.camera.z.item()) == pytest.approx((MEAN_CAMERA[0], MEAN_CAMERA[2]))
    assert [lamp.z.item() for lamp in bodies.lamps] == pytest.approx([lamp.position[2] for lamp in LAMPS])


def test_recorded_places_are_used():
    bodies = pack([scene_of(thing(), camera=[8, -6, 5], lamps={"fill": [1, 2, 3]})])
    assert (bodies.camera.x.item(), bodies.lamps[1].y.item()) == (8, 2)
    assert bodies.lamps[0].x.item() == pytest.approx(LAMPS[0].position[0])


@pytest.mark.parametrize(
    ("field", "value", "known"),
    [
        ("shape", "cone", "cube, sphere, cylinder"),
        ("size", "huge", "large, small"),
        ("color", "pink", "gray, red, blue"),
        ("material", "wood", "rubber, metal"),
    ],
)
def test_unknown_attributes(field, value, known):
    from dataclasses import replace

    wrong = replace(thing("cube", 1.0), **{field: value})
    with pytest.raises(SceneError, match=f"scene 0, object 1: unknown {field} '{value}'; expected one of {known}"):
        pack([scene_of(thing(), wrong)])


@pytest.mark.parametrize("place", [[1, 2], "abc", None, [1, 2, "z"]])
def test_places_of_other_kinds(place):
    with pytest.raises(SceneError, match=r"scene 0: the place of 'camera' is .*; expected three numbers"):
        pack([scene_of(thing(), camera=place)])
    with pytest.raises(SceneError, match=r"scene 0: the place of 'key' is .*; expected three numbers"):
        pack([scene_of(thing(), lamps={"key": place})])
