"""Scenes without end: scene ``i`` of a split is a function of seed, split and ``i``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clevr.world.bodies import pack
from clevr.world.grid import Grid
from clevr.world.placement import PlacementError, Rules, draw_setting, finish, place
from clevr.world.scene import Scene
from clevr.world.visible import trace

_CHECK_WIDTH, _CHECK_HEIGHT = 320, 240
_MAX_ROUNDS = 1000


@dataclass(frozen=True)
class Scenes:
    """The scenes of one split.

    Every scene has its own random generator, so it is the same whatever was asked for before, in whichever batch, on every
    machine. Whether objects can be seen is always judged in a picture of 320x240, so a scene does not
    depend on the size at which it is shown either; only its pixel coordinates do.
    """

    seed: int
    split: str = "train"
    rules: Rules = Rules()
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
            PlacementError: an index or the seed is negative, or a scene whose objects can all be seen is not found.
        """
        generators = [self._generator(index) for index in indices]
        settings = [draw_setting(generator, self.rules) for generator in generators]
        found: list[Scene | None] = [None] * len(indices)
        waiting = list(range(len(indices)))
        for _ in range(_MAX_ROUNDS):
            if not waiting:
                return [scene for scene in found if scene is not None]
            tried = []
            for i in waiting:
                things = place(generators[i], settings[i], self.rules)
                size = {"width": self.width, "height": self.height}
                tried.append(finish(things, settings[i], index=indices[i], split=self.split, **size))
            seen = all_visible(tried, self.rules.min_pixels)
            for i, scene, good in zip(waiting, tried, seen, strict=True):
                found[i] = scene if good else None
            waiting = [i for i, good in zip(waiting, seen, strict=True) if not good]
        raise PlacementError(
            f"scene {indices[waiting[0]]} of {self.split!r}: no arrangement of {settings[waiting[0]].num_objects} objects "
            f"shows {self.rules.min_pixels} pixels of each in {_MAX_ROUNDS} rounds; allow fewer pixels or objects"
        )

    def _generator(self, index: int) -> np.random.Generator:
        if index < 0 or self.seed < 0:
            raise PlacementError(f"seed {self.seed}, scene {index}: both must be 0 or more")
        return np.random.Generator(np.random.PCG64([self.seed, zlib.crc32(self.split.encode()), index]))


def visible_pixels(scenes: Sequence[Scene], width: int = _CHECK_WIDTH, height: int = _CHECK_HEIGHT) -> list[list[int]]:
    """How many pixels of each object of each scene are seen."""
    bodies = pack(scenes)
    grid = Grid(width, height, 1, torch.device("cpu"))
    shown = grid.to_picture(trace(bodies, grid)[0].reshape(len(scenes), -1))
    counts = torch.bincount(shown.reshape(-1).long() + 1, minlength=len(bodies.scene) + 1)[1:].tolist()
    ends = np.cumsum([0] + [len(scene.objects) for scene in scenes]).tolist()
    return [counts[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def all_visible(scenes: Sequence[Scene], min_pixels: int) -> list[bool]:
    """Whether every object of each scene is seen by at least ``min_pixels`` pixels of a picture of 320x240."""
    return [all(count >= min_pixels for count in counts) for counts in visible_pixels(scenes)]
