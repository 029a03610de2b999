"""One attempt to make an item: the scenes and the random choices that a kind of task may draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clevr.questions.referring_expressions import ReferringExpressions, SceneView, StableRandom
from clevr.tasks.difficulty import Difficulty
from clevr.tasks.item import Draft
from clevr.tasks.scenes import Layout, draw_layout
from clevr.world.scene import Scene


@dataclass(frozen=True)
class Trial:
    """What one attempt draws from; another attempt at the same item has the same ``plan`` and other scenes."""

    difficulty: Difficulty
    plan: StableRandom
    """For what an item is about; the same draws in every attempt, so that hard ones are as frequent as easy ones."""
    draw: StableRandom
    """For everything else."""
    rng: np.random.Generator
    """For scenes."""
    width: int
    height: int

    def layout(self) -> Layout:
        """New objects in their places."""
        return draw_layout(self.rng, self.difficulty)

    def finish(self, layout: Layout) -> Scene:
        """The scene of a layout."""
        return layout.finish(self.width, self.height)

    def scene(self) -> Scene:
        """A new scene."""
        return self.finish(self.layout())

    def phrases(self, scene: Scene) -> ReferringExpressions:
        """Referring expressions of a scene."""
        return ReferringExpressions(SceneView(scene), self.draw)


Kind = Callable[[Trial], Draft | None]
"""A kind of task: an item's draft, or ``None`` where the scene of this attempt offers none."""
