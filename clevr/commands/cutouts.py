"""Objects cut out of the pictures of their scenes by the boxes around what is seen of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clevr.commands.objects import ObjectsConfig, class_name, part_of
from clevr.world.placement import Scenes
from clevr.world.render import boxes, object_ids, render

SPLIT = "objects"
"""Name of the scenes: they are none of those that ``clevr-film generate`` makes, unless for a split of this name."""


@dataclass(frozen=True)
class Cutout:
    """One object."""

    scene: int
    """Number of its scene."""
    index: int
    """Its place among the scene's objects."""
    class_name: str
    part: str
    pixels: NDArray[np.uint8]
    """RGB, ``(3, size, size)``."""


def cut_out(config: ObjectsConfig, indices: Sequence[int]) -> Iterator[Cutout]:
    """Cut the objects out of some scenes, but for those of which too little is seen."""
    scenes = Scenes(config.seed, SPLIT, width=config.width, height=config.height).batch(indices)
    pictures = render(scenes, config.width, config.height, device=config.device).cpu().numpy()
    ids = object_ids(scenes, config.width, config.height, device=config.device)
    for number, scene, picture, shown in zip(indices, scenes, pictures, ids, strict=True):
        page = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
        for index, (thing, box) in enumerate(
            zip(scene.objects, boxes(shown, len(scene.objects)).tolist(), strict=True)
        ):
            if min(box[2] - box[0], box[3] - box[1]) < config.min_side:
                continue
            square = square_around(box, config.margin, config.width, config.height)
            cut = np.asarray(page.resize((config.size, config.size), Image.Resampling.BILINEAR, box=square))
            described = (thing.color, thing.material, thing.shape)
            yield Cutout(number, index, class_name(*described), part_of(*described), cut.transpose(2, 0, 1))


def square_around(box: Sequence[int], margin: float, width: int, height: int) -> tuple[float, float, float, float]:
    """The square about a box with a margin, moved, and if need be shrunk, into the picture.

    Args:
        box: left, top, right, bottom in pixels, the last two exclusive.
        margin: on each side, a share of the box's longer side.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    left, top, right, bottom = box
    side = min((1 + 2 * margin) * max(right - left, bottom - top), width, height)
    x = min(max((left + right - side) / 2, 0.0), width - side)
    y = min(max((top + bottom - side) / 2, 0.0), height - side)
    return x, y, x + side, y + side
