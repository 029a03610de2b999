"""Compiled loops against the same formulas in torch."""

from __future__ import annotations

import sys

import pytest
import torch

from clevr.world.lighting import take_shadows
from clevr.world.materials import SurfacePoints, _glints, _nearest_body
from clevr.world.primitives import Bodies, pack
from clevr.world.ray_casting import Grid, trace
from clevr.world.render import RenderError, compile_loops, render
from clevr.world.shading_rays import shading_rays
from clevr.world.vectors import RayPackets, Vec
from clevr.world.world_file import read_world
from fewshot_film.extras import MissingExtraError
from tests.clevr.world.examples import drawn, scene_of, thing

pytest.importorskip("numba")

SCENES = drawn(12)
GRID = Grid(160, 120, 2, torch.device("cpu"))


def both() -> tuple[Bodies, Bodies]:
    """The scenes, to be worked on by torch and by compiled loops."""
    return pack(SCENES), pack(SCENES, compiled=True)


def metal(bodies: Bodies) -> SurfacePoints:
    view = trace(bodies, GRID, only=torch.ones_like(bodies.metal))
    return shading_rays(bodies, GRID, view, metal=True).points(bodies, GRID)


def test_bodies_along_rays():
    plain, loops = (trace(bodies, GRID) for bodies in both())
    assert (plain.shown == loops.shown).float().mean() > 0.9999
    assert torch.equal(plain.body, loops.body)
    same = plain.shown == loops.shown
    torch.testing.assert_close(plain.depth[same], loops.depth[same], rtol=1e-5, atol=0.0)


def test_bodies_in_mirrors():
    plain, loops = both()
    spots = metal(plain)
    mirror = spots.view.reflect(spots.normal)
    (near, body), (near_too, body_too) = (_nearest_body(bodies, spots, mirror) for bodies in (plain, loops))
    same = body == body_too
    assert same.float().mean() > 0.999
    assert (body >= 0).sum() > 100
    torch.testing.assert_close(near[same], near_too[same], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("on_bodies", [False, True])
def test_shadows(scattered, on_bodies):
    plain, loops = both()
    spots = metal(plain)
    point = spots.point if on_bodies else Vec(spots.point.x, spots.point.y, torch.zeros_like(spots.point.z))
    rows, own = RayPackets.of(spots.scene[:, 0], point), spots.body[:, 0] if on_bodies else None
    light = torch.rand(len(plain.lamps), *point.x.shape, generator=torch.Generator().manual_seed(0))
    taken = []
    for bodies in (plain, loops):
        taken.append(light.clone())
        take_shadows(bodies, rows, taken[-1], own, scattered=scattered)
    assert (taken[0] < light - 0.1).float().mean() > 0.01
    torch.testing.assert_close(*taken, rtol=0.0, atol=1e-3)
    assert (taken[0] - taken[1]).abs().mean() < 1e-6


def test_highlights():
    plain, loops = both()
    spots = metal(plain)
    arriving = [torch.rand_like(spots.point.x) for _ in plain.lamps]
    for one, other in zip(_glints(plain, spots, arriving), _glints(loops, spots, arriving), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-6)
        assert one.max() > 1.0


@pytest.mark.parametrize("size", [(128, 96), (50, 37)])
def test_images_are_the_same_within_a_level(size):
    plain, loops = (render(SCENES, *size, compiled=compiled).int() for compiled in (False, True))
    assert (plain - loops).abs().max() <= 1
    assert (plain == loops).float().mean() > 0.9999


def test_a_batch_equals_one_by_one_to_the_last_bit():
    batch = render(SCENES, 64, 48, compiled=True)
    assert torch.equal(batch, torch.cat([render([scene], 64, 48, compiled=True) for scene in SCENES]))


def test_a_scene_without_objects_and_one_of_rubber_alone():
    for scene in (scene_of(), scene_of(thing("cylinder"))):
        plain, loops = (render([scene], 64, 48, compiled=compiled).int() for compiled in (False, True))
        assert (plain - loops).abs().max() <= 1


WORLD = """
name: harbour
shapes: {buoy: cone, ring: torus, can: cylinder, block: cube}
materials: {rubber: matte, metal: mirror}
"""


def test_other_bodies_are_left_to_torch(tmp_path):
    file = tmp_path / "world.yaml"
    file.write_text(WORLD)
    world = read_world(file)
    things = [thing(shape, x, material=material) for shape, x, material in THINGS]
    scene = scene_of(*things)
    scene = type(scene)(scene.objects, {}, {}, world=world)
    plain, loops = (render([scene], 128, 96, compiled=compiled).int() for compiled in (False, True))
    assert (plain - loops).abs().max() <= 1
    assert {group.shape for group in pack([scene], compiled=True).uncompiled} == {3, 4}


THINGS = (("buoy", -2.0, "metal"), ("ring", 0.0, "rubber"), ("can", 2.0, "metal"), ("block", 3.5, "rubber"))


def test_loops_are_for_the_cpu():
    message = "compiled loops draw on the CPU, not on meta; leave out compiled, or the device"
    with pytest.raises(RenderError, match=message):
        render(SCENES, 16, 12, device="meta", compiled=True)
    with pytest.raises(RenderError, match=message):
        compile_loops("meta")


def test_without_numba_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "clevr.world.compiled", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    message = r"compiled drawing needs the extra `compiled` .*pip install 'fewshot-film\[compiled\]'"
    with pytest.raises(MissingExtraError, match=message):
        compile_loops()
