"""A saved learner and folders of images for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_film.cli import COMMANDS
from fewshot_film.learners import save_learner
from fewshot_film.run.command import main
from tests.classifier.small import film_learner
from tests.commands.test_commands import draw_classes


def fewshot_film(*words: object) -> int:
    return main("fewshot-film", COMMANDS, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with ``model``, a saved learner, and ``labelled``, six classes of eight images."""
    root = tmp_path_factory.mktemp("place")
    save_learner(root / "model", film_learner(), {}, "")
    draw_classes(root / "labelled", 6)
    return root
