"""From a dataclass, the words of a command line and YAML files to an instance of the dataclass.

``--config FILE`` may stand anywhere and more than once (FILE is a path, or the name of one that comes with the package:
:func:`find_config`): files are read first, in their order, and flags beat them. A switch needs no value: ``--resume``
is ``--resume=true``. Where a field is a union of dataclasses (:class:`Choice`) the flags and files say which, and only
its keys exist.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import logging
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonargparse
import yaml

from fewshot_film.errors import ConfigError, suggestion
from fewshot_film.run.help import Formatter, describe_settings, narrow_help, take_topic
from fewshot_film.run.old_keys import current, current_key, dataclasses_in
from fewshot_film.run.yaml_files import RepeatedKeyError, load_yaml

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parent.parent
CONFIG_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
"""Where the shipped YAML files are in an installed package and in a checkout; the first that is there holds."""


def parse(
    prog: str,
    config_class: type,
    words: Sequence[str],
    *,
    description: str = "",
    examples: Sequence[str] = (),
    positionals: Sequence[str] = (),
    common: Sequence[str] = (),
) -> Any:
    """Build a ``config_class`` from flags and YAML files.

    Args:
        prog: what stands before the flags, for messages.
        config_class: a dataclass; the docstrings under its fields are their help.
        words: the command line after ``prog``.
        description: first paragraph of the help.
        examples: command lines that end the help.
        positionals: names of fields that may be given by place, before any flag.
        common: keys that ``--help`` shows; empty: all. ``--help_all`` shows the others too, ``--help GROUP`` those of
            one group.
    Returns:
        An instance of ``config_class``.
    Raises:
        ConfigError: a key that does not exist, a value of the wrong type, a missing setting, or a file that is no YAML.
        SystemExit: after ``--help`` or ``--print_config``.
    """
    words, topic = take_topic([_canonical(word) for word in words])
    parser = _new_parser(prog, description, examples, _placeholders(config_class, positionals))
    contents, given = _read_files(_values(words, "config"), config_class)
    kinds = _add_settings(parser, config_class, words, list(contents.values()))
    if topic is not None:
        describe_settings(parser, config_class, kinds, dict(parser.get_defaults().items()), positionals)
        narrow_help(parser, topic, kinds, common, prog)
    files, flags = _tidy(words, config_class, kinds, positionals)
    for file in files:
        _check_keys(file, contents[file], kinds)
    namespace = _parsed(parser, [*(f"--config={given[file]}" for file in files), *flags], kinds)
    built = _instances(parser, namespace)
    return config_class(**{field.name: built[field.name] for field in dataclasses.fields(config_class)})


def _placeholders(config_class: type, positionals: Sequence[str]) -> list[str]:
    """What the usage says of settings that are given by place; brackets around those with a default."""
    optional = {field.name for field in dataclasses.fields(config_class) if field.default is not dataclasses.MISSING}
    return [f"[{name.upper()}]" if name in optional else name.upper() for name in positionals]


def _new_parser(
    prog: str, description: str, examples: Sequence[str], usage: Sequence[str]
) -> jsonargparse.ArgumentParser:
    """A parser that knows ``--config`` and ``--help``."""
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=prog,
        usage=" ".join([prog, *usage, "[--config FILE.yaml] [--key value ...]"]),
        description=description,
        epilog=_epilog(examples),
        formatter_class=Formatter,
        exit_on_error=False,
    )
    parser.add_argument(
        "--config",
        action="config",
        metavar="FILE",
        help=f"YAML file of settings{_shipped_example(examples)}; flags take precedence.",
    )
    texts = {"help": "Show this help and exit.", "print_config": "Print all settings, as a YAML file, and exit."}
    for action in parser._actions:
        if action.dest in texts:
            action.help, action.metavar = texts[action.dest], ""
    return parser


def _shipped_example(examples: Sequence[str]) -> str:
    """The shipped file that a command's examples name, as a part of a sentence; empty without one."""
    named = re.search(r"--config (\S+)", " ".join(examples))
    return f", or the name of a shipped one ({named[1]})" if named else ""


def _parsed(parser: jsonargparse.ArgumentParser, words: list[str], kinds: Mapping[str, Any]) -> jsonargparse.Namespace:
    """The values of all settings, of which none is null where it must not be."""
    try:
        namespace = parser.parse_args(words)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{_readable(error)}. See {parser.prog} --help") from None
    for key, kind in kinds.items():
        if namespace.get(key) is None and not _may_be_null(kind):
            raise ConfigError(f"{key} is null; expected {_plain_types(str(kind))}. See {parser.prog} --help")
    return namespace


