"""A small generated world for the tests that train or evaluate."""

from __future__ import annotations

from pathlib import Path

from clevr.commands.generate import run
from clevr.config.commands import GenerateConfig


def make_world(root: Path, splits: dict[str, int], width: int = 32, height: int = 24, questions: int = 4) -> Path:
    """So many scenes of each split, with images of this size."""
    for split, scenes in splits.items():
        config = GenerateConfig(
            out=root,
            split=split,
            scenes=scenes,
            width=width,
            height=height,
            questions_per_scene=questions,
            workers=1,
        )
        run(config)
    return root
