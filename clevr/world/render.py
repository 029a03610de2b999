"""Images of scenes: rays to bodies, light along them, and the way from light to bytes, over whole batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add

import torch
from torch import Tensor

from clevr.world.lighting import ground_light
from clevr.world.materials import SurfacePoints, find_surface_points, lamps_on, matte, shiny
from clevr.world.primitives import Bodies, pack
from clevr.world.ray_casting import TILE, Grid, View, trace
from clevr.world.scene import Scene
from clevr.world.vectors import cut, pick
from fewshot_film.errors import UserError

_CHUNK = 4 * 320 * 240
"""Pixels drawn at once: enough to amortise the calls, few enough to stay near the processor's caches."""


class RenderError(UserError, ValueError):
    """An image that cannot be drawn as asked."""


@torch.no_grad()
def render(
    scenes: Sequence[Scene],
    width: int = 320,
    height: int = 240,
    *,
    device: torch.device | str = "cpu",
    samples: int = 2,
) -> Tensor:
    """Draw images of scenes.

    An image is a function of its scene's record alone, to the last bit the same in any batch. Where the record does
    not say where camera and lamps stand, they stand in their mean places.

    Args:
        scenes: ``B`` of them.
        width: of the images, in pixels.
        height: of the images, in pixels.
        device: where to draw, and where the result lies.
        samples: anti-aliasing: ``samples`` x ``samples`` rays for each pixel. Which body each ray meets, and how metal
            looks there, is worked out ray by ray; a pixel that shows one rubber body, and the ground, are lit once.
    Returns:
        uint8 ``(B, 3, height, width)``.
    Raises:
        RenderError: a size or number of samples below one.
        SceneError: a scene that CLEVR's world cannot show.
    """
    grid = _grid(width, height, samples, device)
    images = [to_bytes(radiance(pack(part, device), grid)) for part in _parts(scenes, grid)]
    return torch.cat(images) if images else torch.empty(0, 3, height, width, dtype=torch.uint8, device=device)


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
        shown = trace(bodies, grid).shown.long()
        index = pick(torch.cat([bodies.index.new_full((1,), -1), bodies.index]), shown + 1)
        ids.append(grid.to_image(index.reshape(len(part), -1)))
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


def _grid(width: int, height: int, samples: int, device: torch.device | str) -> Grid:
    if min(width, height, samples) < 1:
        raise RenderError(f"an image of {width}x{height} with {samples}x{samples} samples; all must be 1 or more")
    return Grid(width, height, samples, torch.device(device))


