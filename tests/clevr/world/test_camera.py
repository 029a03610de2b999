from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from clevr.world.camera import MEAN_CAMERA, CameraError, axes, directions, estimate_camera, project
from clevr.world.placement import relate
from tests.clevr.world.examples import blender_scenes, drawn, scene_of, thing


def test_the_middle_of_the_ground_is_in_the_middle_of_the_picture():
    column, row, depth = project([(0, 0, 0)], (3.0, -4.0, 12.0), 320, 240)[0]
    assert (column, row, depth) == pytest.approx((160, 120, 13))


def test_a_lens_of_35_millimetres_on_32():
    # One unit to the right at depth 10 is 35 / 32 * 320 / 10 = 35 pixels; in a portrait the height counts.
    right, _, _ = axes((0.0, -10.0, 0.0))
    assert right == pytest.approx((1, 0, 0))
    assert project([(1, 0, 0)], (0.0, -10.0, 0.0), 320, 240)[0, 0] == pytest.approx(160 + 35)
    assert project([(1, 0, 0)], (0.0, -10.0, 0.0), 240, 320)[0, 0] == pytest.approx(120 + 35)
    assert project([(0, 0, 1)], (0.0, -10.0, 0.0), 320, 240)[0, 1] == pytest.approx(120 - 35)


def test_directions_are_six_units_on_and_across_the_ground():
    found = directions()
    assert list(found) == ["right", "behind", "above", "below", "left", "front"]
    for name, opposite in (("right", "left"), ("behind", "front"), ("above", "below")):
        assert np.array(found[name]) == pytest.approx(-np.array(found[opposite]))
        assert np.linalg.norm(found[name]) == pytest.approx(1)
    assert np.cross(found["right"], found["behind"]) == pytest.approx(found["above"])


def test_the_camera_is_found_again_from_depths():
    for scene in drawn(6):
        assert estimate_camera(scene) == pytest.approx(scene.extra["camera"], abs=1e-6)


def test_too_few_objects_for_a_camera():
    with pytest.raises(CameraError, match="needs 3 objects to be found, the scene has 2; use the mean camera"):
        estimate_camera(scene_of(thing(), thing("sphere", 2)))


def test_depths_of_no_camera():
    things = [
        dataclasses.replace(t, pixel_coords=(0, 0, d)) for t, d in zip(drawn(1)[0].objects, range(10), strict=False)
    ]
    with pytest.raises(CameraError, match="fit no camera aimed at the ground's middle"):
        estimate_camera(scene_of(*things))


def test_projection_is_that_of_the_original_generator(shared_data):
    offsets = []
    for scene in blender_scenes(shared_data):
        if len(scene.objects) < 3:
            continue
        camera = estimate_camera(scene)
        found = project([t.coords for t in scene.objects], camera, 224, 224)
        stored = np.array([t.pixel_coords for t in scene.objects])
        assert np.abs(found[:, 2] - stored[:, 2]).max() < 1e-4
        assert np.abs(found[:, :2] - stored[:, :2]).max() < 0.51
        offsets.append(np.array(camera) - MEAN_CAMERA)
    assert np.abs(offsets).max() < 0.51
    assert np.abs(np.mean(offsets, 0)).max() < 0.1


def test_directions_and_relations_are_those_of_the_original_generator(shared_data):
    for scene in blender_scenes(shared_data):
        for name, vector in directions().items():
            assert vector == pytest.approx(scene.directions[name], abs=1e-6)
        assert relate([t.coords for t in scene.objects], directions()) == dict(scene.relationships)
