"""Pictures of scenes: a ray caster over whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.bodies import Bodies, pack
from clevr.world.grid import Grid
from clevr.world.ground import ground_light
from clevr.world.metal import shiny
from clevr.world.scene import Scene
from clevr.world.surface import find_spots, lamps_on, matte
from clevr.world.visible import trace

_CHUNK = 16 * 320 * 240
"""Pixels drawn at once: enough to amortise the calls, few enough to stay near the processor's caches."""
_SPREAD = 0.1
"""Share of each pixel's light that goes to either neighbour, as by the pixel filter of CLEVR's renderer."""
_LEVELS = 1 << 14


class RenderError(ValueError):
    """A picture that cannot be drawn as asked."""


@torch.no_grad()
def render(
    scenes: Sequence[Scene],
    width: int = 320,
    height: int = 240,
    *,
    device: torch.device | str = "cpu",
    samples: int = 2,
) -> Tensor:
    """Draw pictures of scenes.

    A picture is a function of its scene's record alone, to the last bit the same in any batch. Where the record does
    not say where camera and lamps stand, they stand in their mean places.

    Args:
        scenes: ``B`` of them.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.
        device: where to draw, and where the result lies.
        samples: anti-aliasing: ``samples`` x ``samples`` rays for each pixel. Which body each ray meets and how metal looks
            there is worked out ray by ray; a pixel that shows one rubber body, and the ground, are lit once.
    Returns:
        uint8 ``(B, 3, height, width)``.
    Raises:
        RenderError: a size or number of samples below one.
        SceneError: a scene that CLEVR's world cannot show.
    """
    grid = _grid(width, height, samples, device)
    pictures = [_to_bytes(radiance(pack(part, device), grid)) for part in _parts(scenes, grid)]
    return torch.cat(pictures) if pictures else torch.empty(0, 3, height, width, dtype=torch.uint8, device=device)


@torch.no_grad()
def object_ids(
    scenes: Sequence[Scene], width: int = 320, height: int = 240, *, device: torch.device | str = "cpu"
) -> Tensor:
    """Which object the middle of each pixel shows.

    Returns:
        int64 ``(B, height, width)``: place among the scene's objects, -1 for the ground.
    Raises:
        RenderError: a size below one.
        SceneError: a scene that CLEVR's world cannot show.
    """
    grid = _grid(width, height, 1, device)
    ids = []
    for part in _parts(scenes, grid):
        bodies = pack(part, device)
        shown = trace(bodies, grid)[0].long()
        index = torch.where(shown >= 0, bodies.index[shown], -1) if len(bodies.index) else shown
        ids.append(grid.to_picture(index.reshape(len(part), -1)))
    return torch.cat(ids) if ids else torch.empty(0, height, width, dtype=torch.int64, device=device)


def masks(ids: Tensor, num_objects: int) -> Tensor:
    """Masks of objects from ``object_ids``: bool ``(..., num_objects, H, W)`` from ``(..., H, W)``."""
    numbers = torch.arange(num_objects, device=ids.device).reshape(-1, 1, 1)
    return ids.unsqueeze(-3) == numbers


def boxes(ids: Tensor, num_objects: int) -> Tensor:
    """Boxes around the visible parts of objects from ``object_ids``.

    Returns:
        int64 ``(..., num_objects, 4)``: left, top, right, bottom in pixels, the last two exclusive; zeros for an
        object that is not seen.
    """
    seen = masks(ids, num_objects)
    edges = []
    for axis in (-2, -1):  # over the rows for columns, over the columns for rows
        line = seen.any(axis).long()
        size = line.shape[-1]
        first = line.argmax(-1)
        last = torch.where(line.any(-1), size - line.flip(-1).argmax(-1), 0)
        edges.append((first, last))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], dim=-1)


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
        channel[rays.mixed] += sum(samples.unbind(1)) * (1.0 / grid.samples**2)
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
    middle = sum(depth[whole].unbind(1)) * (1.0 / grid.samples**2)
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


def _to_bytes(light: Tensor) -> Tensor:
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


def _grid(width: int, height: int, samples: int, device: torch.device | str) -> Grid:
    if min(width, height, samples) < 1:
        raise RenderError(f"a picture of {width}x{height} with {samples}x{samples} samples; all must be 1 or more")
    return Grid(width, height, samples, torch.device(device))


def _parts(scenes: Sequence[Scene], grid: Grid) -> Iterator[Sequence[Scene]]:
    size = max(1, _CHUNK // (grid.width * grid.height))
    for start in range(0, len(scenes), size):
        yield scenes[start : start + size]