def _parts(scenes: Sequence[Scene], grid: Grid) -> Iterator[Sequence[Scene]]:
    size = max(1, _CHUNK // (grid.width * grid.height))
    for start in range(0, len(scenes), size):
        yield scenes[start : start + size]


_SPREAD = 0.1
"""Share of each pixel's light that goes to either neighbour, as by the pixel filter of CLEVR's renderer."""
_LEVELS = 1 << 14
"""Steps of the table that turns light into bytes."""


def radiance(bodies: Bodies, grid: Grid) -> Tensor:
    """Linear light ``(B, 3, H, W)`` before the pixel filter."""
    view = trace(bodies, grid)
    bare = reduce(add, (view.shown < 0).float().unbind(1)) * (1.0 / grid.samples**2)
    image = ground_light(bodies, grid, view.shown).view(3, *bare.shape) * bare
    for metal, shade in ((False, matte), (True, shiny)):
        rays = _rays(bodies, grid, view, metal)
        light = torch.zeros(rays.size, device=grid.device)
        for channel, values in zip(image, _light(bodies, grid, rays, shade), strict=True):
            light.view(-1).scatter_(0, rays.slot.view(-1), values.clamp(max=1.0).view(-1))
            *samples, whole = light.unbind(2)
            total = reduce(add, samples) * (1.0 / grid.samples**2) + whole
            channel.index_put_((rays.tile,), total, accumulate=True)
    return grid.to_image(image.view(3, bodies.num_scenes, -1)).transpose(0, 1)


@dataclass(frozen=True)
class _Rays:
    """The rays that meet bodies of one material, in rows; those of a row meet the same body.

    A pixel that shows nothing but one rubber body has one ray, through its middle, others one for each sample.
    """

    size: torch.Size
    """``(p, TILE ** 2, S + 1)``: pairs of a body and a tile, pixels, a pixel's samples and its middle."""
    tile: Tensor
    """``(p,)``: tiles of the pairs, counted through the batch."""
    slot: Tensor
    """``(n, k)``: which of ``size`` each ray is. A row that is not full repeats its last ray."""
    body: Tensor
    """``(n, 1)``."""
    x: Tensor
    """``(n, k)``: with ``y``, where the rays pass a screen at depth one."""
    y: Tensor
    depth: Tensor


def _rays(bodies: Bodies, grid: Grid, view: View, metal: bool) -> _Rays:
    chosen = (pick(bodies.metal, view.body) == metal).nonzero()[:, 0]
    body, tile = pick(view.body, chosen), pick(view.tile, chosen)
    in_batch = pick(bodies.scene, body) * grid.num_tiles + tile
    mine, depths = pick(view.shown, in_batch) == body[:, None, None], pick(view.depth, in_batch)
    whole = mine.all(1) & (not metal)
    mine = _beside(mine & ~whole[:, None], whole)
    slot = mine.view(-1).nonzero()[:, 0]
    body, place = cut(pick(body, slot // (mine.shape[1] * mine.shape[2])))
    slot = pick(slot, place)
    x, y = map(_beside, grid.rays(), grid.middles())
    depth = _beside(depths, reduce(add, depths.unbind(1)) * (1.0 / grid.samples**2))
    x, y, depth = (pick(values.view(-1), slot) for values in (pick(x, tile), pick(y, tile), depth))
    return _Rays(mine.shape, in_batch, slot, body, x, y, depth)


def _beside(samples: Tensor, middle: Tensor) -> Tensor:
    """Values at pixels' middles beside those at their samples: ``(p, TILE ** 2, S + 1)``."""
    return torch.cat([samples, middle.reshape(-1, 1, TILE * TILE)], 1).transpose(1, 2).contiguous()


_Shade = Callable[[Bodies, SurfacePoints, Tensor], list[Tensor]]


def _light(bodies: Bodies, grid: Grid, rays: _Rays, shade: _Shade) -> list[Tensor]:
    """Light along rays, ``(n, k)`` in three channels."""
    scene = pick(bodies.scene, rays.body)
    ray = bodies.forward[scene] + bodies.right[scene] * rays.x + bodies.up[scene] * rays.y
    spots = find_surface_points(bodies, rays.body, bodies.camera[scene], ray, rays.depth)
    spots = replace(spots, cell=rays.depth * (1.0 / (grid.scale * grid.samples)))
    return shade(bodies, spots, lamps_on(bodies, spots))


def to_bytes(light: Tensor) -> Tensor:
    """Filter linear light over neighbouring pixels and turn it into sRGB bytes."""
    for axis in (-2, -1):
        size = light.shape[axis]
        wide = torch.cat([light.narrow(axis, 0, 1), light, light.narrow(axis, size - 1, 1)], axis)
        beside = (wide.narrow(axis, 0, size) + wide.narrow(axis, 2, size)).mul_(_SPREAD)
        light = (light * (1.0 - 2.0 * _SPREAD)).add_(beside)
    # A table by the root of the light: no power function, whose last bit differs between machines.
    level = light.clamp_(0.0, 1.0).sqrt_().mul_(_LEVELS - 1).add_(0.5).to(torch.int32)
    return pick(_srgb_table(light.device), level)


@lru_cache(maxsize=4)
def _srgb_table(device: torch.device) -> Tensor:
    levels = [(i / (_LEVELS - 1)) ** 2 for i in range(_LEVELS)]
    coded = [12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in levels]
    return torch.tensor([round(255 * v) for v in coded], dtype=torch.uint8, device=device)
