"""The project as a whole: command lines and configuration files; `make lint` holds the direction of imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import clevr.cli
import fewshot_film.cli
from fewshot_film.run.command import Command, main
from fewshot_film.run.parsing import parse
from tests.conftest import CHECKOUT

PROGRAMS = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}
COMMANDS = [(prog, command) for prog, commands in PROGRAMS.items() for command in commands]
CONFIGS = sorted((CHECKOUT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize(("prog", "command"), COMMANDS, ids=lambda value: getattr(value, "name", value))
def test_every_help_has_an_example(prog: str, command: Command, capsys):
    assert main(prog, PROGRAMS[prog], [command.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert command.examples
    for example in command.examples:
        assert " ".join(example.split()) in " ".join(text.split())


@pytest.mark.parametrize(("prog", "command"), COMMANDS, ids=lambda value: getattr(value, "name", value))
def test_help_is_plain_text(prog: str, command: Command, capsys):
    assert main(prog, PROGRAMS[prog], [command.name, "--help_all"]) == 0
    text = capsys.readouterr().out
    for leak in ("`" * 2, ":class:", "Literal[", "Optional[", "<class", "type:", "default: )", "default: (", "CONFIG"):
        assert leak not in text
    titles = [line.rstrip(":").rstrip(".") for line in text.splitlines() if line and not line.startswith(" ")]
    assert len(titles) == len(set(titles)), "no heading says what another one says"


def test_help_does_not_load_torch():
    code = (
        "import sys; from fewshot_film.cli import COMMANDS; from fewshot_film.run.command import main; "
        "main('fewshot-film', COMMANDS, ['train', '--help']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(CHECKOUT / "configs")))
def test_every_configuration_file_is_read(path: Path):
    """A file's name begins with its command, or is named after what ``train`` makes of it."""
    group = "clevr-film" if path.parent.name == "clevr" else "fewshot-film"
    commands = {command.name: command for command in PROGRAMS[group]}
    first = path.stem.partition("-")[0]
    name = first if first in commands else "train"
    command = commands[name]
    parse(f"{group} {name}", command.config_class(), ["--config", str(path)])
