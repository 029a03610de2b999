"""Few-shot image classification with FiLM adaptation.

What most programs need comes from here, each name imported when it is asked for: the FiLM core alone needs torch and
nothing else. The rest comes from the rooms, such as :mod:`fewshot_film.film` and :mod:`fewshot_film.learners`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_film.classifier import FewShotClassifier
    from fewshot_film.data import decode, open_source
    from fewshot_film.episodes import EpisodeSampler
    from fewshot_film.errors import UserError
    from fewshot_film.film import FiLM, fold_film, inject_film, remove_film
    from fewshot_film.learners import SimpleCNAPS, build_learner, load_learner

__version__ = "0.1.0"
__all__ = [
    "EpisodeSampler",
    "FewShotClassifier",
    "FiLM",
    "SimpleCNAPS",
    "UserError",
    "build_learner",
    "decode",
    "fold_film",
    "inject_film",
    "load_learner",
    "open_source",
    "remove_film",
]

_ROOMS = {
    "classifier": ("FewShotClassifier",),
    "data": ("decode", "open_source"),
    "episodes": ("EpisodeSampler",),
    "errors": ("UserError",),
    "film": ("FiLM", "fold_film", "inject_film", "remove_film"),
    "learners": ("SimpleCNAPS", "build_learner", "load_learner"),
}


def __getattr__(name: str) -> Any:
    """One of the names in ``__all__``, from its room.

    Raises:
        ImportError: the room is not there, as only the core is installed.
    """
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(_room(f"{__name__}.{room}", name), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _room(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(
            f"{name} is not in fewshot-film-core, which has fewshot_film.film and nothing else; expected the whole "
            "package: pip uninstall fewshot-film-core && pip install fewshot-film"
        ) from error
