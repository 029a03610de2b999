"""What scikit-learn expects of an estimator, without importing it (it is optional): parameters, tags, errors."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, TypeVar, get_args

from fewshot_film.config.preprocessing import Resize
from fewshot_film.errors import ConfigError, UserError, shown, suggestion

Self = TypeVar("Self", bound="SklearnClassifierMixin")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "int8")


class SklearnClassifierMixin:
    """Parameters by name, and the tags by which scikit-learn tells what kind of estimator this is.

    A subclass keeps every parameter as an attribute of the same name, unchanged, and checks it when it fits.
    """

    PARAMETERS: ClassVar[tuple[str, ...]]
    """Names of the constructor's arguments."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; ``deep`` makes no difference, as none is an estimator itself."""
        return {name: getattr(self, name) for name in self.PARAMETERS}

    def set_params(self: Self, **parameters: Any) -> Self:
        """Change parameters; they hold from the next fit on, which checks their values.

        Raises:
            ConfigError: there is no such parameter; nothing is changed.
        """
        unknown = [name for name in parameters if name not in self.PARAMETERS]
        if unknown:
            raise ConfigError(
                f"there is no parameter {unknown[0]!r}{suggestion(unknown[0], self.PARAMETERS)}; the parameters are "
                f"{', '.join(self.PARAMETERS)}"
            )
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """The tags of a classifier of images: lists of paths, or arrays of three and more axes."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        inputs = InputTags(one_d_array=True, two_d_array=False, three_d_array=True, string=True)
        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags(), input_tags=inputs)


def check_parameters(resize: Any, temperature: Any, device: Any, precision: Any) -> None:
    """Refuse values that mean nothing; the model is checked where it is loaded.

    Raises:
        ConfigError: says which parameter, what it may be, and what comes nearest.
    """
    if resize is not None:
        check_choice("resize", resize, get_args(Resize))
    check_choice("device", device, DEVICES)
    check_choice("precision", precision, PRECISIONS)
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


class NotFittedError(UserError, ValueError, AttributeError):
    """The classifier has not been fitted."""


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
