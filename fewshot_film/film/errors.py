"""What can go wrong between a network, its sites and the values meant for them."""

from __future__ import annotations

from fewshot_film.errors import UserError


class FilmError(UserError, ValueError):
    """Base of every error this package raises by itself."""


class ShapeError(FilmError):
    """Tensors whose shapes or dtypes do not fit each other."""


class SiteError(FilmError):
    """A site that does not exist, exists twice, is missing, or cannot carry FiLM."""


class FoldError(FilmError):
    """FiLM or a normalisation layer that cannot be folded into the weights before it."""


class SavedValuesError(FilmError):
    """A file of saved values that is damaged, for another network, or something else."""
