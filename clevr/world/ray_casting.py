"""Which body every sample of an image shows, and how far away it is; the image is held in tile order.

Tile order: 2x2 pixels side by side, 2x2 of those a tile, and 2x2 tiles a block. A body covers few tiles, so bodies
are first tested against tiles (their shadows against blocks) as a whole. What is left is dense: the pixels of a tile,
and those of a block, are one contiguous row, and neighbours in the row are neighbours in the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from clevr.world.camera import FOCAL
from clevr.world.primitives import CYLINDER, MISS, SPHERE, Bodies, BodyGroup, enter
from clevr.world.vectors import Vec, pick

TILE = 4
"""Pixels along a side of a tile."""
BLOCK = 2 * TILE
"""Pixels along a side of a block."""


@dataclass(frozen=True)
class Grid:
    """An image of ``width`` x ``height`` pixels with ``samples`` x ``samples`` rays in each.

    The image is padded to whole blocks on the right and at the bottom. ``P`` counts its pixels with the padding.
    """

    width: int
    height: int
    samples: int
    device: torch.device

    @property
    def tiles(self) -> tuple[int, int]:
        """Columns and rows of tiles."""
        return 2 * -(-self.width // BLOCK), 2 * -(-self.height // BLOCK)

    @property
    def num_tiles(self) -> int:
        """``T``."""
        across, down = self.tiles
        return across * down

    @property
    def num_pixels(self) -> int:
        """``P``."""
        return self.num_tiles * TILE * TILE

    @property
    def scale(self) -> float:
        """Pixels to one unit on a screen at depth one."""
        return FOCAL * max(self.width, self.height)

    def tile_numbers(self) -> Tensor:
        """``(rows, columns)`` of tiles: their places in tile order, in which a block's four tiles follow each other."""
        return _tile_numbers(self)

    def corners(self) -> tuple[Tensor, Tensor]:
        """``(P,)`` each: column and row of the upper left corner of every pixel."""
        return _corners(self)

    def shifts(self) -> tuple[Tensor, Tensor]:
        """``(samples ** 2,)`` each: columns and rows of a pixel's samples from its upper left corner.

        Each sample has a cell of the pixel, and a column and a row of its own: an edge that is nearly upright or level
        passes them one after the other, in ``samples ** 2`` steps and not in ``samples``.
        """
        line = torch.arange(self.samples, device=self.device, dtype=torch.float32)
        column, row = line.repeat(self.samples), line.repeat_interleave(self.samples)
        inner, outer = (row + 0.5) / self.samples, (self.samples - 0.5 - column) / self.samples
        return (column + inner) / self.samples, (row + outer) / self.samples

    def points(self) -> tuple[Tensor, Tensor]:
        """``(T, S, TILE ** 2)`` each: column and row of every sample, tile by tile."""
        return _points(self)

    def screen(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Points of the image on a screen at depth one: how far to the right and up."""
        return (column - self.width / 2) / self.scale, (self.height / 2 - row) / self.scale

    def rays(self) -> tuple[Tensor, Tensor]:
        """``(T, S, TILE ** 2)`` each: where the rays of all samples pass that screen."""
        return _rays(self)

    def middles(self) -> tuple[Tensor, Tensor]:
        """``(P,)`` each: where rays through the pixels' middles pass that screen."""
        return _middles(self)

    def to_image(self, values: Tensor) -> Tensor:
        """Put ``(..., P)`` in tile order into ``(..., height, width)``."""
        rows = values.reshape(-1, self.num_pixels)
        image = torch.stack([row.index_select(0, _places(self)) for row in rows])  # many times as fast as a permutation
        return image.view(*values.shape[:-1], self.height, self.width)


# All images of one size share these tables; nobody may write into them.


@lru_cache(maxsize=8)
def _tile_numbers(grid: Grid) -> Tensor:
    across, down = grid.tiles
    plain = torch.arange(across * down, device=grid.device).reshape(down // 2, across // 2, 2, 2)
    return plain.permute(0, 2, 1, 3).reshape(down, across)


@lru_cache(maxsize=8)
def _places(grid: Grid) -> Tensor:
    """``(height width,)``: places in tile order of the pixels of an image, row by row."""
    across, down = grid.tiles
    whole = torch.arange(grid.num_pixels, device=grid.device).view(down // 2, across // 2, 2, 2, 2, 2, 2, 2)
    image = whole.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(down * TILE, across * TILE)
    return image[: grid.height, : grid.width].reshape(-1)


@lru_cache(maxsize=8)
def _corners(grid: Grid) -> tuple[Tensor, Tensor]:
    across, down = grid.tiles
    whole = (down // 2, across // 2, 2, 2, 2, 2, 2, 2)
    row = torch.arange(down * TILE, device=grid.device, dtype=torch.float32)
    column = torch.arange(across * TILE, device=grid.device, dtype=torch.float32)
    rows = row.reshape(-1, 1, 2, 1, 2, 1, 2, 1).expand(whole)
    columns = column.reshape(1, -1, 1, 2, 1, 2, 1, 2).expand(whole)
    return columns.reshape(-1), rows.reshape(-1)


@lru_cache(maxsize=8)
def _points(grid: Grid) -> tuple[Tensor, Tensor]:
    column, row = (
        corner.reshape(-1, 1, TILE * TILE) + shift[:, None]
        for corner, shift in zip(grid.corners(), grid.shifts(), strict=True)
    )
    return column, row


@lru_cache(maxsize=8)
def _rays(grid: Grid) -> tuple[Tensor, Tensor]:
    return grid.screen(*grid.points())


@lru_cache(maxsize=8)
def _middles(grid: Grid) -> tuple[Tensor, Tensor]:
    column, row = grid.corners()
    return grid.screen(column + 0.5, row + 0.5)


@dataclass(frozen=True)
class View:
    """What the rays of ``B`` images meet, in ``T`` tiles an image, with ``S`` samples a pixel."""

    shown: Tensor
    """``(n, S, TILE ** 2)`` int32: row of the table of bodies, -1 where the ground shows; ``n`` is ``B T``, or the
    number of ``rows``."""
    depth: Tensor
    """The same shape: depth along the view, infinite where the ground shows."""
    body: Tensor
    """``(m,)`` int64: with ``tile``, every body and tile where it may be seen; a body's tiles follow each other."""
    tile: Tensor
    """``(m,)`` int64: tiles of the body's image."""
    rows: Tensor | None = None
    """``(n,)`` int64: the tiles that were looked at, counted through the batch and in order; ``None``: all of them."""

    def row_of(self, tile: Tensor) -> Tensor:
        """Rows in which tiles, counted through the batch, are found."""
        return tile if self.rows is None else torch.searchsorted(self.rows, tile)


def trace(bodies: Bodies, grid: Grid, only: Tensor | None = None) -> View:
    """Find the nearest body along every ray.

    Args:
        bodies: of the scenes.
        grid: the image's pixels and rays.
        only: ``(M,)`` bool: look only at the tiles in which these bodies may be seen; all tiles by default.
    """
    bounds, numbers = screen_bounds(bodies, grid), grid.tile_numbers()
    x, y = (part.flatten(1) for part in grid.rays())
    pairs, total = [], bodies.num_scenes * grid.num_tiles
    for group in bodies.groups:
        member, tile = _tiles(bounds[:, group.bodies], numbers)
        body = pick(group.bodies, member)
        pairs.append((member, body, tile, pick(bodies.scene, body) * grid.num_tiles + tile))
    rows = None
    if only is not None:
        pairs, rows = _near(pairs, only, total)
        total = len(rows)
    size = (total, grid.samples**2, TILE * TILE)
    depth = torch.full(size, MISS, device=grid.device).flatten(1)
    shown = torch.full(size, -1, dtype=torch.int32, device=grid.device).flatten(1)
    met = [torch.empty(2, 0, dtype=torch.int64, device=grid.device)]
    for group, (member, body, tile, row) in zip(bodies.groups, pairs, strict=True):
        met.append(torch.stack([body, tile]))
        if bodies.compiled and group.shape <= CYLINDER:
            bodies.compiled.meet(bodies, torch.stack([body, tile, row]), (x, y), depth, shown)
            continue
        depths = _meet(bodies, group, body, pick(x, tile), pick(y, tile))
        for into, t, new in group.split(pick(group.round, member), row, depths, body.int()[:, None]):
            before = pick(depth, into)
            shown.index_copy_(0, into, torch.where(t < before, new, pick(shown, into)))
            depth.index_copy_(0, into, torch.minimum(t, before))
    body, tile = torch.cat(met, 1)
    return View(shown.view(size), depth.view(size), body, tile, rows)


_Pairs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Members of a group, bodies, tiles of the image and of the batch; ``(m,)`` each."""


def _near(pairs: list[_Pairs], only: Tensor, total: int) -> tuple[list[_Pairs], Tensor]:
    """The pairs in those of ``total`` tiles in which some bodies may be seen, which are counted anew; and these."""
    wanted = torch.zeros(total, dtype=torch.bool, device=only.device)
    for _, body, _, row in pairs:
        wanted[row[pick(only, body)]] = True
    number = wanted.cumsum(0) - 1
    kept = []
    for member, body, tile, row in pairs:
        index = pick(wanted, row).nonzero()[:, 0]
        member, body, tile, row = (pick(values, index) for values in (member, body, tile, row))
        kept.append((member, body, tile, pick(number, row)))
    return kept, wanted.nonzero()[:, 0]


def _meet(bodies: Bodies, group: BodyGroup, body: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Depths at which the rays through screen points ``(n, k)`` enter their bodies ``(n,)``."""
    scene = pick(bodies.scene, body)
    right, up, forward = (
        bodies.local_direction(body, axis[scene]).column() for axis in (bodies.right, bodies.up, bodies.forward)
    )
    origin = bodies.local_point(body, bodies.camera[scene]).column()
    return enter(group.shape, origin, forward + right * x + up * y, pick(bodies.half, body)[:, None])


def screen_bounds(bodies: Bodies, grid: Grid) -> Tensor:
    """``(4, M)``: left, top, right and bottom of a box around each body in the image, in pixels."""
    scene = bodies.scene
    offset = bodies.center - bodies.camera[scene]
    right, up, forward = bodies.right[scene], bodies.up[scene], bodies.forward[scene]
    middle = Vec(offset.dot(right), offset.dot(up), offset.dot(forward))
    ball = bodies.shape == SPHERE
    low_x, high_x, low_y, high_y = (
        torch.where(ball, a, b) for a, b in zip(ball_bounds(middle, bodies.half), _box_bounds(bodies), strict=True)
    )
    left, top = low_x * grid.scale + grid.width / 2, grid.height / 2 - high_y * grid.scale
    return torch.stack([left, top, high_x * grid.scale + grid.width / 2, grid.height / 2 - low_y * grid.scale])


def ball_bounds(middle: Vec, half: Tensor) -> tuple[Tensor, ...]:
    """Extent on the screen of balls, from the tangents of the view in each direction."""
    under = middle.z * middle.z - half * half
    bounds = []
    for side in (middle.x, middle.y):
        swing = half * (side * side + under).clamp(min=0.0).sqrt()
        bounds += [(side * middle.z - swing) / under, (side * middle.z + swing) / under]
    return tuple(bounds)


def _box_bounds(bodies: Bodies) -> tuple[Tensor, ...]:
    """Extent on the screen of the corners of each body's box; that of a round body faces the camera."""
    scene = bodies.scene
    facing = bodies.right[scene]
    round_ = bodies.shape >= CYLINDER
    cos, sin = torch.where(round_, facing.x, bodies.cos), torch.where(round_, facing.y, bodies.sin)
    i, j, k = torch.tensor(list(product((-1.0, 1.0), repeat=3)), device=scene.device).T[..., None]
    reach = Vec(cos * i - sin * j, sin * i + cos * j, k) * bodies.half
    corner = bodies.center + reach - bodies.camera[scene]
    depth = corner.dot(bodies.forward[scene])
    x, y = corner.dot(facing) / depth, corner.dot(bodies.up[scene]) / depth
    return x.amin(0), x.amax(0), y.amin(0), y.amax(0)


def _tiles(bounds: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The tiles that boxes in the image touch: numbers of boxes and of tiles, pair by pair."""
    down, across = numbers.shape
    edges = bounds.clamp(-TILE, TILE * max(down, across)).div(TILE).floor().long()
    left, top = edges[:2].clamp(min=0)
    right, bottom = edges[2].clamp(max=across - 1), edges[3].clamp(max=down - 1)
    width = (right - left + 1).clamp(min=0)
    count = width * (bottom - top + 1).clamp(min=0)
    member = torch.arange(len(count), device=numbers.device).repeat_interleave(count)
    place = torch.arange(len(member), device=numbers.device) - pick(count.cumsum(0) - count, member)
    wide = pick(width, member)
    row = torch.div(place, wide, rounding_mode="floor")
    column = place - row * wide
    return member, numbers[pick(top, member) + row, pick(left, member) + column]
