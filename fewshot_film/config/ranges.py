"""Ranges of settings."""

from __future__ import annotations

import math
from typing import Any

from fewshot_film.run.errors import ConfigError


def check_at_least(config: Any, least: int, *names: str, group: str = "") -> None:
    """Refuse numbers that are too small; in a list of numbers each of them counts, and there must be one.

    Args:
        config: a dataclass.
        least: the smallest number that has a meaning.
        names: fields of it; None in one of them is let pass.
        group: what stands before a field's name in messages, ``validation.``.
    Raises:
        ConfigError: naming the setting.
    """
    for name in names:
        value = getattr(config, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or any(number is not None and number < least for number in numbers):
            shown = list(value) if isinstance(value, tuple) else value
            raise ConfigError(f"{group}{name} is {shown}; expected at least {least}")


def check_above_zero(config: Any, *names: str, group: str = "") -> None:
    """Refuse numbers that are not finite or not above 0.

    Args:
        config: a dataclass.
        names: fields of it; None in one of them is let pass.
        group: what stands before a field's name in messages, ``backbone.``.
    Raises:
        ConfigError: naming the setting.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{group}{name} is {value:g}; expected a finite number above 0")
