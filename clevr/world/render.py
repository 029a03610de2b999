"""Pictures of scenes: a ray caster over whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from clevr.world.bodies import pack
from clevr.world.grid import Grid
from clevr.world.picture import radiance, to_bytes
from clevr.world.scene import Scene
from clevr.world.vectors import pick
from clevr.world.visible import trace
from fewshot_film.errors import UserError

_CHUNK = 8 * 320 * 240
"""Pixels drawn at once: enough to amortise the calls, few enough to stay near the processor's caches."""


class RenderError(UserError, ValueError):
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
        samples: anti-aliasing: ``samples`` x ``samples`` rays for each pixel. Which body each ray meets, and how metal
            looks there, is worked out ray by ray; a pixel that shows one rubber body, and the ground, are lit once.
    Returns:
        uint8 ``(B, 3, height, width)``.
    Raises:
        RenderError: a size or number of samples below one.
        SceneError: a scene that CLEVR's world cannot show.
    """
    grid = _grid(width, height, samples, device)
    pictures = [to_bytes(radiance(pack(part, device), grid)) for part in _parts(scenes, grid)]
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
        shown = trace(bodies, grid).shown.long()
        index = pick(torch.cat([bodies.index.new_full((1,), -1), bodies.index]), shown + 1)
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


def _grid(width: int, height: int, samples: int, device: torch.device | str) -> Grid:
    if min(width, height, samples) < 1:
        raise RenderError(f"a picture of {width}x{height} with {samples}x{samples} samples; all must be 1 or more")
    return Grid(width, height, samples, torch.device(device))


def _parts(scenes: Sequence[Scene], grid: Grid) -> Iterator[Sequence[Scene]]:
    size = max(1, _CHUNK // (grid.width * grid.height))
    for start in range(0, len(scenes), size):
        yield scenes[start : start + size]