def _instances(parser: jsonargparse.ArgumentParser, namespace: jsonargparse.Namespace) -> jsonargparse.Namespace:
    """The values with every group of settings as its dataclass."""
    try:
        built: jsonargparse.Namespace = parser.instantiate(namespace)
    except ValueError as error:  # of a group that may be null: jsonargparse hides the error of its own settings
        hidden = re.search(r"against any of the Union subtypes\n(?:.*\n)+? *- (.*)", str(error))
        if hidden is None:
            raise
        raise ConfigError(f"{hidden[1]}. See {parser.prog} --help") from None
    return built


def _add_settings(
    parser: jsonargparse.ArgumentParser,
    config_class: type,
    words: Sequence[str],
    contents: Sequence[Mapping[Any, Any]],
) -> dict[str, Any]:
    """Give the parser the settings of a configuration; returns the type of every key."""
    choices = choices_of(config_class)
    chosen: dict[str, type] = {}
    for name, choice in choices.items():
        kind = choice.choose([content.get(name) for content in contents], _values(words, choice.key))
        chosen[name] = choice.kinds[kind]
        parser.add_argument(
            f"--{choice.key}",
            type=typing.Literal[tuple(choice.kinds)],
            default=kind,
            help=f"Each has its own settings, shown by --{choice.key} NAME --help {choice.key.partition('.')[0]}.",
        )
    parser.add_class_arguments(config_class, skip=set(choices))
    for name, choice in choices.items():
        parser.add_class_arguments(chosen[name], name, skip={choice.tag})
    return dict(keys_of(config_class, chosen=chosen))


def keys_of(
    config_class: type, prefix: str = "", chosen: Mapping[str, type] = MappingProxyType({})
) -> Iterator[tuple[str, Any]]:
    """Every key of a configuration as ``("outer.inner", type)``; a nested dataclass before its fields.

    Args:
        config_class: a dataclass.
        prefix: put before every key.
        chosen: the dataclass of each field that is a union of them, by name.
    """
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        kind = chosen.get(field.name, hints[field.name])
        yield f"{prefix}{field.name}", kind
        if dataclasses.is_dataclass(kind):
            yield from keys_of(typing.cast(type, kind), f"{prefix}{field.name}.")


def _may_be_null(kind: Any) -> bool:
    return kind is Any or type(None) in typing.get_args(kind)


def _values(words: Sequence[str], key: str) -> list[str]:
    """What a command line says of one key, in order."""
    flag = f"--{key}"
    values = []
    for word, after in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word == flag and after:
            values.append(after)
        elif word.startswith(f"{flag}="):
            values.append(word.removeprefix(f"{flag}="))
    return values


def _canonical(word: str) -> str:
    """A flag as it is written in files: ``--file-mib=3`` is ``--file_mib=3``."""
    if not _looks_like_flag(word):
        return word
    key, equals, value = word[2:].partition("=")
    return f"--{key.replace('-', '_')}{equals}{value}"


