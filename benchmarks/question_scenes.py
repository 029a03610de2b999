"""The scenes that the benchmarks of the questions ask about."""

from __future__ import annotations

from clevr.world.placement import Scenes
from clevr.world.scene import Scene


def make_scenes(seed: int, first: int, stop: int) -> list[Scene]:
    """Scenes ``first`` to ``stop`` of CLEVR's world, made a batch at a time."""
    scenes = Scenes(seed)
    return [scene for start in range(first, stop, 32) for scene in scenes.batch(range(start, min(start + 32, stop)))]
