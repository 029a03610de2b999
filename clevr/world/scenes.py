"""Scenes without end: scene ``i`` of a split is a function of seed, split and ``i``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from clevr.world.placement import PlacementError, SceneConfig, complete, draw_setting, place
from clevr.world.primitives import pack
from clevr.world.ray_casting import Grid, trace
from clevr.world.scene import Scene, SceneObject

_CHECK = Grid(320, 240, 1, torch.device("cpu"))
"""The picture in which objects must be seen; of whole blocks, so none of its pixels are padding."""
_PART = 64
"""Scenes checked at once; more fall out of the processor's caches."""
_MAX_ROUNDS = 1000
"""Arrangements of a scene before its rules are said to hide too much."""


@dataclass(frozen=True)
class Scenes:
    """The scenes of one split.

    Every scene has its own random generator, so it is the same whatever was asked for before, in whichever batch, on
    every machine. Whether objects can be seen is always judged in a picture of 320x240, so a scene does not depend
    on the size at which it is shown either; only its pixel coordinates do.
    """

    seed: int
    split: str = "train"
    rules: SceneConfig = field(default_factory=SceneConfig)
    width: int = 320
    """Width of the picture that ``pixel_coords`` are of."""
    height: int = 240
    """Height of that picture."""

    def __getitem__(self, index: int) -> Scene:
        """Scene ``index``."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int]) -> list[Scene]:
        """The scenes of these indices; a few dozen at once are cheaper than one by one.

        Raises:
            PlacementError: an index or the seed is negative, or no arrangement is found that shows every object.
        """
        generators = [self._generator(index) for index in indices]
        settings = [draw_setting(generator, self.rules) for generator in generators]
        found: dict[int, tuple[SceneObject, ...]] = {}
        waiting = list(range(len(indices)))
        for _ in range(_MAX_ROUNDS):
            if not waiting:
                break
            tried = [place(generators[i], settings[i], self.rules) for i in waiting]
            drafts = [
                Scene(things, {}, {}, extra=settings[i].record()) for i, things in zip(waiting, tried, strict=True)
            ]
            seen = all_visible(drafts, self.rules.min_pixels)
            found.update((i, things) for i, things, good in zip(waiting, tried, seen, strict=True) if good)
            waiting = [i for i, good in zip(waiting, seen, strict=True) if not good]
        if waiting:
            raise PlacementError(
                f"scene {indices[waiting[0]]} of {self.split!r}: no arrangement in {_MAX_ROUNDS} rounds shows "
                f"{self.rules.min_pixels} pixels of all {settings[waiting[0]].num_objects} objects; "
                "ask for fewer pixels or objects"
            )
        size = (self.width, self.height, self.split)
        return [complete(found[i], settings[i], *size, index) for i, index in enumerate(indices)]

    def _generator(self, index: int) -> np.random.Generator:
        if index < 0 or self.seed < 0:
            raise PlacementError(f"seed {self.seed}, scene {index}: both must be 0 or more")
        return np.random.Generator(np.random.PCG64([self.seed, zlib.crc32(self.split.encode()), index]))


def visible_pixels(scenes: Sequence[Scene]) -> list[list[int]]:
    """How many pixels of each object of each scene are seen in a picture of 320x240."""
    counts = []
    for start in range(0, len(scenes), _PART):
        part = scenes[start : start + _PART]
        bodies = pack(part)
        shown = trace(bodies, _CHECK).shown.reshape(-1)
        pixels = torch.bincount(shown + 1, minlength=len(bodies.scene) + 1).tolist()[1:]
        ends = np.cumsum([0] + [len(scene.objects) for scene in part]).tolist()
        counts += [pixels[first:last] for first, last in pairwise(ends)]
    return counts


def all_visible(scenes: Sequence[Scene], min_pixels: int) -> list[bool]:
    """Whether every object of each scene is seen by at least ``min_pixels`` pixels of a picture of 320x240."""
    return [all(count >= min_pixels for count in counts) for counts in visible_pixels(scenes)]
