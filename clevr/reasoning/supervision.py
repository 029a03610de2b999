"""Two further losses, from scene files and programs, for training on little computing time.

Answers alone teach slowly: one is a few bits about a picture of ten objects. Where scenes and programs are at hand, as
for every generated world, the trunk can learn from what lies where, and the last block from which objects a question
is finally about. The heads are thrown away after training; the network that answers is the same with or without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from clevr.world.scene import COLORS, MATERIALS, SHAPES, SIZES, Scene

ATTRIBUTES: Mapping[str, Sequence[str]] = {"shape": SHAPES, "size": SIZES, "color": COLORS, "material": MATERIALS}
MAX_OBJECTS = 10
FIELDS = 2 + len(ATTRIBUTES)
"""Of an object: column and row of its centre, as shares of the picture's width and height, and its attributes."""


def describe_scenes(scenes: Sequence[Scene], size: tuple[int, int], aspect: float) -> NDArray[np.float32]:
    """What lies where in the pictures of scenes, as a model sees them.

    Args:
        scenes: any number of scenes.
        size: width and height of the pictures that ``pixel_coords`` are in.
        aspect: height by width of what the model sees: the middle rows, or more than there are
            (:func:`clevr.data.pictures.fit_picture`).

    Returns:
        ``(N, 10, 6)``: column and row, 0 to 1 within what the model sees, and the number of each attribute; -1 where
        there is no object.
    """
    width, height = size
    seen = width * aspect
    found = np.full((len(scenes), MAX_OBJECTS, FIELDS), -1, np.float32)
    for row, scene in zip(found, scenes, strict=True):
        for place, thing in zip(row, scene.objects[:MAX_OBJECTS], strict=False):
            column, line, _ = thing.pixel_coords
            kinds = [values.index(getattr(thing, name)) for name, values in ATTRIBUTES.items()]
            place[:] = (column / width, (line - (height - seen) / 2) / seen, *kinds)
    return found


def cells(scenes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the objects' centres lie on a grid.

    Args:
        scenes: what lies where, ``(P, 10, 6)``.
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        ``row * width + column`` of every object, ``(P, 10)``, and whether it is an object within the grid.
    """
    column, row = (scenes[..., 0] * width).floor().long(), (scenes[..., 1] * height).floor().long()
    inside = (scenes[..., 2] >= 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return torch.where(inside, row * width + column, 0), inside


class SceneHead(nn.Module):
    """Reads off the trunk's maps whether an object has its centre at a position, and its attributes.

    Args:
        maps: maps of the trunk.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.sizes = [1, *(len(values) for values in ATTRIBUTES.values())]
        self.conv = nn.Conv2d(maps, sum(self.sizes), 1)

    def forward(self, maps: Tensor, scenes: Tensor) -> Tensor:
        """The loss per object, a scalar: cross-entropies of presence, at all positions, and of objects' attributes.

        Args:
            maps: the trunk's maps, ``(P, C, H, W)``.
            scenes: what lies where, ``(P, 10, 6)``, from :func:`describe_scenes`.
        """
        cell, inside = cells(scenes, *maps.shape[2:])
        picture, thing = inside.nonzero(as_tuple=True)
        where = (picture, cell[picture, thing])
        rows = self.conv(maps).float().permute(0, 2, 3, 1).flatten(1, 2)
        presence, *attributes = rows.split(self.sizes, dim=2)
        target = torch.zeros_like(presence)
        target[where] = 1
        loss = F.binary_cross_entropy_with_logits(presence, target, reduction="sum")
        for index, logits in enumerate(attributes):
            kinds = scenes[picture, thing, 2 + index].long()
            loss = loss + F.cross_entropy(logits[where], kinds, reduction="sum")
        return loss / max(len(picture), 1)


class ReferentHead(nn.Module):
    """Reads off the last block's maps which objects a question is finally about.

    Args:
        maps: maps of the block.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.linear = nn.Linear(maps, 2)

    def forward(self, maps: Tensor, scenes: Tensor, referents: Tensor) -> Tensor:
        """The loss, a scalar: cross-entropy of 'one of them' at the centres of all objects.

        Args:
            maps: the last block's maps of every question, ``(Q, C, H, W)``.
            scenes: what lies where in the picture of every question, ``(Q, 10, 6)``.
            referents: ``(Q, 2, 10)``: 1, 0, or -1 where that does not apply.
        """
        cell, inside = cells(scenes, *maps.shape[2:])
        question, thing = inside.nonzero(as_tuple=True)
        rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
        places = question * (maps.shape[2] * maps.shape[3]) + cell[question, thing]
        logits = self.linear(rows.index_select(0, places)).float()
        targets = referents[question, :, thing].to(logits.dtype)
        applies = targets >= 0
        loss: Tensor = F.binary_cross_entropy_with_logits(logits[applies], targets[applies])
        return loss
