"""Settings that come in kinds, told apart by a key of their own, and configuration files by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from fewshot_film.cli import COMMANDS
from fewshot_film.errors import ConfigError
from fewshot_film.run import parsing
from fewshot_film.run.command import main
from fewshot_film.run.parsing import find_config, parse
from tests.conftest import CHECKOUT


@dataclass(frozen=True)
class Inner:
    """Inner settings."""

    width: int = 3
    """How wide."""


@dataclass(frozen=True)
class Base:
    """What every shape has."""

    kind: str = ""
    """Which."""
    inner: Inner = field(default_factory=Inner)
    """Inner settings."""


@dataclass(frozen=True)
class Round(Base):
    """A round one."""

    kind: Literal["round"] = "round"
    """Which."""
    radius: float = 1.0
    """From the middle to the rim."""


@dataclass(frozen=True)
class Square(Base):
    """A square one."""

    kind: Literal["square"] = "square"
    """Which."""
    side: float = 2.0
    """Of the four."""


@dataclass(frozen=True)
class Drawing:
    """A drawing."""

    shape: Round | Square = field(default_factory=Round)
    """What is drawn."""
    times: int = 1
    """How often."""


def read(*words: str) -> Drawing:
    return parse("draw", Drawing, words)


def write(path, text: str) -> str:
    path.write_text(text)
    return f"--config={path}"


def test_default_kind():
    assert read() == Drawing(Round())
    assert read("--shape.radius=3", "--times=2") == Drawing(Round(radius=3.0), 2)


@pytest.mark.parametrize("words", [["--shape.kind", "square"], ["--shape.kind=square"]])
def test_flag_chooses(words):
    assert read("--shape.side=5", *words, "--shape.inner.width=7") == Drawing(Square(side=5.0, inner=Inner(7)))
    assert read("--shape.kind=square", "--shape.kind=round") == Drawing(Round())


def test_file_chooses_and_flag_beats_it(tmp_path):
    file = write(tmp_path / "a.yaml", "shape: {kind: square, inner: {width: 5}}")
    assert read(file) == Drawing(Square(inner=Inner(5)))
    assert read(file, "--shape.kind=round") == Drawing(Round(inner=Inner(5)))
    later = write(tmp_path / "b.yaml", "shape: {kind: round, radius: 8}")
    assert read(file, later) == Drawing(Round(radius=8.0, inner=Inner(5)))


def test_keys_of_another_kind_do_not_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"no setting --shape\.side"):
        read("--shape.side=5")
    with pytest.raises(ConfigError, match=r"a\.yaml: no setting 'shape\.radius'"):
        read(write(tmp_path / "a.yaml", "shape: {kind: square, radius: 5}"))
    with pytest.raises(ConfigError, match=r"no setting --shape\.sid \(did you mean 'shape\.side'\?\)"):
        read("--shape.kind=square", "--shape.sid=5")


def test_unknown_kind(tmp_path):
    with pytest.raises(ConfigError, match=r"shape\.kind is rund \(did you mean 'round'\?\); expected one of round, sq"):
        read("--shape.kind=rund")
    with pytest.raises(ConfigError, match=r"shape\.kind is 7; expected one of round, square"):
        read(write(tmp_path / "a.yaml", "shape: {kind: 7}"))


def test_help_shows_the_chosen_kind(capsys):
    with pytest.raises(SystemExit):
        read("--shape.kind=square", "--help")
    text = capsys.readouterr().out
    assert "--shape.kind {round,square}" in text
    assert "shown by --shape.kind NAME --help shape." in " ".join(text.split())
    assert "Of the four." in text
    assert "From the middle" not in text


def test_print_config_can_be_read_again(tmp_path, capsys):
    with pytest.raises(SystemExit):
        read("--shape.kind=square", "--shape.side=9", "--print_config")
    assert read(write(tmp_path / "a.yaml", capsys.readouterr().out)) == Drawing(Square(side=9.0))


@pytest.mark.parametrize("name", ["glyphs/pretrain", "glyphs/pretrain.yaml", "configs/glyphs/pretrain.yaml"])
def test_a_name_is_found_from_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == CHECKOUT / "configs" / "glyphs" / "pretrain.yaml"


def test_a_file_that_is_there_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glyphs").mkdir()
    (tmp_path / "glyphs" / "pretrain").touch()
    assert find_config("glyphs/pretrain") == Path("glyphs/pretrain")


def test_installed_ones_come_before_those_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.yaml").touch()
    monkeypatch.setattr(parsing, "CONFIG_FOLDERS", (tmp_path, *parsing.CONFIG_FOLDERS))
    assert find_config("mine/train") == tmp_path / "mine" / "train.yaml"


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"file glyph/pretrian \(did you mean 'glyphs/pretrain'\?\); expected"):
        find_config("glyph/pretrian")
    with pytest.raises(
        ConfigError, match=r"file clevr; .* comes with the package: clevr/answers-alone, clevr/film-features, clevr/"
    ):
        find_config("clevr")
    with pytest.raises(ConfigError, match=r"comes with the package: cifar-fs/pretrain-longer, .*, omniglot/train"):
        find_config("qqqq")


def test_a_command_reads_one_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("fewshot-film", COMMANDS, ["pretrain", "--config", "glyphs/pretrain", "--print_config"]) == 0
    assert "source: glyphs" in capsys.readouterr().out
