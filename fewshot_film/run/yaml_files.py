"""YAML files that a person wrote."""

from __future__ import annotations

from typing import IO, Any

import yaml

from fewshot_film.errors import UserError


class RepeatedKeyError(UserError, yaml.YAMLError):
    """An entry that is there twice."""


class _UniqueKeys(yaml.SafeLoader):
    """Reads YAML whose entries have names of their own; of two of one name PyYAML drops the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, unless a key is there twice."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise RepeatedKeyError(f"{key.value!r} stands there twice, again in line {line}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(stream: IO[bytes] | str) -> Any:
    """Read a YAML file.

    Raises:
        YAMLError: it is not YAML.
        RepeatedKeyError: an entry is there twice.
    """
    return yaml.load(stream, _UniqueKeys)
