"""Few-shot image classification with FiLM adaptation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewshot_film.classifier import FewShotClassifier

__version__ = "0.1.0"
__all__ = ["FewShotClassifier"]


def __getattr__(name: str) -> type[FewShotClassifier]:
    """``FewShotClassifier``, imported when it is asked for: the FiLM core alone needs torch and nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: type[FewShotClassifier] = importlib.import_module("fewshot_film.classifier").FewShotClassifier
    return found
