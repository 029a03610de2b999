"""What ``--help`` shows of a command with hundreds of settings."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from fewshot_film.errors import suggestion
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.settings import ranges_of

ALL = "*"
_ALWAYS = ("help", "config", "print_config")


def take_topic(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Take the wish for help out of a command line.

    Args:
        words: flags in their canonical form.

    Returns:
        The words with a plain ``--help`` last where there is such a wish, and what it is about: the name of a group,
        :data:`ALL` after ``--help_all``, empty after ``--help``; None without one.
    """
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else "-"
        rest = [*words[:place], *words[place + 1 :]]
        if word == "--help_all":
            return [*rest, "--help"], ALL
        if word.startswith("--help="):
            return [*rest, "--help"], word.removeprefix("--help=")
        if word in ("-h", "--help"):
            if after.startswith("-"):
                return [*rest, "--help"], ""
            return [*words[:place], *words[place + 2 :], "--help"], after
    return list(words), None


def narrow_help(
    parser: argparse.ArgumentParser, topic: str, kinds: Mapping[str, Any], common: Sequence[str], prog: str
) -> None:
    """Leave in a parser's help what was asked for, and say how to see the rest.

    Args:
        parser: the parser, with all settings.
        topic: as :func:`take_topic` returns it.
        kinds: the type of every key.
        common: the keys that a plain ``--help`` shows; empty: all.
        prog: what is typed before the flags, for the hint.

    Raises:
        ConfigError: there is no such group.
    """
    groups = [key for key, kind in kinds.items() if dataclasses.is_dataclass(kind)]
    if topic == ALL or not (topic or common):
        return
    if topic and topic not in groups:
        there = ", ".join(groups) or "none"
        raise ConfigError(f"no group of settings {topic!r}{suggestion(topic, groups)}; there are: {there}")
    hidden = _hide(parser, (lambda key: key.startswith(f"{topic}.")) if topic else set(common).__contains__)
    tops = ", ".join(group for group in groups if "." not in group)
    hint = f"{hidden} more settings: {prog} --help_all shows them all, --help GROUP those of one of {tops}"
    parser.epilog = "\n\n".join(filter(None, [hint if tops else hint.partition(",")[0], parser.epilog]))


def state_ranges(parser: argparse.ArgumentParser, config_class: type, kinds: Mapping[str, Any]) -> None:
    """Have the help of every setting that has a range say it.

    Args:
        parser: the parser, with all settings.
        config_class: the dataclass of the command's settings.
        kinds: the type of every key.
    """
    groups: list[tuple[str, type]] = [("", config_class)]
    groups += [(f"{key}.", cast(type, kind)) for key, kind in kinds.items() if dataclasses.is_dataclass(kind)]
    stated = {
        f"{prefix}{name}": ", ".join(each.expected for each in ranges)
        for prefix, group in groups
        for name, ranges in ranges_of(group).items()
    }
    for action in parser._actions:
        if action.dest in stated and action.help:
            expected = stated[action.dest]
            action.help = f"{action.help} {expected[0].upper()}{expected[1:]}."


def _hide(parser: argparse.ArgumentParser, shows: Callable[[str], bool]) -> int:
    """Hide the other settings; returns how many."""
    hidden = 0
    for action in parser._actions:
        if action.dest not in _ALWAYS and not shows(action.dest):
            hidden += action.help != argparse.SUPPRESS and "." in f"{action.dest}."
            action.help = argparse.SUPPRESS
    for group in parser._action_groups:
        group.description = None
    return hidden
