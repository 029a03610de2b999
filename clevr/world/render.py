"""Pictures of scenes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, pack
from clevr.world.grid import Grid
from clevr.world.ground import ground_light
from clevr.world.scene import Scene
from clevr.world.surface import surface_light
from clevr.world.visible import trace

_CHUNK = 16 * 320 * 240


def radiance(bodies: Bodies, grid: Grid) -> Tensor:
    """``(B, 3, H, W)``: linear radiance."""
    shown, depth = trace(bodies, grid)
    sample, light = surface_light(bodies, grid, shown, depth)
    per_pixel = grid.samples**2
    ground = ground_light(bodies, grid)
    bare = (shown < 0).reshape(-1, per_pixel).sum(1).reshape(bodies.num_scenes, -1)
    picture = ground * (bare.float() / per_pixel)
    flat = picture.reshape(3, -1)
    scratch = torch.zeros(shown.numel(), device=grid.device)
    for channel in range(3):
        scratch[sample] = light[channel].clamp(max=1.0)
        flat[channel] += scratch.reshape(-1, per_pixel).sum(1) / per_pixel
    return grid.to_picture(flat.reshape(3, bodies.num_scenes, -1)).transpose(0, 1)


def render(scenes: Sequence[Scene], width: int = 320, height: int = 240, *, device: torch.device | str = "cpu", samples: int = 2) -> Tensor:
    """uint8."""
    grid = Grid(width, height, samples, torch.device(device))
    size = max(1, _CHUNK // (width * height))
    pictures = [to_bytes(radiance(pack(scenes[i : i + size], device), grid)) for i in range(0, len(scenes), size)]
    return torch.cat(pictures)


def to_bytes(linear: Tensor) -> Tensor:
    """sRGB."""
    x = linear.clamp(0, 1)
    s = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    return (s * 255 + 0.5).to(torch.uint8)
