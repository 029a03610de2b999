"""Highlights on the rounded edges of metal, against many rays per pixel."""

from __future__ import annotations

import pytest
import torch

from clevr.world import materials, shading_rays
from clevr.world.primitives import BEVELS, CUBE, CYLINDER, pack, reaches_edge
from clevr.world.ray_casting import Grid, trace
from clevr.world.render import render
from clevr.world.scene import Scene
from clevr.world.vectors import Vec, pick
from tests.clevr.world.examples import scene_of, thing

METAL = scene_of(
    thing("cube", -1.5, -1.2, material="metal", size="small", rotation=1.0),
    thing("cylinder", 1.5, -1.5, material="metal", size="small"),
    thing("cube", 0.5, 1.5, material="metal", rotation=0.4),
)
ORACLE_SAMPLES = 12


@pytest.fixture
def without_smoothing(monkeypatch):
    """Draw as if each ray had no width."""

    def draw(scene: Scene, *size: int, samples: int = 2) -> torch.Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(materials, "_smooth_edges", lambda *_: None)
            if samples > 2:
                patch.setattr(shading_rays, "_TURN", 0.0)  # all samples of metal are shaded
            return render([scene], *size, samples=samples)[0].float()

    return draw


def edge_pixels(scene: Scene, width: int, height: int, samples: int = 8) -> torch.Tensor:
    """Pixels in which any of many rays meets a rounded edge of metal."""
    bodies, grid = pack([scene]), Grid(width, height, samples, torch.device("cpu"))
    view = trace(bodies, grid)
    body = view.shown.long().clamp(min=0)
    x, y = grid.rays()
    ray = bodies.forward + bodies.right * x + bodies.up * y
    local = bodies.local_point(body, bodies.camera + ray * view.depth.clamp(max=100.0))
    half, shape, on_edge = pick(bodies.half, body), pick(bodies.shape, body), torch.zeros_like(x, dtype=torch.bool)
    for code, beyond in (
        (CUBE, (local.x.abs(), local.y.abs(), local.z.abs())),
        (CYLINDER, (_radius(local), local.z.abs())),
    ):
        outside = sum((part > half * (1.0 - BEVELS[code])).int() for part in beyond)
        on_edge |= (outside >= 2) & (shape == code)
    on_edge &= (view.shown >= 0) & pick(bodies.metal, body)
    return grid.to_image(on_edge.any(1).reshape(1, -1))[0]


def _radius(point: Vec) -> torch.Tensor:
    return (point.x**2 + point.y**2).sqrt()


@pytest.mark.parametrize("size", [(64, 48), (128, 96), (256, 192)])
def test_highlights_on_edges_are_those_of_many_rays(size, without_smoothing):
    truth = without_smoothing(METAL, *size, samples=ORACLE_SAMPLES)
    edges = edge_pixels(METAL, *size)
    drawn = render([METAL], *size)[0].float()
    rough, smooth = ((image - truth).abs().mean(0)[edges] for image in (without_smoothing(METAL, *size), drawn))
    assert smooth.square().mean() < 0.5 * rough.square().mean()
    assert smooth.mean() < 0.9 * rough.mean()
    assert smooth.max() < 0.7 * rough.max()


def test_only_edges_of_metal_change(without_smoothing):
    size = (128, 96)
    edges = edge_pixels(METAL, *size)[None, None].float()
    near = torch.nn.functional.max_pool2d(edges, 5, 1, 2)[0, 0] > 0  # a cell and the pixel filter reach so far
    changed = (render([METAL], *size)[0].float() != without_smoothing(METAL, *size)).any(0)
    assert changed.any()
    assert not (changed & ~near).any()
    for dull in (scene_of(thing("cube"), thing("cylinder", 2.0)), scene_of(thing("sphere", material="metal"))):
        assert torch.equal(render([dull], *size)[0].float(), without_smoothing(dull, *size))


def test_a_line_of_light_is_not_beaded(without_smoothing):
    # Along the upper edge of this cube, which is nearly level in the image, neighbours should hardly differ.
    scene = scene_of(METAL.objects[0])
    columns = edge_pixels(scene, 320, 240).any(0).nonzero()[8:-8, 0]

    def beads(image: torch.Tensor) -> float:
        line = image[0, :, columns].masked_fill(~edge_pixels(scene, 320, 240)[:, columns], 0.0).amax(0)
        return float((line[1:-1] - (line[:-2] + line[2:]) / 2).abs().mean())

    assert beads(render([scene], 320, 240)[0].float()) < 0.3 * beads(without_smoothing(scene, 320, 240))


@pytest.mark.parametrize("half", [0.35, 0.7])
def test_edges_are_reached_from_beside_them(half):
    reach, inner = torch.tensor([0.0, 0.02]), half * (1.0 - BEVELS[CUBE])
    for beside, expected in ((0.01, [True, True]), (-0.01, [False, True]), (-0.03, [False, False])):
        point = Vec(*(torch.tensor(value).expand(2) for value in (half, inner + beside, 0.0)))
        assert reaches_edge(CUBE, point, torch.tensor(half), reach).tolist() == expected
    inner = half * (1.0 - BEVELS[CYLINDER])
    for beside, expected in ((0.01, [True, True]), (-0.01, [False, True]), (-0.03, [False, False])):
        point = Vec(
            *(torch.tensor(value).expand(2) for value in (0.6 * (inner + beside), 0.8 * (inner + beside), half))
        )
        assert reaches_edge(CYLINDER, point, torch.tensor(half), reach).tolist() == expected
