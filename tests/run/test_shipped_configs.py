"""Configuration files by name, as they come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_film.cli import COMMANDS
from fewshot_film.run import parsing
from fewshot_film.run.command import main
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.parsing import find_config
from tests.conftest import CHECKOUT


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
    with pytest.raises(ConfigError, match=r"file clevr; .* comes with the package: clevr/film-features, clevr/"):
        find_config("clevr")
    with pytest.raises(ConfigError, match=r"comes with the package: cifar-fs/pretrain-longer, .*, omniglot/train"):
        find_config("qqqq")


def test_a_command_reads_one_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("fewshot-film", COMMANDS, ["pretrain", "--config", "glyphs/pretrain", "--print_config"]) == 0
    assert "source: glyphs" in capsys.readouterr().out
