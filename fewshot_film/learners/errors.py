"""Errors of the learners."""

from __future__ import annotations

from fewshot_film.run.errors import SavedModelError, UserError


class WeightsError(UserError):
    """Backbone weights could not be found, fetched or fitted to the network."""


class SupportError(UserError, ValueError):
    """A support set that no classifier can be built from."""


class UnsavableError(SavedModelError, ValueError):
    """What a saved model's folder cannot hold, so that it could not be loaded again; nothing was written."""
