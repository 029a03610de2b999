"""Which rays are shaded: one through the middle of a pixel where that will do, otherwise all of its samples.

A pixel that shows nothing but one rubber body is shaded once, as in multi-sampling. So is one that shows nothing but
one body of metal, unless something in it changes fast: where it reaches a rounded edge, where the body turns so much
that the mirror sweeps over lights and horizon, in the middle of a flat top, where the brushed marks fan out, and where
other bodies may be seen in the mirror.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from clevr.world.materials import SurfacePoints, edge_rays, find_surface_points, may_meet
from clevr.world.primitives import CUBE, CYLINDER, Bodies
from clevr.world.ray_casting import TILE, Grid, View
from clevr.world.vectors import PART, PARTS, RayPackets, cut, pick

_TURN = 0.1
"""How much mirrored rays may differ across a pixel that is shaded once."""
_WIDER = 2.0
"""How wide a pixel is where its mirrored rays meet a body, at most, in its widths on the mirror."""
_FAN = 3.0
"""Pixels from the middle of a flat top within which the brushed marks run in too many directions."""
_GRAZING = 0.02


@dataclass(frozen=True)
class ShadingRays:
    """The rays that meet bodies of one material, in rows; those of a row meet the same body."""

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

    def points(self, bodies: Bodies, grid: Grid) -> SurfacePoints:
        """Where they meet the bodies."""
        scene = pick(bodies.scene, self.body)
        ray = bodies.forward[scene] + bodies.right[scene] * self.x + bodies.up[scene] * self.y
        cell = self.depth * (1.0 / (grid.scale * grid.samples))
        return find_surface_points(bodies, self.body, bodies.camera[scene], ray, self.depth, cell)


def shading_rays(bodies: Bodies, grid: Grid, view: View, metal: bool) -> ShadingRays:
    """The rays to be shaded of all bodies of rubber, or of metal."""
    chosen = (pick(bodies.metal, view.body) == metal).nonzero()[:, 0]
    body, tile = pick(view.body, chosen), pick(view.tile, chosen)
    in_batch = pick(bodies.scene, body) * grid.num_tiles + tile
    row = view.row_of(in_batch)
    mine, depths = pick(view.shown, row) == body[:, None, None], pick(view.depth, row)
    x, y = (pick(_beside(*tables), tile) for tables in zip(grid.rays(), grid.middles(), strict=True))
    depth = _beside(depths, reduce(add, depths.unbind(1)) * (1.0 / grid.samples**2))
    whole = mine.all(1)

    def rays(wanted: Tensor) -> ShadingRays:
        slot = wanted.view(-1).nonzero()[:, 0]
        of_body, place = cut(pick(body, slot // (wanted.shape[1] * wanted.shape[2])))
        slot = pick(slot, place)
        return ShadingRays(
            wanted.shape, in_batch, slot, of_body, *(pick(part.view(-1), slot) for part in (x, y, depth))
        )

    if metal:
        middles = rays(_beside(torch.zeros_like(mine), whole))
        found = torch.zeros(middles.size, dtype=torch.bool, device=grid.device)
        found.view(-1).index_copy_(
            0, middles.slot.view(-1), _is_calm(bodies, middles.points(bodies, grid), grid.samples).view(-1)
        )
        whole = found[:, :, -1]
    return rays(_beside(mine & ~whole[:, None], whole))


def _beside(samples: Tensor, middle: Tensor) -> Tensor:
    """Values at pixels' middles beside those at their samples: ``(p, TILE ** 2, S + 1)``."""
    return torch.cat([samples, middle.reshape(-1, 1, TILE * TILE)], 1).transpose(1, 2).contiguous()


def _is_calm(bodies: Bodies, spots: SurfacePoints, samples: int) -> Tensor:
    """``(n, k)``: whether metal hardly changes across the pixels around points."""
    assert spots.cell is not None
    pixel = spots.cell * samples
    shape, half = pick(bodies.shape, spots.body), pick(bodies.half, spots.body)
    facing = (-spots.view.dot(spots.normal)).clamp(min=_GRAZING)
    turn = (shape != CUBE) * (2.0 * pixel / (half * facing))
    round_ = torch.where(shape == CYLINDER, 1.0 - spots.normal.z * spots.normal.z, 1.0)
    turn = turn * round_
    offset, near = spots.point - bodies.center[spots.body], pixel * _FAN
    fan = offset.x * offset.x + offset.y * offset.y < near * near
    calm = (turn < _TURN) & ~fan & (shape <= CYLINDER)
    calm.view(-1).index_fill_(0, edge_rays(bodies, spots, pixel)[:, 0], False)
    return calm & ~_reflects_bodies(bodies, spots, turn, pixel)


def _reflects_bodies(bodies: Bodies, spots: SurfacePoints, turn: Tensor, pixel: Tensor) -> Tensor:
    """``(n, k)``: whether rays that differ by ``turn`` may meet other bodies in the mirror.

    Balls around bodies tell, first for parts of rows, then for the points of parts.
    """
    mirror = spots.view.reflect(spots.normal)
    rows = RayPackets.of(spots.scene[:, 0], spots.point)
    beams = RayPackets.of(rows.scene, mirror)
    points, mirror = spots.point.reshape(-1, PART), mirror.reshape(-1, PART)
    turn, wider = turn.clamp(max=_TURN).view(-1, PART), pixel.view(-1, PART) * _WIDER
    spread, reach = beams.part_radius + turn.amax(1), rows.part_radius + wider.amax(1)
    found = torch.zeros_like(turn, dtype=torch.bool)
    scene, own = (part.repeat_interleave(PARTS) for part in (rows.scene, spots.body[:, 0]))
    for group in bodies.groups:
        body = group.of_scene.index_select(1, scene)  # (R, parts)
        there = (body >= 0) & (body != own)
        body = body.clamp(min=0)
        to_ball, ball = bodies.center[body] - rows.part_middle, pick(bodies.ball, body) + reach
        round_, part = (there & may_meet(beams.part_middle, spread, to_ball, ball)).nonzero().unbind(1)
        body = body[round_, part, None]
        to_ball, ball = bodies.center[body] - points[part], pick(bodies.ball, body) + pick(wider, part)
        meets = may_meet(mirror[part], pick(turn, part), to_ball, ball)
        for into, new in group.split(round_, part, meets):
            found.index_copy_(0, into, pick(found, into) | new)
    return found.view(spots.point.x.shape)
