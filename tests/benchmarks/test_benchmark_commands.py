"""Every command of the experiments names a function that is there and settings that its examples fill."""

from __future__ import annotations

import importlib
import pkgutil
import shlex

import pytest

import benchmarks
from fewshot_film.run.command import Command
from fewshot_film.run.parsing import parse

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
