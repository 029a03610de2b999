"""Images of scenes: rays to bodies, light along them, and the way from light to bytes, over whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from operator import add

import torch
from torch import Tensor

from clevr.world.lighting import CACHED, ground_light
from clevr.world.materials import lamps_on, matte, shiny
from clevr.world.primitives import Bodies, pack
from clevr.world.ray_casting import TILE, Grid, trace
from clevr.world.scene import Scene, SceneObject
from clevr.world.shading_rays import shading_rays
from clevr.world.vectors import pick
from fewshot_film.errors import UserError

_CHUNK = 8 * 320 * 240
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
    compiled: bool = False,
) -> Tensor:
    """Draw images of scenes.

    An image is a function of its scene's record alone, to the last bit the same in any batch. Where the record does
    not say where camera and lamps stand, they stand in their mean places.

    Args:
        scenes: ``B`` of them.
        width: of the images, in pixels.
        height: of the images, in pixels.
        device: where to draw, and where the result lies.
        samples: anti-aliasing: ``samples`` x ``samples`` rays for each pixel. Which body each ray meets is worked out
            ray by ray; a pixel that shows one body, and the ground, are lit once, but for metal in which something
            changes within the pixel.
        compiled: use loops that Numba compiles: on the CPU about twice as fast, from the second call on. The images are
            the same within one level, and all but a few values altogether.
    Returns:
        uint8 ``(B, 3, height, width)``.
    Raises:
        RenderError: a size or number of samples below one; compiled loops on another device than the CPU.
        MissingExtraError: Numba is not installed.
        SceneError: a scene that CLEVR's world cannot show.
    """
    grid = _grid(width, height, samples, device)
    if compiled and grid.device.type != "cpu":
        raise RenderError(f"compiled loops draw on the CPU, not on {grid.device}; leave out compiled, or the device")
    images = [to_bytes(radiance(pack(part, device, compiled=compiled), grid)) for part in _parts(scenes, grid)]
    return torch.cat(images) if images else torch.empty(0, 3, height, width, dtype=torch.uint8, device=device)


def compile_loops(device: torch.device | str = "cpu") -> None:
    """Compile the loops of ``render(..., compiled=True)`` now, where they are not kept from an earlier time.

    Processes that are started afterwards need not do so, each for itself.

    Raises:
        RenderError: another device than the CPU.
        MissingExtraError: Numba is not installed.
    """
    thing = SceneObject("cube", "large", "red", "metal", (0.0, 0.0, 0.7), 0.0)
    render([Scene((thing,), {}, {})], 32, 24, device=device, compiled=True)


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
    view = trace(bodies, grid, only=torch.ones_like(bodies.metal))
    image = ground_light(bodies, grid, view)
    for metal, shade in ((False, matte), (True, shiny)):
        rays = shading_rays(bodies, grid, view, metal)
        light = torch.zeros(rays.size, device=grid.device)
        spots = rays.points(bodies, grid)
        for channel, values in zip(image, shade(bodies, spots, lamps_on(bodies, spots)), strict=True):
            light.view(-1).scatter_(0, rays.slot.view(-1), values.clamp(max=1.0).view(-1))
            *samples, whole = light.unbind(2)
            total = reduce(add, samples) * (1.0 / grid.samples**2) + whole
            channel.view(-1, TILE * TILE).index_put_((rays.tile,), total, accumulate=True)
    return grid.to_image(image).transpose(0, 1)


def to_bytes(light: Tensor) -> Tensor:
    """Filter linear light over neighbouring pixels and turn it into sRGB bytes, ``(B, 3, H, W)``."""
    size = max(1, CACHED // (light.shape[-2] * light.shape[-1]))
    return torch.cat([_to_bytes(part) for part in light.split(size)])


def _to_bytes(light: Tensor) -> Tensor:
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
