"""Settings that come in kinds: a field whose type is a union of dataclasses, told apart by a key of their own.

Each member of the union has one field with a single literal value, such as ``method: Literal["cnaps"] = "cnaps"``.
Which member a configuration holds is settled first, from the flags and files; from then on only its keys exist.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fewshot_film.run.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """One such field."""

    name: str
    """Name of the field, ``learner``."""
    tag: str
    """Name of the key that tells its kinds apart, ``method``."""
    kinds: dict[str, type]
    """The dataclasses by their value of the key."""
    default: str
    """The kind that is taken where none is named."""

    @property
    def key(self) -> str:
        """The key in full: ``learner.method``."""
        return f"{self.name}.{self.tag}"

    def choose(self, contents: Iterable[Any], flags: Sequence[str]) -> str:
        """The kind that a command line asks for: by its last flag, else by the last file that names one.

        Args:
            contents: what the files hold for this field.
            flags: what the command line says of the key.

        Raises:
            ConfigError: there is no such kind.
        """
        said = [content[self.tag] for content in contents if isinstance(content, dict) and self.tag in content]
        kind = str([self.default, *said, *flags][-1])
        if kind not in self.kinds:
            near = difflib.get_close_matches(kind, self.kinds, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(f"{self.key} is {kind}{hint}; expected one of {', '.join(self.kinds)}")
        return kind


def choices_of(config_class: type) -> dict[str, Choice]:
    """The fields of a configuration whose type is a union of dataclasses, by name; each has a default factory."""
    hints = typing.get_type_hints(config_class)
    found = {}
    for field in dataclasses.fields(config_class):
        members = typing.get_args(hints[field.name])
        if isinstance(hints[field.name], types.UnionType) and all(map(dataclasses.is_dataclass, members)):
            tag, kinds = _kinds(members)
            default = typing.cast(Any, field.default_factory)()
            found[field.name] = Choice(field.name, tag, kinds, getattr(default, tag))
    return found


def _kinds(members: Iterable[type]) -> tuple[str, dict[str, type]]:
    """The key that tells dataclasses apart, and the dataclasses by its value."""
    tags, kinds = set(), {}
    for member in members:
        for name, hint in typing.get_type_hints(member).items():
            if typing.get_origin(hint) is typing.Literal and len(typing.get_args(hint)) == 1:
                tags.add(name)
                kinds[typing.get_args(hint)[0]] = member
    (tag,) = tags
    return tag, kinds
