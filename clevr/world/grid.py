"""The picture as tiles: 4x4 pixels a tile, 2x2 tiles a block, each pixel with its samples side by side.

A body covers few tiles, so every test of bodies against pixels is first made for tiles (or blocks) as a whole. Within
a row of a tile-ordered tensor the work is dense, and a tile's samples, a block's pixels are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.camera import FOCAL

TILE = 4
BLOCK = 2 * TILE


@dataclass(frozen=True)
class Grid:
    """Sample positions of a ``width`` x ``height`` picture with ``samples`` x ``samples`` in each pixel."""

    width: int
    height: int
    samples: int
    device: torch.device

    @property
    def tiles(self) -> tuple[int, int]:
        """Columns and rows of tiles, a whole number of blocks."""
        across = -(-self.width // BLOCK) * 2
        return across, -(-self.height // BLOCK) * 2

    @property
    def num_tiles(self) -> int:
        """Tiles in a picture."""
        across, down = self.tiles
        return across * down

    @property
    def num_blocks(self) -> int:
        """Blocks in a picture."""
        return self.num_tiles // 4

    @property
    def per_tile(self) -> int:
        """Samples in a tile."""
        return (TILE * self.samples) ** 2

    @property
    def scale(self) -> float:
        """Pixels to one unit on a screen at depth one."""
        return FOCAL * max(self.width, self.height)

    def tile_numbers(self) -> Tensor:
        """``(rows, columns)``: number of each tile in tile order, in which a block's four tiles follow each other."""
        across, down = self.tiles
        plain = torch.arange(self.num_tiles, device=self.device).reshape(down // 2, across // 2, 2, 2)
        return plain.permute(0, 2, 1, 3).reshape(down, across)

    def tile_corners(self) -> tuple[Tensor, Tensor]:
        """``(T,)`` each: left column and top row of each tile, in pixels."""
        across, down = self.tiles
        numbers = self.tile_numbers().reshape(-1)
        order = torch.empty_like(numbers)
        order[numbers] = torch.arange(self.num_tiles, device=self.device)
        return (order % across) * TILE, torch.div(order, across, rounding_mode="floor") * TILE

    def block_corners(self) -> tuple[Tensor, Tensor]:
        """``(blocks,)`` each: left column and top row of each block, in pixels."""
        column, row = self.tile_corners()
        return column[::4], row[::4]

    def pixel_offsets(self) -> tuple[Tensor, Tensor]:
        """``(pixels,)`` each: column and row of the middles of a block's pixels from its corner."""
        line = torch.arange(TILE, device=self.device) + 0.5
        half = torch.arange(2, device=self.device) * TILE
        rows = (half[:, None, None, None] + line[None, None, :, None]).expand(2, 2, TILE, TILE)
        columns = (half[None, :, None, None] + line[None, None, None, :]).expand(2, 2, TILE, TILE)
        return columns.reshape(-1), rows.reshape(-1)

    def screen(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Screen coordinates at depth one (right, up) of points in pixels."""
        return (column - self.width / 2) / self.scale, (self.height / 2 - row) / self.scale

    def sample_offsets(self) -> tuple[Tensor, Tensor]:
        """``(per_tile,)`` each: column and row of a tile's samples from its corner, in pixels."""
        pixel = torch.arange(TILE, device=self.device, dtype=torch.float32)
        sample = (torch.arange(self.samples, device=self.device, dtype=torch.float32) + 0.5) / self.samples
        line = (pixel[:, None] + sample[None, :]).reshape(TILE, self.samples)
        rows = line[:, None, :, None].expand(TILE, TILE, self.samples, self.samples)
        columns = line[None, :, None, :].expand(TILE, TILE, self.samples, self.samples)
        return columns.reshape(-1), rows.reshape(-1)

    def to_picture(self, values: Tensor) -> Tensor:
        """Put ``(..., P)`` pixels in tile order into rows and columns, ``(..., height, width)``."""
        across, down = self.tiles
        lead = values.shape[:-1]
        whole = values.reshape(*lead, down // 2, across // 2, 2, 2, TILE, TILE)
        n = len(lead)
        order = (*range(n), n, n + 2, n + 4, n + 1, n + 3, n + 5)
        picture = whole.permute(order).reshape(*lead, down * TILE, across * TILE)
        return picture[..., : self.height, : self.width]
