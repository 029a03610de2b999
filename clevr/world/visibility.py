"""Whether the objects of scenes can be seen, and where one of them is; no image is drawn for it.

What an object hides of another one is first bounded: of a body that holds a ball of its half width, at least the pixels
of that ball are seen, but for those in the boxes of others that may stand before it. Most objects pass by that alone.
For the rest, rays are cast into the tiles in which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clevr.world.primitives import CYLINDER, Bodies, pack
from clevr.world.ray_casting import TILE, Grid, ball_bounds, screen_bounds, trace
from clevr.world.scene import Scene
from clevr.world.vectors import Vec, pick

_CHECK = Grid(320, 240, 1, torch.device("cpu"))
"""The image in which objects must be seen; of whole blocks, so none of its pixels are padding."""
_PART = 64
"""Scenes looked at together; more fall out of the processor's caches."""
_CELL = 0.72
"""A little more than half the diagonal of a pixel: a disc of radius r holds the middles of pi (r - this)^2 pixels."""


def visible_pixels(scenes: Sequence[Scene]) -> list[list[int]]:
    """How many pixels of each object of each scene are seen in an image of 320x240."""
    return [counts for part in _parts(scenes) for counts in _by_scene(part, _count(pack(part)))]


def all_visible(scenes: Sequence[Scene], min_pixels: int) -> list[bool]:
    """Whether every object of each scene is seen by at least ``min_pixels`` pixels of an image of 320x240."""
    return [all(seen) for part in _parts(scenes) for seen in _by_scene(part, _is_visible(pack(part), min_pixels))]


@torch.no_grad()
def visible_boxes(scenes: Sequence[Scene], chosen: Sequence[int], width: int, height: int) -> list[list[int]]:
    """The box around what is seen of one object of each scene.

    Args:
        scenes: ``B`` of them.
        chosen: of each scene, the place of the object among its objects.
        width: of the images, in pixels.
        height: of the images, in pixels.
    Returns:
        Left, top, right and bottom in pixels, the last two exclusive; zeros for an object that is not seen. The same as
        :func:`clevr.world.render.boxes` gives.
    """
    grid = Grid(width, height, 1, torch.device("cpu"))
    column, row = (part.long() for part in grid.corners())
    boxes = []
    for part, places in zip(_parts(scenes), _parts(chosen), strict=True):
        boxes += _boxes(pack(part), torch.tensor(places), grid, column, row)
    return boxes


def _boxes(bodies: Bodies, chosen: Tensor, grid: Grid, column: Tensor, row: Tensor) -> list[list[int]]:
    is_chosen = bodies.index == pick(chosen, bodies.scene)
    view = trace(bodies, grid, only=is_chosen)
    assert view.rows is not None
    shown = view.shown.flatten()
    place = (view.rows % grid.num_tiles)[:, None] * TILE**2 + torch.arange(TILE**2)
    x, y = pick(column, place.view(-1)), pick(row, place.view(-1))
    index = ((shown >= 0) & (x < grid.width) & (y < grid.height)).nonzero()[:, 0]
    index = index[pick(is_chosen, pick(shown, index).long())]
    scene, x, y = pick(bodies.scene, pick(shown, index).long()), pick(x, index), pick(y, index)
    low = torch.full((2, bodies.num_scenes), max(grid.width, grid.height))
    high = torch.zeros_like(low)
    for axis, values in enumerate((x, y)):
        low[axis].scatter_reduce_(0, scene, values, "amin")
        high[axis].scatter_reduce_(0, scene, values + 1, "amax")
    boxes = torch.where(high[0] > 0, torch.cat([low, high]), 0)
    return boxes.T.tolist()


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _PART] for start in range(0, len(values), _PART))


def _by_scene(scenes: Sequence[Scene], values: Tensor) -> Iterator[list[Any]]:
    ends = np.cumsum([0] + [len(scene.objects) for scene in scenes]).tolist()
    listed = values.tolist()
    return (listed[first:last] for first, last in pairwise(ends))


@torch.no_grad()
def _count(bodies: Bodies, only: Tensor | None = None) -> Tensor:
    """``(M,)``: pixels by which bodies are seen; right for those of ``only``."""
    shown = trace(bodies, _CHECK, only).shown.reshape(-1)
    return torch.bincount(shown + 1, minlength=len(bodies.scene) + 1)[1:]


@torch.no_grad()
def _is_visible(bodies: Bodies, min_pixels: int) -> Tensor:
    """``(M,)`` bool: whether bodies are seen by enough pixels."""
    visible = _least_pixels(bodies) >= min_pixels
    if not visible.all():
        visible |= _count(bodies, ~visible) >= min_pixels
    return visible


def _least_pixels(bodies: Bodies) -> Tensor:
    """``(M,)``: by so many pixels bodies are seen at least, as balls and boxes tell; none where they tell nothing."""
    scene, place = bodies.scene, bodies.index
    offset = bodies.center - bodies.camera[scene]
    axes = (bodies.right[scene], bodies.up[scene], bodies.forward[scene])
    middle = Vec(*(offset.dot(axis) for axis in axes))
    distance, bounds = offset.dot(offset).sqrt(), screen_bounds(bodies, _CHECK)
    size = (5, bodies.num_scenes, int(place.amax()) + 1 if len(place) else 0)
    table = torch.full(size, torch.inf)
    table[:, scene, place] = torch.stack([*bounds, distance - bodies.ball])
    left, top, right, bottom, nearest = table[:, scene]  # (M, N) each: of all bodies of a body's scene

    low_x, high_x, low_y, high_y = (edge[:, None] for edge in ball_bounds(middle, bodies.half))
    middle_x, middle_y, scale = _CHECK.width / 2, _CHECK.height / 2, _CHECK.scale
    across = torch.minimum(high_x * scale + middle_x, right) - torch.maximum(low_x * scale + middle_x, left)
    down = torch.minimum(middle_y - low_y * scale, bottom) - torch.maximum(middle_y - high_y * scale, top)
    may_hide = (across >= 0) & (down >= 0) & (nearest < distance[:, None])
    may_hide &= place[:, None] != torch.arange(size[2])
    hidden = torch.where(may_hide, (across + 1.0) * (down + 1.0), 0.0).sum(1)

    radius = bodies.half * (scale / middle.z)
    pixels = (radius - _CELL).clamp(min=0.0).square() * torch.pi - hidden
    left, top, right, bottom = bounds
    known = (left >= 0) & (top >= 0) & (right <= _CHECK.width) & (bottom <= _CHECK.height)
    known &= bodies.shape <= CYLINDER  # bodies that hold a ball of their half width
    behind = torch.zeros(bodies.num_scenes).index_add_(0, scene, (middle.z <= 2.0 * bodies.ball).float())
    return torch.where(known & (pick(behind, scene) == 0), pixels, 0.0)
