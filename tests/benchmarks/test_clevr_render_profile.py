"""The profile of the renderer: all that is spent is booked, once, and nothing stays changed."""

from __future__ import annotations

import json
import time

from benchmarks.clevr_render_profile import OTHER, PARTS, ProfileConfig, _Spending, parts_of, run
from clevr.world import lighting, materials, render
from clevr.world.placement import Scenes


def test_a_profile_has_every_part(tmp_path):
    before = lighting.take_shadows
    out = tmp_path / "profile.json"
    run(ProfileConfig(images=2, repeats=1, width=64, height=48, out=out))
    assert lighting.take_shadows is materials.take_shadows is before
    found = json.loads(out.read_text())["results"]
    assert set(found["parts"]) == {*PARTS, OTHER}
    for key, total in found["all"].items():
        assert total > 0
        assert abs(sum(part[key] for part in found["parts"].values()) - total) < 1e-6
    assert all(part["million results"] > 0 for part in found["parts"].values())


def test_what_a_part_spends_in_another_is_booked_there():
    spending = _Spending()
    scenes = Scenes(0).batch(range(2))
    start = time.process_time()
    with parts_of(spending):
        render.render(scenes, 64, 48)
    spent = time.process_time() - start
    assert spending.stack == [OTHER]
    assert 0.5 * spent < sum(spending.seconds.values()) <= spent
    assert spending.seconds["ground, without shadows"] > 0
