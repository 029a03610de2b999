"""The command line that every program of this project shares."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fewshot_film.errors import UserError
from fewshot_film.run.command import Command, main, sparing_modules
from fewshot_film.run.settings import LoopConfig
from tests.conftest import CHECKOUT


@dataclass(frozen=True)
class Nested:
    """Inner settings."""

    rate: float = 0.5
    """How fast."""
    mode: str | None = None
    """Any mode."""


@dataclass(frozen=True)
class Settings:
    """Settings of the example."""

    picture: Path
    """The image to look at."""
    question: str = "what?"
    """What to ask."""
    blocks: tuple[int, ...] = (1, 2)
    """Blocks of the network."""
    inner: Nested = field(default_factory=Nested)
    """Inner settings."""
    resume: bool = False
    """Go on."""
    table: dict[str, int] = field(default_factory=dict)
    """Anything by name."""
    warmup: LoopConfig | None = None
    """A group that may be null."""


seen: list[Settings] = []


def remember(config: Settings) -> None:
    seen.append(config)


def status_seven(config: Settings) -> int:
    return 7


def user_error(config: Settings) -> None:
    raise UserError("the image is upside down; turn it")


def value_error(config: Settings) -> None:
    raise ValueError("not one of ours")


def no_file(config: Settings) -> None:
    Path("/nowhere/at/all").read_text()


def interrupted(config: Settings) -> None:
    raise KeyboardInterrupt


HERE = "tests.run.test_command"
COMMANDS = [
    Command(
        "ask", f"{HERE}:Settings", f"{HERE}:remember", "Ask about an image.",
        ("show ask cat.png 'what is it?'", "show ask --picture cat.png --resume"), ("picture", "question"),
    ),
    *(
        Command(name, Settings, f"{HERE}:{name}", f"Ends with {name}.", positionals=("picture",))
        for name in ("status_seven", "user_error", "value_error", "no_file", "interrupted")
    ),
]  # fmt: skip


def asked(*words: str) -> Settings:
    """The configuration that a command line leads to."""
    seen.clear()
    assert main("show", COMMANDS, ["ask", *words]) == 0
    return seen[0]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The message with which a command line is refused."""
    assert main("show", COMMANDS, words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    return output.err.strip()


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "settings.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_defaults_and_flags():
    assert asked("--picture", "a.png") == Settings(Path("a.png"))
    assert asked("--picture=a.png", "--inner.rate", "1e-3", "--blocks", "[3]") == Settings(
        Path("a.png"), inner=Nested(rate=0.001), blocks=(3,)
    )


def test_by_place():
    assert asked("a.png", "how many?", "--resume") == Settings(Path("a.png"), "how many?", resume=True)
    assert asked("a.png", "--question=--odd one") == Settings(Path("a.png"), "--odd one")


@pytest.mark.parametrize(
    ("words", "value"), [(["--resume"], True), (["--resume", "false"], False), (["--resume=true"], True)]
)
def test_switches_need_no_value(words, value):
    assert asked("a.png", *words).resume is value
    assert asked("a.png", *words, "--question", "x").question == "x"


def test_yaml_numbers(file):
    """PyYAML alone reads 1e-3 as text."""
    config = asked("--config", file("picture: a.png\ninner:\n  rate: 1e-3\nblocks: [1, 2, 3]\ntable: {x: 1}\n"))
    assert config == Settings(Path("a.png"), inner=Nested(rate=0.001), blocks=(1, 2, 3), table={"x": 1})
    assert isinstance(config.inner.rate, float)


@pytest.mark.parametrize("flag_first", [True, False])
def test_flags_beat_the_file_wherever_they_stand(flag_first, file):
    words = ["--inner.rate=2"], ["--config", file("picture: a.png\ninner: {rate: 1, mode: x}\nquestion: y\n")]
    config = asked(*(words[0] + words[1] if flag_first else words[1] + words[0]))
    assert config == Settings(Path("a.png"), "y", inner=Nested(2.0, "x"))


def test_a_later_file_beats_an_earlier_one(file, tmp_path):
    later = tmp_path / "later.yaml"
    later.write_text("question: later\n")
    assert asked("--config", file("picture: a.png\nquestion: earlier"), f"--config={later}").question == "later"


def test_mistyped_flag(capsys):
    assert refused(capsys, "ask", "a.png", "--questoin", "x") == (
        "show ask: no setting --questoin (did you mean 'question'?)"
    )
    assert refused(capsys, "ask", "a.png", "--rate", "1") == "show ask: no setting --rate (did you mean 'inner.rate'?)"
    assert refused(capsys, "ask", "a.png", "--xyzzy", "1") == "show ask: no setting --xyzzy"


def test_mistyped_key(capsys, file):
    path = file("picture: a.png\ninner:\n  rote: 1\n")
    assert refused(capsys, "ask", "--config", path) == (
        f"show ask: {path}: no setting 'inner.rote' (did you mean 'inner.rate'?)"
    )
    path = file("pictrue: a.png\n")
    assert refused(capsys, "ask", "--config", path).endswith("no setting 'pictrue' (did you mean 'picture'?)")


def test_wrong_type(capsys, file):
    assert refused(capsys, "ask", "a.png", "--inner.rate", "fast") == (
        "show ask: inner.rate is fast; expected a number. See show ask --help"
    )
    path = file("picture: a.png\nresume: 3\n")
    assert refused(capsys, "ask", "--config", path) == (
        "show ask: resume is 3; expected true or false. See show ask --help"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--blocks", "3"], "blocks is 3; expected a list: [3]"),
        (["--blocks", ""], "blocks is empty; expected a list: []"),
        (["--blocks", "[a]"], "blocks is a; expected an integer"),
        (["--inner", "{rate: a}"], "inner.rate is a; expected a number"),
        (["--inner", "3"], "inner is 3; expected settings, {key: value}"),
    ],
)
def test_lists_and_groups_are_asked_for_in_plain_words(words, message, capsys):
    assert refused(capsys, "ask", "a.png", *words) == f"show ask: {message}. See show ask --help"


