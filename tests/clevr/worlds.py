"""A small generated world for the tests that train or evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clevr.commands.generate import run
from clevr.config.commands import GenerateConfig


def make_world(
    root: Path,
    splits: dict[str, int],
    width: int = 32,
    height: int = 24,
    questions: int = 4,
    condition: Literal["none", "A", "B"] = "none",
) -> Path:
    """So many scenes of each split, with images of this size, in a condition of CoGenT or none."""
    for split, scenes in splits.items():
        config = GenerateConfig(
            out=root,
            split=split,
            scenes=scenes,
            width=width,
            height=height,
            questions_per_scene=questions,
            condition=condition,
            workers=1,
        )
        run(config)
    return root
