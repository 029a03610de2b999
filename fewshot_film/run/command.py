"""One registry for the command lines of this project: frozen dataclasses become YAML keys and flags.

A program is a list of :class:`Command` and one call of :func:`main`. Only the dataclass of the command
that was asked for is imported to parse, and its implementation only to run, so ``--help`` is quick.
"""

from __future__ import annotations

import gc
import importlib
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from fewshot_film import __version__
from fewshot_film.errors import ConfigError, InvalidValueError, MissingFileError, exit_status_of, suggestion
from fewshot_film.run.parsing import parse
from fewshot_film.run.progress import is_quiet, quiet, say_at_once

SWITCHES = {
    "--quiet": "Print only warnings and results, without progress bars and log lines.",
    "--overwrite": "Overwrite existing output files.",
    "--version": "Show the version and exit.",
}
"""What every command understands, wherever it stands on the line."""
_ONLY_A_PATH = re.compile(r"[/~].*|\.\.?/.*|[^/]*/[^/]*/.*")
"""What a model is called that can be nothing but a path: a name has no slash, and one on the hub has one."""


@dataclass(frozen=True)
class Command:
    """One command of a program: ``PROG NAME [--config FILE] [--key value ...]``.

    The configuration is a frozen dataclass in a module that does not import torch. The docstring under
    each field is its help; a field may be another dataclass, whose keys are then ``--outer.inner``.
    """

    name: str
    """What is typed after the program's name."""
    config: type | str
    """The dataclass of the settings, or where it is: ``"package.module:Class"``."""
    run: str
    """``"package.module:function"``; called with the configuration, may return an exit status."""
    help: str
    """One line for the list of commands."""
    examples: tuple[str, ...] = ()
    """Command lines shown at the end of ``--help``, as they would be typed."""
    positionals: tuple[str, ...] = ()
    """Fields that may also be given by place, before any flag: ``ask PICTURE "question"``."""

    common: tuple[str, ...] = ()
    """Keys that ``--help`` shows, where there are too many for one screen; empty: all."""
    inputs: tuple[str, ...] = ()
    """Keys whose paths have to exist; looked at before anything is imported."""
    models: tuple[str, ...] = ()
    """Keys that are the folder of a model or a name; looked at where they can only be a path."""
    check: str = ""
    """``"package.module:function"``; called with the configuration to refuse what ``inputs`` cannot, before the
    implementation is imported, so it has to be quick."""
    outputs: tuple[str, ...] = ()
    """Keys of files and folders that the command makes; what exists is overwritten only with ``--overwrite``, but for
    those that the configuration names in ``continues``."""
    files: tuple[str, ...] = ()
    """Those of ``outputs`` that are files; a folder in their place is refused, with ``--overwrite`` too."""
    folders: tuple[str, ...] = ()
    """Keys of folders that the command makes or adds to; a file in their place is refused, with ``--overwrite`` too."""

    def config_class(self) -> type:
        """The dataclass of the settings, imported now if it was named as text."""
        if isinstance(self.config, type):
            return self.config
        found: type = _import(self.config)
        return found

    def function(self) -> Callable[[Any], int | None]:
        """The implementation, imported now."""
        with sparing_modules():
            found: Callable[[Any], int | None] = _import(self.run)
        return found


