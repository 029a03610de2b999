"""Every command of the experiments names a function that is there and settings that its examples fill."""

from __future__ import annotations

import importlib
import pkgutil
import shlex
import typing

import pytest

import benchmarks
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import Command
from fewshot_film.run.parsing import parse
from fewshot_film.run.settings import ranges_of

MODULES = [importlib.import_module(f"benchmarks.{found.name}") for found in pkgutil.iter_modules(benchmarks.__path__)]
COMMANDS = [(module.__name__, command) for module in MODULES for command in getattr(module, "COMMANDS", ())]


@pytest.mark.parametrize(
    ("module", "command"), COMMANDS, ids=[f"{module.partition('.')[2]}-{command.name}" for module, command in COMMANDS]
)
def test_examples_are_read_and_the_function_is_there(module: str, command: Command) -> None:
    assert command.run.partition(":")[0].startswith(module)  # itself, or a module of the package
    assert callable(command.function())
    for example in command.examples:
        python, flag, name, chosen, *words = shlex.split(example)
        assert (python, flag, name, chosen) == ("python", "-m", module, command.name)
        parse(command.name, command.config_class(), words, positionals=command.positionals)


NUMBERS = (int, float, int | None, float | None, tuple[int, ...], tuple[float, ...])


@pytest.mark.parametrize(
    ("module", "command"), COMMANDS, ids=[f"{module}-{command.name}" for module, command in COMMANDS]
)
def test_numbers_have_ranges(module: str, command: Command) -> None:
    config_class = command.config_class()
    numbers = [name for name, kind in typing.get_type_hints(config_class).items() if kind in NUMBERS]
    assert set(numbers) <= set(ranges_of(config_class))


def test_a_number_out_of_range_is_refused() -> None:
    (command,) = [command for _, command in COMMANDS if command.config_class().__name__ == "QuestionSpeedConfig"]
    with pytest.raises(ConfigError, match="scenes is 0; expected at least 1"):
        parse(command.name, command.config_class(), ["--scenes=0"])
