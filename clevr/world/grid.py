"""The picture in tile order: 2x2 pixels side by side, 2x2 of those a tile, and 2x2 tiles a block.

A body covers few tiles, so bodies are first tested against tiles (their shadows against blocks) as a whole. What
is left is dense: the pixels of a tile, and those of a block, are one contiguous row, and neighbours in the
row are neighbours in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clevr.world.camera import FOCAL

TILE = 4
"""Pixels along a side of a tile."""
BLOCK = 2 * TILE
"""Pixels along a side of a block."""


@dataclass(frozen=True)
class Grid:
    """A picture of ``width`` x ``height`` pixels with ``samples`` x ``samples`` rays in each.

    The picture is padded to whole blocks on the right and at the bottom. ``P`` counts its pixels with the padding.
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
        across, down = self.tiles
        plain = torch.arange(across * down, device=self.device).reshape(down // 2, across // 2, 2, 2)
        return plain.permute(0, 2, 1, 3).reshape(down, across)

    def corners(self) -> tuple[Tensor, Tensor]:
        """``(P,)`` each: column and row of the upper left corner of every pixel."""
        across, down = self.tiles
        whole = (down // 2, across // 2, 2, 2, 2, 2, 2, 2)
        row = torch.arange(down * TILE, device=self.device, dtype=torch.float32)
        column = torch.arange(across * TILE, device=self.device, dtype=torch.float32)
        rows = row.reshape(-1, 1, 2, 1, 2, 1, 2, 1).expand(whole)
        columns = column.reshape(1, -1, 1, 2, 1, 2, 1, 2).expand(whole)
        return columns.reshape(-1), rows.reshape(-1)

    def shifts(self) -> tuple[Tensor, Tensor]:
        """``(samples ** 2,)`` each: columns and rows of a pixel's samples from its upper left corner."""
        line = (torch.arange(self.samples, device=self.device) + 0.5) / self.samples
        return line.repeat(self.samples), line.repeat_interleave(self.samples)

    def points(self) -> tuple[Tensor, Tensor]:
        """``(T, S, TILE ** 2)`` each: column and row of every sample, tile by tile."""
        column, row = (
            corner.reshape(-1, 1, TILE * TILE) + shift[:, None]
            for corner, shift in zip(self.corners(), self.shifts(), strict=True)
        )
        return column, row

    def screen(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Points of the picture on a screen at depth one: how far to the right and up."""
        return (column - self.width / 2) / self.scale, (self.height / 2 - row) / self.scale

    def to_picture(self, values: Tensor) -> Tensor:
        """Put ``(..., P)`` in tile order into ``(..., height, width)``."""
        across, down = self.tiles
        lead = values.shape[:-1]
        whole = values.reshape(-1, down // 2, across // 2, 2, 2, 2, 2, 2, 2)
        picture = whole.permute(0, 1, 3, 5, 7, 2, 4, 6, 8).reshape(*lead, down * TILE, across * TILE)
        return picture[..., : self.height, : self.width]
