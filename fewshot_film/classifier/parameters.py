"""The classifier's parameters, checked when it fits, as scikit-learn has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, get_args

from fewshot_film.data.pictures import Resize
from fewshot_film.errors import shown
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.help import suggestion

DEVICES = ("auto", "cpu", "cuda", "mps")


def check_parameters(resize: Any, temperature: Any, device: Any) -> None:
    """Refuse values that mean nothing; the model is checked where it is loaded.

    Raises:
        ConfigError: says which parameter, what it may be, and what comes nearest.
    """
    check_choice("resize", resize, get_args(Resize))
    check_choice("device", device, DEVICES)
    if temperature is None:
        return
    is_number = isinstance(temperature, Real) and not isinstance(temperature, bool)
    if not is_number or not 0 < temperature < math.inf:
        raise ConfigError(f"temperature is {shown(temperature)}; expected a finite number above 0, or None")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        ConfigError: names the choices, and the one that was probably meant.
    """
    if isinstance(value, str) and value in choices:
        return
    hint = suggestion(value.strip().lower(), choices) if isinstance(value, str) else ""
    raise ConfigError(f"{name} is {shown(value)}{hint}; expected one of {', '.join(choices)}")
