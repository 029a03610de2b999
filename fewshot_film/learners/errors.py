"""Errors of the learners."""

from __future__ import annotations

from fewshot_film.run.errors import UserError


class WeightsError(UserError):
    """Backbone weights could not be found, fetched or fitted to the network."""


class SupportError(UserError, ValueError):
    """A support set that no classifier can be built from."""
