"""Pixels of metal that are shaded once, against all of their samples."""

from __future__ import annotations

import pytest
import torch

from clevr.world import shading_rays
from clevr.world.materials import _nearest_body
from clevr.world.primitives import pack
from clevr.world.ray_casting import Grid, trace
from clevr.world.render import render
from tests.clevr.world.examples import drawn, scene_of, thing

SCENES = drawn(40)[:4]


@pytest.mark.parametrize("size", [(96, 72), (320, 240)])
def test_metal_shaded_once_looks_as_with_all_samples(size, monkeypatch):
    once = render(SCENES, *size).int()
    monkeypatch.setattr(shading_rays, "_TURN", 0.0)
    difference = (once - render(SCENES, *size).int()).abs().amax(1)
    assert (difference > 0).any()
    assert (difference <= 1).float().mean() > 0.999
    assert difference.float().mean() < 0.02


def shaded_once(metal: bool = True) -> tuple[shading_rays.ShadingRays, torch.Tensor]:
    """Rays of the first scenes, and which of them stand for whole pixels."""
    bodies, grid = pack(SCENES), Grid(320, 240, 2, torch.device("cpu"))
    rays = shading_rays.shading_rays(bodies, grid, trace(bodies, grid), metal)
    return rays, rays.slot % rays.size[2] == 4


def test_pixels_of_rubber_and_of_metal_are_shaded_once():
    for metal, least in ((False, 0.5), (True, 0.05)):
        assert shaded_once(metal)[1].float().mean() > least


def test_pixels_shaded_once_mirror_no_other_body():
    rays, once = shaded_once()
    bodies, grid = pack(SCENES), Grid(320, 240, 2, torch.device("cpu"))
    spots = rays.points(bodies, grid)
    _, other = _nearest_body(bodies, spots, spots.view.reflect(spots.normal))
    assert (other >= 0).any()
    assert not ((other >= 0) & once).any()


def test_every_sample_is_shaded_once_or_within_its_pixel():
    bodies, grid = pack(SCENES), Grid(320, 240, 2, torch.device("cpu"))
    view = trace(bodies, grid)
    covered = torch.zeros(view.shown.shape[0], 16)
    for metal in (False, True):
        rays = shading_rays.shading_rays(bodies, grid, view, metal)
        weight = torch.zeros(rays.size)
        weight.view(-1)[rays.slot.view(-1)] = 0.25
        weight[:, :, -1] *= 4
        covered.index_add_(0, rays.tile, weight.sum(2))
    assert torch.equal(covered, (view.shown >= 0).float().mean(1))


def test_a_small_ball_keeps_all_samples():
    bodies = pack([scene_of(thing("sphere", material="metal"))])
    grid = Grid(96, 72, 2, torch.device("cpu"))
    rays = shading_rays.shading_rays(bodies, grid, trace(bodies, grid), True)
    assert not (rays.slot % rays.size[2] == 4).any()  # a ball of so few pixels turns too much in each
