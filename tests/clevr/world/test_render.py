from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.world.camera import MEAN_CAMERA
from clevr.world.render import RenderError, boxes, masks, object_ids, render
from clevr.world.spec import CLEVR
from tests.clevr.world.examples import drawn, scene_of, thing

LAMPS = CLEVR.lamps

FIELDS = [
    [[108.0, 110.1, 109.6, 105.2], [126.9, 116.2, 127.0, 130.3], [126.3, 135.3, 146.8, 147.4]],
    [[107.8, 110.0, 109.5, 105.1], [126.0, 103.6, 115.9, 128.0], [125.4, 133.2, 144.2, 145.1]],
    [[106.0, 109.9, 109.2, 104.7], [113.1, 117.6, 119.7, 110.8], [123.9, 131.2, 140.8, 140.7]],
]
"""Means of 4 x 3 fields of the image of scene 0 in three channels."""


def test_pictures_are_bytes():
    pictures = render(drawn(3), 64, 48)
    assert pictures.shape == (3, 3, 48, 64)
    assert pictures.dtype == torch.uint8
    assert 60 < pictures.float().mean() < 180


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 39), min_size=2, max_size=7), st.sampled_from([(64, 48), (50, 37)]))
def test_a_batch_equals_one_by_one_to_the_last_bit(indices, size):
    scenes = [drawn(40)[index] for index in indices]
    batch = render(scenes, *size)
    assert torch.equal(batch, torch.cat([render([scene], *size) for scene in scenes]))


def test_parts_of_a_batch_do_not_matter(monkeypatch):
    scenes = drawn(40)[:10]
    whole = render(scenes, 64, 48)
    monkeypatch.setattr("clevr.world.render._CHUNK", 3 * 64 * 48)
    assert torch.equal(render(scenes, 64, 48), whole)


def test_the_number_of_threads_does_not_matter():
    before = torch.get_num_threads()
    pictures = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        pictures.append(render(drawn(40)[:6], 128, 96))
    torch.set_num_threads(before)
    assert torch.equal(*pictures)


def test_the_picture_of_scene_0():
    # A changed look must change these numbers on purpose.
    picture = render(drawn(40)[:1], 64, 48)[0].float()
    fields = torch.nn.functional.avg_pool2d(picture, 16)
    assert torch.allclose(fields, torch.tensor(FIELDS), atol=1.0)


def test_more_samples_change_edges_alone():
    scene = drawn(40)[1]
    plain, fine, finer = (render([scene], 96, 72, samples=n)[0].float() for n in (1, 2, 4))
    assert (fine - finer).abs().mean() < (plain - finer).abs().mean() < 4
    assert (fine - finer).abs().mean() < 0.8


def test_any_size_shows_the_same_view():
    scene = drawn(40)[2]
    small, large = render([scene], 80, 60)[0].float(), render([scene], 320, 240)[0].float()
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean() < 1.5


def test_a_scene_without_camera_and_lamps_is_seen_from_the_mean_place():
    things = (thing("cube", 0.5, 0.5), thing("sphere", -1, 1, material="metal"))
    places = {lamp.name: lamp.position for lamp in LAMPS}
    given_ = scene_of(*things, camera=list(MEAN_CAMERA), lamps=places)
    assert torch.equal(render([scene_of(*things)], 64, 48), render([given_], 64, 48))


@pytest.mark.parametrize("material", ["rubber", "metal"])
def test_the_order_of_objects_does_not_matter(material):
    things = [thing("cube", 0.5, 0.5, material=material), thing("sphere", -1, 1.5), thing("cylinder", -1, -1)]
    there, back = render([scene_of(*things), scene_of(*things[::-1])], 96, 72)
    assert (there.int() - back.int()).abs().max() <= 1


def test_no_scenes_and_no_objects():
    assert render([], 32, 24).shape == (0, 3, 24, 32)
    assert object_ids([], 32, 24).shape == (0, 24, 32)
    assert (object_ids([scene_of()], 32, 24) == -1).all()
    empty, far = render([scene_of(), scene_of(thing("sphere", 60.0))], 32, 24).int()
    assert (empty - far).abs().max() <= 1


@pytest.mark.parametrize(("width", "height", "samples"), [(0, 24, 2), (32, -1, 2), (32, 24, 0)])
def test_impossible_sizes(width, height, samples):
    with pytest.raises(
        RenderError, match=f"an image of {width}x{height} with {samples}x{samples} samples; all must be 1"
    ):
        render([scene_of(thing())], width, height, samples=samples)


def test_masks_part_the_picture():
    scene = drawn(40)[0]
    ids = object_ids([scene], 96, 72)
    parts = masks(ids, len(scene.objects))
    assert parts.shape == (1, len(scene.objects), 72, 96)
    assert torch.equal(parts.sum(1), (ids >= 0).long())


def test_boxes_by_hand():
    ids = torch.full((1, 5, 6), -1)
    ids[0, 1:4, 2] = 0
    ids[0, 4, 0:5] = 2
    assert boxes(ids, 3).tolist() == [[[2, 1, 3, 4], [0, 0, 0, 0], [0, 4, 5, 5]]]


def test_boxes_hold_their_objects():
    scenes = drawn(40)[:5]
    for scene, ids in zip(scenes, object_ids(scenes, 96, 72), strict=True):
        for number, (left, top, right, bottom) in enumerate(boxes(ids, len(scene.objects)).tolist()):
            inside = ids[top:bottom, left:right] == number
            assert inside.sum() == (ids == number).sum()
            assert inside[0].any()
            assert inside[:, -1].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same():
    pictures = [render(drawn(40)[:8], 128, 96, device=device).cpu().int() for device in ("cpu", "cuda")]
    assert (pictures[0] - pictures[1]).abs().float().mean() < 0.05
