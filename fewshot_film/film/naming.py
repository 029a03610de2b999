"""Glob patterns over the dotted names of modules."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Whether a dotted name fits a glob pattern, part by part.

    ``*``, ``?`` and ``[...]`` stay within one part; ``**`` stands for any number of parts.

    Example:
        >>> matches("layer1.0.bn2", "layer*.*.bn[12]"), matches("layer1.0.bn2", "layer*.bn2")
        (True, False)
        >>> matches("layer1.0.bn2", "**.bn2")
        True
    """
    return _parts_match(name.split("."), pattern.split("."))


def _parts_match(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_parts_match(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _parts_match(parts[1:], patterns[1:])