def _tidy(
    words: Sequence[str], config_class: type, settings: Mapping[str, Any], positionals: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Split a command line into configuration files and flags, every flag as one ``--key=value`` word."""
    kinds = {**settings, "config": str, "help": None, "print_config": None}
    rest = list(words)
    flags = [f"--{name}={rest.pop(0)}" for name in positionals if rest and not rest[0].startswith("--")]
    files: list[str] = []
    while rest:
        key, equals, value = _split(rest.pop(0))
        if key.removesuffix("+") not in kinds:
            mark = "+" if key.endswith("+") else ""
            key = current_key(config_class, key.removesuffix("+"), _warn("the command line")) + mark
        if key.removesuffix("+") not in kinds:
            raise ConfigError(f"no setting --{key}{suggestion(key, kinds)}")
        kind = kinds[key.removesuffix("+")]
        if kind is None:
            flags.append(f"--{key}{equals}{value}")
            continue
        if not equals:
            value = _value(key, kind, rest)
        if key == "config":
            files.append(value)
        else:
            flags.append(f"--{key}={_present_group(kind, value)}")
    return files, flags


def _present_group(kind: Any, value: str) -> str:
    """The value of a flag; where it is a whole group of settings, ``{key: value}``, under their present names."""
    try:
        given = yaml.safe_load(value) if value.startswith("{") and dataclasses_in(kind) else None
    except yaml.YAMLError:  # the parser says what is wrong with it
        return value
    present = current(kind, given, _warn("the command line")) if isinstance(given, dict) else given
    return value if present == given else yaml.safe_dump(present, default_flow_style=True).strip()


def _split(word: str) -> tuple[str, str, str]:
    if not word.startswith("--"):
        raise ConfigError(f"unexpected word {word!r}: settings are given as --key value")
    return word[2:].partition("=")


def _value(key: str, kind: Any, rest: list[str]) -> str:
    """The word after ``--key``, taken from ``rest``; a switch may do without."""
    if kind is bool and (not rest or rest[0].lower() not in ("true", "false", "yes", "no")):
        return "true"
    if not rest or _looks_like_flag(rest[0]):
        raise ConfigError(f"--{key} needs a value; one that begins with -- is given as --{key}=VALUE")
    return rest.pop(0)


def _looks_like_flag(word: str) -> bool:
    return word.startswith("--") and len(word) > 2


def _read_files(files: Sequence[str], config_class: type) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The settings of every file under their present names, and what the parser is given for it."""
    contents, given = {}, {}
    for file in files:
        written = _read_file(file)
        contents[file] = current(config_class, written, _warn(file))
        given[file] = str(find_config(file)) if contents[file] == written else yaml.safe_dump(contents[file])
    return contents, given


def _read_file(file: str) -> dict[Any, Any]:
    """The settings that a YAML file holds."""
    path = find_config(file)
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except RepeatedKeyError as error:
        raise ConfigError(f"{file}: {error}; keep one of the two") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no settings; expected lines of the form 'key: value'")
    return content


def _warn(where: str) -> Callable[[str], None]:
    """Something that logs a line about what a file or the command line says."""
    return lambda line: logger.warning("%s: %s", where, line)


def _check_keys(file: str, content: Mapping[Any, Any], known: Mapping[str, Any]) -> None:
    """Name the first key of a file that the configuration does not have."""
    for key in _written_keys(content, known):
        if key not in known:
            raise ConfigError(f"{file}: no setting {key!r}{suggestion(key, known)}")


def _written_keys(content: Mapping[Any, Any], known: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of a file; what is inside a plain value (a dict setting) is not looked at."""
    for name, value in content.items():
        key = f"{prefix}{name}"
        yield key
        if isinstance(value, dict) and dataclasses.is_dataclass(known.get(key)):
            yield from _written_keys(value, known, f"{key}.")


def _epilog(examples: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {example}" for example in examples)]) if examples else ""


def _readable(error: argparse.ArgumentError) -> str:
    """The parser's message on one line, in the words of the help and without Python's names of types."""
    text = " ".join(str(error).split())
    text = re.sub(r"""Parser key "[^"]*": Unable to load config '.*?' - """, "", text)
    text = re.sub(
        r"""Parser key "([^"]*)": Unable to load config "(.*)\"""", r"\1 is \2; expected settings, {key: value}", text
    )
    text = re.sub(r'Parser key "([^"]*)": Expected an? (.*)\. Got value:\s?(.*)', r"\1 is \3; expected \2", text)
    text = re.sub(r" is (.*); expected tuple$", r" is \1; expected a list: [\1]", _plain_types(text))
    return text.replace(" is ;", " is empty;")


def _plain_types(text: str) -> str:
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "")
    return re.sub(r"(?<=expected )(int|float|bool)$", lambda found: _TYPES[found[0]], text)


_TYPES = {"int": "an integer", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True)
class Choice:
    """A setting with variants: a field whose type is a union of dataclasses, discriminated by a key.

    Each member of the union has one field with a single literal value, such as ``method: Literal["cnaps"] = "cnaps"``.
    Which member a configuration holds is settled first, from the flags and files; from then on only its keys exist.
    """

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
            hint = suggestion(kind, self.kinds)
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


def find_config(file: str) -> Path:
    """The YAML file that ``--config`` means: ``glyphs/pretrain`` is the shipped ``configs/glyphs/pretrain.yaml``.

    Args:
        file: path of a file; or the name of one that comes with the package, with or without ``configs/`` before and
            ``.yaml`` after it. A file that is there comes first.

    Raises:
        ConfigError: it is neither; says the nearest name, or lists those of the folder, or all.
    """
    path = Path(file)
    if path.is_file():
        return path
    shipped = dict(shipped_configs())
    name = path.as_posix().removeprefix("configs/").removesuffix(".yaml")
    if name in shipped:
        return shipped[name]
    same_folder = [known for known in shipped if known.startswith(f"{name}/")]
    hint = "" if same_folder else suggestion(name, shipped)
    raise ConfigError(
        f"no configuration file {file}{hint}; expected the path of a YAML file, or a name that comes with the package"
        + ("" if hint else f": {', '.join(same_folder or shipped)}")
    )


def shipped_configs() -> Iterator[tuple[str, Path]]:
    """Name and path of every configuration file that comes with the package, in order."""
    folder = next((folder for folder in CONFIG_FOLDERS if folder.is_dir()), CONFIG_FOLDERS[-1])
    for path in sorted(folder.rglob("*.yaml")):
        yield path.relative_to(folder).with_suffix("").as_posix(), path
