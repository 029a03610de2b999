"""One batch of pictures: rays to bodies, light along them, and the way from light to bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add

import torch
from torch import Tensor

from clevr.world.bodies import Bodies
from clevr.world.grid import Grid
from clevr.world.ground import ground_light
from clevr.world.metal import shiny
from clevr.world.surface import find_spots, lamps_on, matte
from clevr.world.visible import trace

_SPREAD = 0.1
"""Share of each pixel's light that goes to either neighbour, as by the pixel filter of CLEVR's renderer."""
_LEVELS = 1 << 14
"""Steps of the table that turns light into bytes."""


def radiance(bodies: Bodies, grid: Grid) -> Tensor:
    """Linear light ``(B, 3, H, W)`` before the pixel filter."""
    shown, depth = trace(bodies, grid)
    bare = (shown < 0).sum(1).reshape(bodies.num_scenes, -1)
    picture = ground_light(bodies, grid, shown) * (bare * (1.0 / grid.samples**2))
    flat = picture.reshape(3, -1)
    rays = _rays(bodies, grid, shown, depth)
    for channel, light in zip(flat, _light(bodies, grid, rays), strict=True):
        whole, parts = light[: len(rays.whole)], light[len(rays.whole) :]
        channel[rays.whole] += whole
        samples = torch.zeros(len(rays.mixed), shown.shape[1], device=grid.device)
        samples[rays.member, rays.sample] = parts
        channel[rays.mixed] += _total(samples) * (1.0 / grid.samples**2)
    return grid.to_picture(picture).transpose(0, 1)


@dataclass(frozen=True)
class _Rays:
    """The rays that meet bodies: one for each pixel in ``whole``, then those of the pixels in ``mixed``."""

    whole: Tensor
    """Pixels that show nothing but one rubber body."""
    mixed: Tensor
    """Other pixels that show a body."""
    member: Tensor
    """Which of the mixed pixels each further ray is of."""
    sample: Tensor
    """Which of its samples."""
    body: Tensor
    depth: Tensor


def _rays(bodies: Bodies, grid: Grid, shown: Tensor, depth: Tensor) -> _Rays:
    first = shown[:, 0]
    rubber = torch.cat([bodies.metal.logical_not(), bodies.metal.new_zeros(1)])  # the last is for -1, the ground
    alike = rubber[first.long()]
    for other in shown.unbind(1)[1:]:
        alike = alike & (other == first)
    whole = alike.nonzero()[:, 0]
    mixed = (~alike & (shown >= 0).any(1)).nonzero()[:, 0]
    part = shown[mixed]
    member, sample = (part >= 0).nonzero(as_tuple=True)
    body = torch.cat([first[whole], part[member, sample]]).long()
    middle = _total(depth[whole]) * (1.0 / grid.samples**2)
    return _Rays(whole, mixed, member, sample, body, torch.cat([middle, depth[mixed][member, sample]]))


def _light(bodies: Bodies, grid: Grid, rays: _Rays) -> list[Tensor]:
    """Light along rays, in three channels; a highlight outshines nothing beyond the samples it covers."""
    pixel = torch.cat([rays.whole, rays.mixed[rays.member]]) % grid.num_pixels
    x, y = grid.screen(
        *(
            corner[pixel] + torch.cat([torch.full_like(rays.whole, 0.5, dtype=torch.float32), shift[rays.sample]])
            for corner, shift in zip(grid.corners(), grid.shifts(), strict=True)
        )
    )
    scene = bodies.scene[rays.body]
    ray = bodies.forward[scene] + bodies.right[scene] * x + bodies.up[scene] * y
    spots = find_spots(bodies, rays.body, bodies.camera[scene], ray, rays.depth)
    lit = lamps_on(bodies, spots)
    light = [torch.empty_like(x) for _ in range(3)]
    metal = bodies.metal[rays.body]
    for where, shade in ((~metal, matte), (metal, shiny)):
        index = where.nonzero()[:, 0]
        for channel, values in zip(light, shade(bodies, spots[index], lit[:, index]), strict=True):
            channel[index] = values.clamp(max=1.0)
    return light


def to_bytes(light: Tensor) -> Tensor:
    """Filter linear light over neighbouring pixels and turn it into sRGB bytes."""
    for axis in (-2, -1):
        size = light.shape[axis]
        before = torch.cat([light.narrow(axis, 0, 1), light.narrow(axis, 0, size - 1)], axis)
        after = torch.cat([light.narrow(axis, 1, size - 1), light.narrow(axis, size - 1, 1)], axis)
        light = light * (1.0 - 2.0 * _SPREAD) + (before + after) * _SPREAD
    # A table by the root of the light: no power function, whose last bit differs between machines.
    level = (light.clamp(0.0, 1.0).sqrt() * (_LEVELS - 1) + 0.5).to(torch.int32)
    return _srgb_table(light.device)[level]


@lru_cache(maxsize=4)
def _srgb_table(device: torch.device) -> Tensor:
    levels = [(i / (_LEVELS - 1)) ** 2 for i in range(_LEVELS)]
    coded = [12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in levels]
    return torch.tensor([round(255 * v) for v in coded], dtype=torch.uint8, device=device)


def _total(rows: Tensor) -> Tensor:
    """Sums of short rows, added from left to right on every machine."""
    return reduce(add, rows.unbind(1))
