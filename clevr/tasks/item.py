"""One task: images, a prompt, the answer, and how it was worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from clevr.questions.programs import Node
from clevr.tasks.answer_types import verify
from clevr.world.render import render
from clevr.world.scene import Scene

GAP = 8
"""White pixels between two images that are shown side by side."""


@dataclass(frozen=True)
class Draft:
    """What a kind of task makes of scenes, before anyone has looked whether their objects can be seen."""

    scenes: tuple[Scene, ...]
    prompt: str
    answer: str
    """Empty where it is the box of ``target``, which is measured later."""
    answer_type: str
    """A key of :data:`clevr.tasks.answer_types.LANGUAGES`."""
    working: tuple[str, ...] = ()
    """Steps in words that lead to the answer."""
    program: tuple[Node, ...] | None = None
    """The functional program; of a referring expression, up to its ``unique``."""
    target: int | None = None
    """The object whose box is the answer."""


@dataclass(frozen=True)
class Item:
    """One task of an endless series; a function of the series and ``index`` alone."""

    task: str
    """Name of the kind."""
    seed: int
    index: int
    difficulty: str
    """The level, or ``custom`` where the settings are the user's own."""
    prompt: str
    answer: str
    """A word, a number in digits, or a box ``[left, top, right, bottom]``."""
    answer_type: str
    working: tuple[str, ...]
    program: tuple[Node, ...] | None
    scenes: tuple[Scene, ...]
    """One for each image."""
    width: int
    height: int
    """Of each image, in pixels."""

    @cached_property
    def images(self) -> Tensor:
        """uint8 ``(N, 3, height, width)``, drawn when first asked for."""
        return render(self.scenes, self.width, self.height)

    @property
    def image(self) -> Tensor:
        """uint8 ``(3, height, W)``: the image; several stand side by side, the first on the left."""
        first, *others = self.images
        gap = torch.full((3, self.height, GAP), 255, dtype=torch.uint8)
        return torch.cat([first, *(part for image in others for part in (gap, image))], dim=2)

    def verify(self, text: str | None) -> float:
        """Score of a free-form answer, 0 to 1: see :func:`clevr.tasks.verify`."""
        return verify(text, self.answer, self.answer_type)

    @property
    def metadata(self) -> dict[str, Any]:
        """All but the image, as plain values that JSON can hold; ``answer_type`` and the answer suffice to verify."""
        return {
            "source_dataset": self.task,
            "source_index": self.index,
            "seed": self.seed,
            "difficulty": self.difficulty,
            "answer_type": self.answer_type,
            "working": list(self.working),
            "program": None if self.program is None else [node.to_json() for node in self.program],
        }


def draw_images(items: Sequence[Item]) -> None:
    """Draw the images of some items at once, which is faster than each when it is first asked for.

    Args:
        items: all of one image size.
    """
    if not items:
        return
    scenes = [scene for item in items for scene in item.scenes]
    images = iter(render(scenes, items[0].width, items[0].height).unbind(0))
    for item in items:
        # where `cached_property` keeps what it made
        item.__dict__["images"] = torch.stack([next(images) for _ in item.scenes])
