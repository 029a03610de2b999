"""What scikit-learn asks of a classifier, without importing it."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from fewshot_film.errors import InvalidValueError

Self = TypeVar("Self", bound="Manners")


class Manners:
    """Settings by name, and how scikit-learn tells what kind of estimator this is.

    A subclass keeps every setting as an attribute of the same name, unchanged, and checks it when it fits.
    """

    SETTINGS: ClassVar[tuple[str, ...]]
    """Names of the constructor's arguments."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    def set_params(self: Self, **settings: Any) -> Self:
        """Change settings; they hold from the next fit on.

        Raises:
            ValueError: there is no such setting.
        """
        for name, value in settings.items():
            if name not in self.SETTINGS:
                raise InvalidValueError(f"there is no setting {name!r}; the settings are {', '.join(self.SETTINGS)}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        inputs = InputTags(one_d_array=True, two_d_array=False, three_d_array=True)
        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags(), input_tags=inputs)
