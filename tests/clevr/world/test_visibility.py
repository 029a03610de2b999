"""What is seen of objects: the quick bounds and the rays into some tiles say the same as whole images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clevr.world import visibility
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.primitives import pack
from clevr.world.render import boxes, object_ids
from clevr.world.scene import Scene
from clevr.world.visibility import all_visible, visible_boxes, visible_pixels
from clevr.world.world_file import read_world
from tests.clevr.world.examples import scene_of, thing
from tests.conftest import CHECKOUT


def crowded(number: int) -> list[Scene]:
    """Scenes whose objects may hide each other altogether."""
    rules = SceneConfig(min_objects=8, reach=2.2, margin=0.2, min_gap=0.05, min_pixels=0)
    return Scenes(3, rules=rules).batch(range(number))


@pytest.mark.parametrize("min_pixels", [1, 60, 200, 700])
def test_what_is_visible_is_what_whole_images_show(min_pixels: int):
    scenes = crowded(12)
    assert all_visible(scenes, min_pixels) == [min(counts) >= min_pixels for counts in visible_pixels(scenes)]


def test_bounds_are_bounds_and_spare_most_rays():
    scenes = crowded(12)
    discs = visibility._Discs.of(pack(scenes))
    least, closer = discs.least_pixels(), discs.least_pixels_by_rows(torch.ones_like(discs.known))
    counts = torch.tensor([count for row in visible_pixels(scenes) for count in row])
    assert (least <= counts).all()
    assert (closer <= counts).all()
    assert (closer >= 200).sum() > (least >= 200).sum()
    assert (visibility._Discs.of(pack(Scenes(0).batch(range(8)))).least_pixels() >= 200).float().mean() > 0.5


def test_nothing_is_taken_for_granted_outside_the_image_or_before_the_camera():
    far = scene_of(thing("cube", 40.0, 0.0), thing("sphere"))
    behind = replace(scene_of(thing("cube", 9.0, -8.0), thing("sphere")), extra={"camera": [7.5, -6.5, 5.3]})
    for scene in (far, behind):
        assert all_visible([scene], 1) == [min(visible_pixels([scene])[0]) >= 1]


def test_bodies_without_a_ball_inside_are_looked_at():
    scenes = Scenes(1, rules=SceneConfig.of(read_world(CHECKOUT / "examples/harbour/world.yaml"))).batch(range(4))
    least = visibility._Discs.of(pack(scenes)).least_pixels()
    assert (least <= torch.tensor([count for row in visible_pixels(scenes) for count in row])).all()


@pytest.mark.parametrize(("width", "height"), [(320, 240), (97, 61), (24, 40)])
def test_boxes_are_those_of_whole_images(width: int, height: int):
    scenes = crowded(6)
    for number in (0, 7):
        found = visible_boxes(scenes, [number] * len(scenes), width, height)
        ids = object_ids(scenes, width, height)
        assert found == [
            boxes(one, len(scene.objects))[number].tolist() for one, scene in zip(ids, scenes, strict=True)
        ]
    assert visible_boxes([], [], width, height) == []
