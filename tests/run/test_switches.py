"""What every command understands, what is looked at before it begins, and how it is stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest

import clevr.cli
import fewshot_film.cli
from fewshot_film import __version__
from fewshot_film.run.command import Command, main
from fewshot_film.run.parsing import keys_of
from fewshot_film.run.progress import hides_bars, is_quiet
from fewshot_film.run.settings import LoopConfig
from tests.conftest import CHECKOUT


@dataclass(frozen=True)
class Settings:
    """Settings of the example."""

    data: str = ""
    """What is read."""
    file_mib: int = 1
    """A name of two words."""
    model: str = "shipped"
    """A name or a path."""
    out: str = ""
    """What is made."""
    table: str = ""
    """A file that is made."""
    figures: str = ""
    """A folder that is added to."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The loop."""


seen: list[tuple[Settings, bool]] = []


def remember(config: Settings) -> None:
    seen.append((config, is_quiet() and hides_bars()))


COMMANDS = [
    Command(
        "do", Settings, f"{__name__}:remember", "Do it.",
        common=("data", "loop.steps"), inputs=("data",), models=("model",), outputs=("out", "table"),
        files=("table",), folders=("figures",),
    )
]  # fmt: skip


def did(*words: object) -> Settings:
    seen.clear()
    assert main("p", COMMANDS, list(map(str, words))) == 0
    return seen[0][0]


@pytest.mark.parametrize("program", ["fewshot_film", "clevr"])
def test_version_at_once(program, capsys):
    name, commands = {"fewshot_film": ("fewshot-film", fewshot_film.cli), "clevr": ("clevr-film", clevr.cli)}[program]
    assert main(name, commands.COMMANDS, ["--version"]) == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize("words", [["--quiet", "do"], ["do", "--quiet"], ["do", "--file-mib", "3", "--quiet"]])
def test_quiet_stands_anywhere_and_ends_with_the_command(words):
    did(*words)
    assert seen[0][1]
    assert not is_quiet()


def test_dashes_and_underscores():
    assert did("do", "--file-mib", 3).file_mib == did("do", "--file_mib=3").file_mib == 3
    assert did("do", "--loop.log-every=7").loop.log_every == 7
    assert did("do", "--data=", "--model=a-b").model == "a-b"


def test_suggestions_are_canonical(capsys):
    assert main("p", COMMANDS, ["do", "--file-mbi", "3"]) == 2
    assert capsys.readouterr().err == "p do: no setting --file_mbi (did you mean 'file_mib'?)\n"


def test_help_in_parts(capsys):
    def helped(*words: str) -> str:
        assert main("p", COMMANDS, ["do", *words]) == 0
        return capsys.readouterr().out

    short, full, loop = helped("--help"), helped("--help_all"), helped("--help", "loop")
    assert "--loop.steps" in short
    assert "--loop.log_every" not in short
    assert "--file_mib" not in short
    hidden = full.count("\n  --") - short.count("\n  --")
    assert f"{hidden} more settings: p do --help_all\nsettings of one group: p do --help GROUP; groups: loop\n" in short
    assert all(f"--{key}" in full for key, _ in keys_of(Settings))
    assert "--loop.log_every" in loop
    assert "--file_mib" not in loop
    assert helped("--help-all") == full
    assert helped("--help=loop") == loop
    assert main("p", COMMANDS, ["do", "--help", "lop"]) == 2
    assert capsys.readouterr().err == "p do: no group of settings 'lop' (did you mean 'loop'?); there are: loop\n"


@pytest.mark.parametrize(
    "commands", [fewshot_film.cli.COMMANDS, clevr.cli.COMMANDS], ids=["fewshot-film", "clevr-film"]
)
def test_what_commands_list_are_settings(commands, capsys):
    for command in commands:
        config = command.config_class()
        known = dict(keys_of(config))
        for key in (*command.inputs, *command.models, *command.outputs, *command.files, *command.folders):
            assert key in known, (command.name, key)
        either = [key for key in command.outputs if key not in (*command.files, *command.folders)]
        assert either == (["out"] if command.name == "share" else []), "share makes a file or a folder"
        assert main("p", commands, [command.name, "--help"]) == 0
        text = capsys.readouterr().out
        missing = [key for key in command.common if f"--{key} " not in text]
        assert not missing, command.name


