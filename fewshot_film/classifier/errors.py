"""Errors of the classifier."""

from __future__ import annotations

import sys

from fewshot_film.run.errors import UserError


class ModelNotFoundError(UserError, LookupError):
    """No model has that name."""


class NotFittedError(UserError, ValueError, AttributeError):
    """The classifier was asked before it was given its support set."""


def not_fitted(message: str) -> NotFittedError:
    """The error to raise: where scikit-learn has been imported, one that is its ``NotFittedError`` as well."""
    sklearn = sys.modules.get("sklearn.exceptions")
    if sklearn is None:
        return NotFittedError(message)
    kind = type("NotFittedError", (NotFittedError, sklearn.NotFittedError), {"__reduce__": _reduce})
    error: NotFittedError = kind(message)
    return error


def _reduce(error: NotFittedError) -> object:
    """How a pickle makes the error again: its class exists only here."""
    return not_fitted, error.args
