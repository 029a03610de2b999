"""What scikit-learn expects of an estimator, without importing it: it is an optional package."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from fewshot_film.run.errors import ConfigError
from fewshot_film.run.help import suggestion

Self = TypeVar("Self", bound="SklearnClassifierMixin")


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
