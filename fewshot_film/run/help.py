"""What ``--help`` shows of a command with hundreds of settings."""

from __future__ import annotations

import argparse
import dataclasses
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jsonargparse

from fewshot_film.errors import ConfigError, suggestion
from fewshot_film.run.settings import ranges_of

ALL = "*"
_ALWAYS = ("help", "config", "print_config")


class Formatter(argparse.RawDescriptionHelpFormatter, jsonargparse.DefaultHelpFormatter):
    """Keeps the line breaks of the examples, and the texts of :func:`describe_settings` as they are."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help or ""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


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
    hint = f"{hidden} more settings: {prog} --help_all"
    if tops:
        hint += f"\nsettings of one group: {prog} --help GROUP; groups: {tops}"
    parser.epilog = "\n\n".join(filter(None, [hint, parser.epilog]))


def describe_settings(
    parser: argparse.ArgumentParser,
    config_class: type,
    kinds: Mapping[str, Any],
    defaults: Mapping[str, Any],
    positionals: Sequence[str] = (),
) -> None:
    """Have the help of every setting say its range, type and default, and leave out what is no setting.

    Args:
        parser: the parser, with all settings.
        config_class: the dataclass of the command's settings.
        kinds: the type of every key.
        defaults: the default of every key.
        positionals: keys that may also be given by place.
    """
    ranges = _stated_ranges(config_class, kinds)
    settings = {key: kind for key, kind in kinds.items() if not dataclasses.is_dataclass(kind)}
    for group in parser._action_groups:
        holds_own = any(action.dest in settings and "." not in action.dest for action in group._group_actions)
        group.title = "settings" if holds_own else _plain(group.title or "")
    for action in parser._actions:
        key = action.dest
        if key in settings:
            action.metavar = _metavar(action, settings[key])
            default = "required" if action.required else f"default: {_as_typed(defaults.get(key))}"
            facts = ["may be given by place" if key in positionals else "", _kind_in_words(settings[key])]
            facts += [f"or just --{key}" if settings[key] is bool and not defaults.get(key) else "", default]
            text = [_plain(action.help or ""), ranges.get(key, ""), f"({', '.join(filter(None, facts))})"]
            action.help = " ".join(filter(None, text))
        elif key not in _ALWAYS:
            action.help = argparse.SUPPRESS


def _stated_ranges(config_class: type, kinds: Mapping[str, Any]) -> dict[str, str]:
    """A sentence for every setting that has a range."""
    groups: list[tuple[str, type]] = [("", config_class)]
    groups += [(f"{key}.", cast(type, kind)) for key, kind in kinds.items() if dataclasses.is_dataclass(kind)]
    expected = {
        f"{prefix}{name}": ", ".join(each.expected for each in ranges)
        for prefix, group in groups
        for name, ranges in ranges_of(group).items()
    }
    return {key: f"{text[0].upper()}{text[1:]}." for key, text in expected.items()}


def _kind_in_words(kind: Any) -> str:
    """The type of a value; empty where any text will do, or the options are listed."""
    members = typing.get_args(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        words = [_kind_in_words(member) for member in members if member is not type(None)]
        return f"{words[0]} or null" if words[0] and len(members) == 2 and type(None) in members else ""
    if typing.get_origin(kind) is tuple:
        return {int: "list of integers", float: "list of numbers"}.get(members[0], "list")
    return {int: "integer", float: "number"}.get(kind, "")


def _as_typed(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or value == "" or value == ():
        return "null" if value is None else "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def _metavar(action: argparse.Action, kind: Any) -> str | tuple[str, ...] | None:
    """What stands for the value: the options where there are some, also where null is one of them."""
    members = typing.get_args(kind)
    options = [member for member in members if typing.get_origin(member) is typing.Literal]
    if not options or type(None) not in members:
        return action.metavar
    return f"{{{','.join(map(str, (*typing.get_args(options[0]), 'null')))}}}"


def _plain(text: str) -> str:
    """A docstring on one line, without markup."""
    return re.sub(r"``([^`]+)``", r"'\1'", " ".join(text.split()))


def _hide(parser: argparse.ArgumentParser, shows: Callable[[str], bool]) -> int:
    """Hide the other settings; returns how many."""
    hidden = 0
    for action in parser._actions:
        if action.dest not in _ALWAYS and not shows(action.dest):
            hidden += action.help != argparse.SUPPRESS
            action.help = argparse.SUPPRESS
    for group in parser._action_groups:
        group.description = None
    return hidden