def main(prog: str, commands: Sequence[Command], argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    User-fixable errors end with their message on stderr (which ones:
    :func:`fewshot_film.errors.exit_status_of`); anything else keeps its traceback.

    Args:
        prog: name of the program as typed, for messages.
        commands: what it can do, in the order ``--help`` shows.
        argv: the words after the program's name; ``sys.argv[1:]`` by default.
    Returns:
        0 on success, 2 after a user's error, 130 or 143 after Ctrl-C or SIGTERM, 141 where what reads standard output,
        such as ``head``, had enough; else the command's own.
    """
    words, switches = _take_switches(sys.argv[1:] if argv is None else argv)
    _prepare_output()
    try:
        if "version" in switches:
            sys.stdout.write(f"{prog} {__version__}\n")
            return 0
        if not words or words[0] in ("-h", "--help"):
            sys.stdout.write(_overview(prog, commands))
            return 0 if words else 2
        command = _chosen(prog, commands, words[0])
        with quiet("quiet" in switches), announcing_stop(f"{prog} {command.name}"):
            return _run(prog, command, words[1:], overwrite="overwrite" in switches)
    except SystemExit as end:  # how the parser ends after --help and --print_config
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            sys.stdout.close()  # with what is left of the output, about which Python's end would complain
        return 128 + signal.SIGPIPE
    except BaseException as error:
        status = exit_status_of(error)
        if status is None:
            raise
        sys.stderr.write(f"{' '.join([prog, *words[:1]])}: {str(error) or 'stopped'}\n")
        return status


@contextmanager
def sparing_modules() -> Iterator[None]:
    """Within the block, which imports torch, no garbage is looked for; what it made is passed over for good.

    A quarter of the time of importing torch, and as much at the end of the process, is spent looking through its many
    objects for garbage. Leaves everything as it is where torch is there already: what else is there then may become
    garbage.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


@contextmanager
def announcing_stop(name: str) -> Iterator[None]:
    """Within the block, the first Ctrl-C is answered at once, by one line on stderr, before it ends what runs.

    Leaves everything as it is outside the main thread, and where somebody else handles the signal.

    Args:
        name: begins the line.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        say_at_once(f"{name}: stopping")
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare_output() -> None:
    """Have no result and no work lost to a terminal that lacks a letter, or to streams that are closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_first_process() -> bool:
    """Whether this is the process that writes and talks, of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _take_switches(argv: Sequence[str]) -> tuple[list[str], set[str]]:
    """Take out of a command line what every command understands, wherever it stands."""
    switches = [word[2:] for word in argv if word in SWITCHES]
    return [word for word in argv if word not in SWITCHES], set(switches)


def _run(prog: str, command: Command, words: Sequence[str], *, overwrite: bool) -> int:
    config = parse(
        f"{prog} {command.name}",
        command.config_class(),
        words,
        description=command.help,
        examples=command.examples,
        positionals=command.positionals,
        common=command.common,
    )
    check_inputs(config, command.inputs, command.models)
    if command.check:
        _import(command.check)(config)
    check_writable(config, dict.fromkeys((*command.outputs, *command.folders)), command.files, command.folders)
    if not overwrite:
        continued = getattr(config, "continues", ())
        check_outputs(config, [key for key in command.outputs if key not in continued])
    # Of the processes that torchrun starts, only the first one talks.
    level = logging.INFO if is_first_process() and not is_quiet() else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    status = command.function()(config) or 0
    sys.stdout.flush()  # what cannot be written is an error of the command, and not of Python's end
    return status


def _chosen(prog: str, commands: Sequence[Command], name: str) -> Command:
    by_name = {command.name: command for command in commands}
    if name not in by_name:
        raise ConfigError(
            f"no command {name!r}{suggestion(name, by_name)}; there are: {', '.join(by_name)}. See {prog} --help"
        )
    return by_name[name]


def _overview(prog: str, commands: Sequence[Command]) -> str:
    width = max(len(command.name) for command in commands)
    lines = [f"usage: {prog} COMMAND [--config FILE.yaml] [--key value ...]", "", "commands:"]
    lines += [f"  {command.name:{width}}  {command.help}" for command in commands]
    first = [command.examples[0] for command in commands if command.examples]
    lines += ["", "examples:", *(f"  {example}" for example in first)] if first else []
    lines += ["", f"{prog} COMMAND --help shows the settings and more examples of one command."]
    lines += ["", "with every command:", *(f"  {word:{width + 2}}  {text}" for word, text in SWITCHES.items())]
    return "\n".join(lines) + "\n"


def _import(where: str) -> Any:
    """The object that ``"package.module:name"`` names."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def check_inputs(config: Any, keys: Iterable[str], models: Iterable[str] = ()) -> None:
    """Refuse a path that is not there, before anything is imported or loaded for it.

    Args:
        config: the settings of a command.
        keys: its settings that are paths, ``"outer.inner"`` for a nested one; empty ones are skipped.
        models: its settings that are a path or a name; names are left to the command.

    Raises:
        MissingFileError: there is neither file nor folder of that name.
    """
    found = [(key, path) for key in keys for path in _paths(config, key)]
    found += [(key, path) for key in models for path in _paths(config, key) if _ONLY_A_PATH.fullmatch(path)]
    for key, path in found:
        if not Path(path).exists():
            raise MissingFileError(f"{key}: there is no '{path}'; expected the path of an existing file or folder")


def check_outputs(config: Any, keys: Iterable[str]) -> None:
    """Refuse to write over what is there.

    Args:
        config: the settings of a command.
        keys: its settings that are files or folders to be made; empty ones are skipped, and so are empty folders.

    Raises:
        InvalidValueError: there is such a file, or a folder with something in it.
    """
    for key in keys:
        for name in _paths(config, key):
            path = Path(name)
            if path.is_dir() and any(path.iterdir()):
                raise InvalidValueError(f"{key}: the folder '{path}' is not empty; choose another, or add --overwrite")
            if path.exists() and not path.is_dir():
                raise InvalidValueError(f"{key}: the file '{path}' exists; choose another, or add --overwrite")


def check_writable(config: Any, keys: Iterable[str], files: Container[str] = (), folders: Container[str] = ()) -> None:
    """Refuse a place where nothing can be written, before the work whose result would be lost.

    Args:
        config: the settings of a command.
        keys: its settings that are files or folders to be made; empty ones are skipped.
        files: which of them are files.
        folders: which of them are folders.

    Raises:
        InvalidValueError: a folder is where the file should be, a file is where the folder or one on the way there
            should be, or the folder is read-only.
    """
    for key in keys:
        for name in _paths(config, key):
            path = Path(name).absolute()
            there = next(place for place in (path, *path.parents) if place.exists())
            if there == path and path.is_dir() and key in files:
                raise InvalidValueError(f"{key}: '{name}' is a folder; expected the path of a file")
            if there == path and not path.is_dir() and key in folders:
                raise InvalidValueError(f"{key}: '{name}' is a file; expected the path of a folder")
            if there != path and not there.is_dir():
                raise InvalidValueError(f"{key}: '{name}' cannot be made: '{there}' is a file; choose another path")
            folder = there if there.is_dir() else there.parent
            if not os.access(folder, os.W_OK):
                raise InvalidValueError(f"{key}: the folder '{folder}' is read-only; choose a path in another")


def _paths(config: Any, key: str) -> list[str]:
    """What a setting holds, as texts: several for a tuple, none where it is empty."""
    value = config
    for name in key.split("."):
        value = getattr(value, name)
    values = value if isinstance(value, tuple | list) else (value,)
    return [str(one) for one in values if one is not None and str(one)]
