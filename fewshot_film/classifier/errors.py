"""Errors of the classifier."""

from __future__ import annotations

from fewshot_film.run.errors import UserError


class ModelNotFoundError(UserError, LookupError):
    """No model has that name."""


class NotFittedError(UserError, ValueError, AttributeError):
    """The classifier was asked before it was given its support set."""