@pytest.mark.parametrize("text", ["question: null", "inner: null", "inner: {rate: null}"])
def test_null_where_none_may_stand(text, capsys, file):
    assert " is null; expected " in refused(capsys, "ask", "a.png", "--config", file(text))
    assert asked("a.png", "--config", file("inner: {mode: null}")).inner.mode is None


def test_a_value_out_of_range_in_a_group_that_may_be_null(capsys, file):
    message = "show ask: warmup_steps is 9; expected fewer than steps (2). See show ask --help"
    assert refused(capsys, "ask", "a.png", "--config", file("warmup: {steps: 2, warmup_steps: 9}")) == message


def test_missing_setting(capsys):
    assert "required: picture. See show ask --help" in refused(capsys, "ask")


def test_missing_value(capsys):
    assert refused(capsys, "ask", "--picture") == (
        "show ask: --picture needs a value; one that begins with -- is given as --picture=VALUE"
    )
    assert "--picture needs a value" in refused(capsys, "ask", "--picture", "--resume")


def test_one_word_too_many(capsys):
    message = "unexpected word 'c': settings are given as --key value"
    assert message in refused(capsys, "ask", "a", "b", "c")
    assert message in refused(capsys, "ask", "a", "--question", "b", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "size: 1\nother: 2\nsize: 3",
            "settings.yaml: 'size' stands there twice, again in line 3; keep one of the two",
        ),
        ("inner: [1", "is not YAML: while parsing a flow sequence"),
        ("- 1\n- 2\n", "holds no settings; expected lines of the form 'key: value'"),
        ("", "holds no settings"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_bad_files(text, message, capsys, file):
    assert message in refused(capsys, "ask", "--config", file(text))


def test_binary_file(capsys, tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    assert "is not YAML" in refused(capsys, "ask", "--config", str(path))


def test_no_such_file(capsys):
    assert "no configuration file nope.yaml; expected the path of a YAML" in refused(
        capsys, "ask", "--config=nope.yaml"
    )


def test_unknown_command(capsys):
    assert refused(capsys, "aks") == (
        "show aks: no command 'aks' (did you mean 'ask'?); there are: "
        "ask, status_seven, user_error, value_error, no_file, interrupted. See show --help"
    )


def test_value_out_of_range(capsys):
    commands = [Command("train", LoopConfig, f"{HERE}:remember", "Train.")]
    assert main("show", commands, ["train", "--steps", "0"]) == 2
    assert capsys.readouterr().err == "show train: steps is 0; expected at least 1\n"


def test_help_of_a_command(capsys):
    assert main("show", COMMANDS, ["ask", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: show ask PICTURE [QUESTION] [--config FILE.yaml] [--key value ...]")
    assert "Ask about an image." in text
    assert "The image to look at." in text
    assert "settings:\n  --picture PICTURE" in text
    words = " ".join(text.split())
    assert "The image to look at. (may be given by place, required)" in words
    assert "How fast. (number, default: 0.5)" in words
    assert "Go on. (or just --resume, default: false)" in words
    assert "Blocks of the network. (list of integers, default: [1,2])" in words
    assert "Any mode. (default: null)" in words
    assert "or the name of a shipped one" not in text, "no example names one"
    assert "examples:\n  show ask cat.png 'what is it?'\n  show ask --picture cat.png --resume" in text
    assert main("show", COMMANDS, ["ask", "-h"]) == 0
    assert capsys.readouterr().out == text


def test_help_of_the_program(capsys):
    assert main("show", COMMANDS, ["--help"]) == 0
    text = capsys.readouterr().out
    assert "  ask           Ask about an image." in text
    assert "examples:\n  show ask cat.png 'what is it?'\n" in text
    assert main("show", COMMANDS, []) == 2
    assert capsys.readouterr().out == text


def test_print_config_can_be_read_again(capsys, file):
    assert main("show", COMMANDS, ["ask", "a.png", "--inner.rate=3", "--print_config"]) == 0
    assert asked("--config", file(capsys.readouterr().out)) == Settings(Path("a.png"), inner=Nested(3.0))


def test_status_of_the_command():
    assert main("show", COMMANDS, ["status_seven", "a"]) == 7


def test_errors_for_the_user(capsys):
    assert refused(capsys, "user_error", "a") == "show user_error: the image is upside down; turn it"
    assert "No such file or directory: '/nowhere/at/all'" in refused(capsys, "no_file", "a")


def test_interrupted(capsys):
    assert main("show", COMMANDS, ["interrupted", "a"]) == 130
    assert capsys.readouterr().err == "show interrupted: stopped\n"


def test_faults_keep_their_traceback():
    with pytest.raises(ValueError, match="not one of ours"):
        main("show", COMMANDS, ["value_error", "a"])


def test_help_does_without_torch():
    code = (
        "import sys; from fewshot_film.run.command import Command, main; "
        "commands = [Command('train', 'fewshot_film.run.settings:LoopConfig', 'no:where', 'Train.')]; "
        "main('p', commands, ['train', '-h']); "
        "heavy = {'torch', 'numpy', 'matplotlib', 'torchvision', 'lightning_fabric'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--learning_rate" in done.stdout


def test_no_garbage_is_looked_for_while_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = gc.get_freeze_count()
    with sparing_modules():  # it is there: nothing changes
        assert gc.isenabled() or "torch" not in sys.modules
    if "torch" in sys.modules:
        assert gc.get_freeze_count() == frozen
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    try:
        with sparing_modules():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
        with pytest.raises(ImportError), sparing_modules():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