def test_inputs_come_first(tmp_path, capsys):
    for words, key in (
        (["--data=nope"], "data"),
        (["--model", "/nope"], "model"),
        (["--model=runs/no/model"], "model"),
    ):
        assert (
            main("p", [Command("do", Settings, "no:where", "", inputs=("data",), models=("model",))], ["do", *words])
            == 2
        )
        path = words[-1].rpartition("=")[2]
        assert capsys.readouterr().err == (
            f"p do: {key}: there is no '{path}'; expected the path of an existing file or folder\n"
        )
    assert did("do", "--data", tmp_path).data == str(tmp_path)
    for name in ("general-small", "owner/name"):  # what is no path is left to the command
        assert did("do", "--model", name).model == name


def test_nothing_is_overwritten_in_silence(tmp_path, capsys):
    file, folder = tmp_path / "out.json", tmp_path / "out"
    folder.mkdir()
    assert did("do", "--out", folder).out == str(folder)
    file.write_text("x")
    (folder / "x").touch()
    for path, what in ((file, f"the file '{file}' exists"), (folder, f"the folder '{folder}' is not empty")):
        assert main("p", COMMANDS, ["do", "--out", str(path)]) == 2
        assert capsys.readouterr().err == f"p do: out: {what}; choose another, or add --overwrite\n"
        assert did("do", "--out", path, "--overwrite").out == str(path)


def test_where_nothing_can_be_written_no_work_begins(tmp_path, capsys, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    under = file / "a" / "b"
    for words, what in (
        (["--out", under], f"out: '{under}' cannot be made: '{file}' is a file; choose another path"),
        (["--table", tmp_path, "--overwrite"], f"table: '{tmp_path}' is a folder; expected the path of a file"),
        (["--figures", file, "--overwrite"], f"figures: '{file}' is a file; expected the path of a folder"),
    ):
        assert main("p", COMMANDS, ["do", *map(str, words)]) == 2
        assert capsys.readouterr().err == f"p do: {what}\n"
    assert did("do", "--figures", tmp_path).figures == str(tmp_path), "which is added to"
    new = tmp_path / "a" / "b"
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert main("p", COMMANDS, ["do", "--out", str(new)]) == 2
    assert capsys.readouterr().err == f"p do: out: the folder '{tmp_path}' is read-only; choose a path in another\n"
    assert not new.parent.exists()


def say(_: Settings) -> None:
    print("± \udcff")


def test_what_a_terminal_cannot_show_ends_no_command(monkeypatch):
    for encoding, shown in (("ascii", rb"\xb1 \udcff"), ("utf-8", "± \\udcff".encode())):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
        assert main("p", [Command("say", Settings, f"{__name__}:say", "Say it.")], ["say"]) == 0
        assert written.getvalue() == shown + b"\n"


def test_closed_streams_end_no_command(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main("p", [Command("say", Settings, f"{__name__}:say", "Say it.")], ["say"]) == 0
    assert main("p", COMMANDS, ["don't"]) == 2
    sys.stdout.close()
    sys.stderr.close()


def no_reader(_: Settings) -> None:
    raise BrokenPipeError


def test_a_reader_that_had_enough_ends_a_command_quietly(monkeypatch, capsys):
    output = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", output)
    assert main("p", [Command("say", Settings, f"{__name__}:no_reader", "Say it.")], ["say"]) == 141
    assert output.closed
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["classify", "--support=/nope", "--query=x"], ["compare", "--data=/nope"]])
def test_a_path_that_is_not_there_costs_no_torch(words):
    code = (
        "import sys; from fewshot_film.cli import run; "
        f"sys.argv[1:] = {words}; status = run(); assert 'torch' not in sys.modules; sys.exit(status)"
    )
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "there is no '/nope'; expected the path of an existing file or folder" in done.stderr


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_ctrl_c_stops_generate_within_seconds(workers, tmp_path):
    words = f"generate --split val --scenes 4000 --chunk 2000 --workers {workers} --out {tmp_path / 'world'}".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "clevr", *words],
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # the tests themselves may run in the background, where a shell has Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    assert "4000 of 4,000 scenes to generate" in process.stderr.readline()
    time.sleep(2.0)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 20, "a chunk takes a minute; on a busy machine a worker may still be importing"
    assert process.returncode == 130
    assert said.splitlines()[-2] == "clevr-film generate: stopping"
    assert said.splitlines()[-1] == (
        f"clevr-film generate: stopped; finished scenes are kept in {tmp_path / 'world'}, "
        "and the same command continues from there"
    )
    assert "Traceback" not in said
    deadline = time.monotonic() + 3  # multiprocessing's own helpers end when they notice that their parent has
    while _group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _group_lives(process.pid), "a process is left behind"


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
