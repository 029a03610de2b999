"""CLEVR: a world of scenes, images and questions, and a FiLM-ed network that answers them.

``clevr.load("clevr-small")`` is a trained model; the command line is ``clevr-film``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clevr.reasoning.network import Reasoner

__all__ = ["load"]


def load(name: str | Path) -> Reasoner:
    """A saved model, on the CPU, in evaluation mode.

    Args:
        name: a model that comes with the package, such as ``clevr-small``, or the folder of another.

    Raises:
        SavedModelError: there is no such model, a file is missing or damaged, or it is of another kind.
    """
    from clevr.reasoning import loading  # here, so that `import clevr` does without torch

    return loading.load(name)
