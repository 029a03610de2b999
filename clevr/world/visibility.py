"""Whether the objects of scenes can be seen, and where one of them is; no image is drawn for it.

What an object hides of another one is first bounded: of a body that holds a ball of its half width, at least the pixels
of that ball are seen, but for those in the boxes of others that may stand before it. Most objects pass by that alone.
For the rest, rays are cast into the tiles in which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clevr.world.primitives import CYLINDER, Bodies, pack
from clevr.world.ray_casting import TILE, Grid, screen_bounds, trace
from clevr.world.scene import Scene
from clevr.world.vectors import Vec, pick

_CHECK = Grid(320, 240, 1, torch.device("cpu"))
"""The image in which objects must be seen; of whole blocks, so none of its pixels are padding."""
_PART = 64
"""Scenes looked at together; more fall out of the processor's caches."""
_CELL = 0.72
"""A little more than half the diagonal of a pixel: a disc of radius r holds the middles of pi (r - this)^2 pixels."""
_MARGIN = 0.1
"""Pixels by which discs are taken smaller and boxes larger where rows are compared; more than rounding."""


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
    discs = _Discs.of(bodies)
    visible = discs.least_pixels() >= min_pixels
    for look in (discs.least_pixels_by_rows, partial(_count, bodies)):
        if visible.all():
            break
        visible |= look(~visible) >= min_pixels
    return visible


@dataclass(frozen=True)
class _Discs:
    """Of each of ``M`` bodies a disc in the image that it covers, as it holds a ball; and what may hide this."""

    x: Tensor
    """``(M,)``; with ``y`` the middle, in pixels."""
    y: Tensor
    radius: Tensor
    known: Tensor
    """``(M,)`` bool: whether it does cover its disc, and the disc is in the image."""
    boxes: Tensor
    """``(4, M, N)``: left, top, right and bottom of the bodies of a body's scene, no box where they cannot hide it."""

    @classmethod
    def of(cls, bodies: Bodies) -> _Discs:
        """The discs of bodies."""
        scene, place = bodies.scene, bodies.index
        offset = bodies.center - bodies.camera[scene]
        axes = (bodies.right[scene], bodies.up[scene], bodies.forward[scene])
        middle = Vec(*(offset.dot(axis) for axis in axes))
        distance, bounds = offset.dot(offset).sqrt(), screen_bounds(bodies, _CHECK)
        size = (5, bodies.num_scenes, int(place.amax()) + 1 if len(place) else 0)
        table = torch.full(size, torch.inf)
        table[:, scene, place] = torch.stack([*bounds, distance - bodies.ball])
        boxes, nearest = table[:4, scene], table[4, scene]
        cannot_hide = (nearest >= distance[:, None]) | (place[:, None] == torch.arange(size[2]))
        left, top, right, bottom = bounds
        known = (left >= 0) & (top >= 0) & (right <= _CHECK.width) & (bottom <= _CHECK.height)
        known &= bodies.shape <= CYLINDER  # bodies that hold a ball of their half width
        behind = torch.zeros(bodies.num_scenes).index_add_(0, scene, (middle.z <= 2.0 * bodies.ball).float())
        scale = _CHECK.scale / middle.z
        return cls(
            x=_CHECK.width / 2 + middle.x * scale,
            y=_CHECK.height / 2 - middle.y * scale,
            radius=bodies.half * scale,
            known=known & (pick(behind, scene) == 0),
            boxes=boxes.masked_fill(cannot_hide, torch.inf),
        )

    def least_pixels(self) -> Tensor:
        """``(M,)``: by so many pixels bodies are seen at least: those of the disc without those of all boxes."""
        x, y, reach = self.x[:, None], self.y[:, None], self.radius[:, None]
        left, top, right, bottom = self.boxes
        across = torch.minimum(x + reach, right) - torch.maximum(x - reach, left)
        down = torch.minimum(y + reach, bottom) - torch.maximum(y - reach, top)
        hidden = torch.where((across >= 0) & (down >= 0), (across + 1.0) * (down + 1.0), 0.0).sum(1)
        pixels = (self.radius - _CELL).clamp(min=0.0).square() * torch.pi - hidden
        return torch.where(self.known, pixels, 0.0)

    def least_pixels_by_rows(self, chosen: Tensor) -> Tensor:
        """The same row by row of the image, closer, for the ``(M,)`` bool chosen of them; zeros for others."""
        index = (chosen & self.known).nonzero()[:, 0]
        x, y, radius = (pick(values, index)[:, None] for values in (self.x, self.y, self.radius - _MARGIN))
        left, top, right, bottom = self.boxes[:, index, None]
        row = (y - radius).floor() + 0.5 + torch.arange(int(2 * radius.amax()) + 2 if len(index) else 0)
        reach = (radius.square() - (row - y).square()).clamp(min=0.0).sqrt()
        low, high = (x - reach)[..., None], (x + reach)[..., None]
        across = torch.minimum(high, right) - torch.maximum(low, left) + 2 * _MARGIN
        inside = (row[..., None] >= top - _MARGIN) & (row[..., None] <= bottom + _MARGIN)
        hidden = torch.where(inside & (across >= 0), across + 1.0, 0.0).sum(2)
        pixels = (2 * reach - 1.0 - hidden).clamp(min=0.0).sum(1)
        return torch.zeros_like(self.x).index_copy_(0, index, pixels)
