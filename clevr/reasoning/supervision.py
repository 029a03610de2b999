"""Three further losses, from scene files and programs, for training on little computing time.

Answers alone teach slowly: one is a few bits about a picture of ten objects. Where scenes and programs are at hand, as
for every generated world, the trunk can learn from what lies where, the blocks from which objects a question is about,
hop by hop, and the question's code from its program. The heads are thrown away after training; the network that answers
is the same with or without.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.data.supervision import ATTRIBUTES, COLUMN, GROUND, KINDS, ROW
from clevr.questions.program_encoding import FIELDS as HOP_FIELDS
from clevr.questions.program_encoding import FUNCTIONS, MAX_HOPS

PLACE_WEIGHT = 2.0
"""Of the distance on the ground, in the scene's units, against the cross-entropies. Things stand 0.4 apart or more."""


def is_object(scenes: Tensor) -> Tensor:
    """Whether there is an object in each row of described scenes: ``(P, 10)`` of ``(P, 10, 8)``."""
    return scenes[..., KINDS.start] >= 0


def cells(scenes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the objects' centres lie on a grid.

    Args:
        scenes: what lies where, ``(P, 10, 8)``.
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        ``row * width + column`` of every object, ``(P, 10)``, and whether it is an object within the grid.
    """
    column, row = (scenes[..., COLUMN] * width).floor().long(), (scenes[..., ROW] * height).floor().long()
    inside = is_object(scenes) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return torch.where(inside, row * width + column, 0), inside


class SceneHead(nn.Module):
    """Reads off the trunk's maps whether an object has its centre at a position, and its attributes.

    Args:
        maps: maps of the trunk.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.sizes = [len(values) for values in ATTRIBUTES.values()]
        self.presence = nn.Conv2d(maps, 1, 1)
        self.attributes = nn.Conv2d(maps, sum(self.sizes), 1)

    def forward(
        self, maps: Tensor, scenes: Tensor, presence: Tensor | None = None, places: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses per object, and how well it sees.

        Args:
            maps: the trunk's maps, ``(P, C, H, W)``.
            scenes: what lies where, ``(P, 10, 8)``, from :func:`describe_scenes`.
            presence: scores of the positions, ``(P, 1, H, W)``, of a model that has its own.
            places: where a model takes the object of each position to stand, ``(P, 2, H, W)``, in the scene's units.

        Returns:
            ``loss``, cross-entropies of presence, at all positions, and of objects' attributes, and the distance of
            their places; ``accuracy``, the share of the objects that are found with all attributes right.
        """
        cell, inside = cells(scenes, *maps.shape[2:])
        picture, thing = inside.nonzero(as_tuple=True)
        where = (picture, cell[picture, thing])
        found = (self.presence(maps) if presence is None else presence).float().flatten(1)
        target = torch.zeros_like(found)
        target[where] = 1
        loss = F.binary_cross_entropy_with_logits(found, target, reduction="sum")
        right = found[where] > 0
        rows = self.attributes(maps).float().permute(0, 2, 3, 1).flatten(1, 2)[where]
        things = scenes[picture, thing]
        for logits, kinds in zip(rows.split(self.sizes, dim=1), things[:, KINDS].long().unbind(1), strict=True):
            loss = loss + F.cross_entropy(logits, kinds, reduction="sum")
            right = right & (logits.argmax(1) == kinds)
        if places is not None:
            found = places.float().permute(0, 2, 3, 1).flatten(1, 2)[where]
            distance = (found - things[:, GROUND]).abs()
            loss = loss + PLACE_WEIGHT * distance[distance.isfinite()].sum()
        count = max(len(picture), 1)
        return {"loss": loss / count, "accuracy": right.sum() / count}


class ReferentHead(nn.Module):
    """Reads off the blocks' maps which objects a question is about, hop by hop.

    The last block answers for the last hop, the one before it for the hop before, and so on; where there are twice as
    many blocks as hops, every second one.

    Args:
        maps: maps of the blocks.
        blocks: number of blocks.
    """

    def __init__(self, maps: int, blocks: int) -> None:
        super().__init__()
        self.hops = range(max(MAX_HOPS - blocks, 0), MAX_HOPS)
        self.blocks_a_hop = max(blocks // MAX_HOPS, 1)
        self.linears = nn.ModuleList(nn.Linear(maps, 2) for _ in self.hops)

    def forward(
        self,
        steps: Sequence[Tensor],
        scenes: Tensor,
        referents: Tensor,
        grid: tuple[int, int],
        kept: Tensor | None = None,
    ) -> Tensor:
        """The loss, a scalar: cross-entropy of 'one of them' at the centres of all objects, summed over the hops.

        Args:
            steps: the maps of every question after each block, ``(Q, C, H, W)``.
            scenes: what lies where in the picture of every question, ``(Q, 10, 8)``.
            referents: ``(Q, 4, 2, 10)``: 1, 0, or -1 where that does not apply.
            grid: rows and columns of the trunk's maps.
            kept: which of their positions the blocks' maps are of, ``(Q, K)``; None: all.
        """
        place, inside = cells(scenes, *grid)
        if kept is not None:
            is_there = kept[:, None, :] == place[:, :, None]
            place, inside = is_there.byte().argmax(2), inside & is_there.any(2)
        question, thing = inside.nonzero(as_tuple=True)
        places = question * steps[-1].shape[2:].numel() + place[question, thing]
        targets = referents[question, :, :, thing]
        losses = list[Tensor]()
        answering = steps[:: -self.blocks_a_hop][: len(self.hops)][::-1]
        for hop, linear, maps in zip(self.hops, self.linears, answering, strict=True):
            rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
            logits, target = linear(rows.index_select(0, places)).float(), targets[:, hop].float()
            each = F.binary_cross_entropy_with_logits(logits, target.clamp(min=0), reduction="none")
            applies = target >= 0
            losses.append((each * applies).sum() / applies.sum().clamp(min=1))
        return torch.stack(losses).sum()


class OutlineHead(nn.Module):
    """Reads off the code of a question what each of its hops follows and filters by, and what it asks.

    Args:
        code_dim: width of the codes.
    """

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.strands = 2 * MAX_HOPS
        self.sizes = [*(self.strands * values for values in HOP_FIELDS), len(FUNCTIONS)]
        self.linear = nn.Linear(code_dim, sum(self.sizes))

    def forward(self, codes: Tensor, outlines: Tensor) -> Tensor:
        """The loss, a scalar: cross-entropies, the mean over hops and strands of each field, summed.

        Args:
            codes: codes of questions, ``(Q, code_dim)``.
            outlines: what they do, ``(Q, 41)``; -1: not known
                (:func:`clevr.data.supervision.mark_program_encoding`).
        """
        *fields, function = self.linear(codes).float().split(self.sizes, dim=1)
        targets = outlines.long()
        hops = targets[:, :-1].unflatten(1, (self.strands, -1))
        loss = F.cross_entropy(function, targets[:, -1], ignore_index=-1)
        for number, logits in enumerate(fields):
            by_kind = logits.unflatten(1, (self.strands, -1)).transpose(1, 2)
            loss = loss + F.cross_entropy(by_kind, hops[..., number], ignore_index=-1)
        return loss
