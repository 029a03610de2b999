from __future__ import annotations

import subprocess
import sys

import pytest

from clevr.cli import COMMANDS, run
from fewshot_film.run.command import main


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["clevr-film", "--help"])
    assert run() == 0
    out = capsys.readouterr().out
    assert all(f"  {command.name} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], command: object) -> None:
    name = command.name  # type: ignore[attr-defined]
    assert main("clevr-film", COMMANDS, [name, "--help"]) == 0
    assert f"clevr-film {name} " in capsys.readouterr().out.partition("examples:")[2]


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from clevr.cli import run; "
        "sys.argv = ['clevr-film', 'generate', '--help']; run(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "clevr", "--help"], capture_output=True, text=True, check=True)
    assert "clevr-film COMMAND --help" in done.stdout
