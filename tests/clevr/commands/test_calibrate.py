from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from clevr.cli import COMMANDS
from clevr.commands.calibrate import training_familiarity
from clevr.config.commands import CalibrateConfig
from clevr.reasoning import load
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import main
from tests.clevr.models import a_saved_model
from tests.clevr.worlds import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"), {"train": 100, "val": 3}, questions=1)


def calibrate(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["calibrate", *map(str, words)])


def test_a_model_learns_what_its_training_images_look_like(tmp_path: Path, world: Path) -> None:
    model = a_saved_model(tmp_path / "model")
    before = load(model)
    assert before.familiarity is None
    assert calibrate(model, world) == 0
    after = load(model)
    assert after.familiarity is not None
    assert after.familiarity.aspects == pytest.approx((32 / 24, 32 / 24), abs=1e-5)
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())
    assert after.config == before.config
    written = json.loads((model / "config.json").read_text())["config"]["familiarity"]
    assert written == after.familiarity.to_json()
    found = training_familiarity(world, "train")
    assert found is not None
    assert found.to_json() == written


def test_too_few_images(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = a_saved_model(tmp_path / "model")
    assert calibrate(model, world, "--split=val") == 2
    assert "holds 3 images; expected at least 100 to calibrate on" in capsys.readouterr().err
    assert load(model).familiarity is None


def test_no_such_model_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate(tmp_path / "none", tmp_path / "no-data") == 2
    assert "no model" in capsys.readouterr().err


def test_training_goes_on_where_the_images_say_too_little(
    tmp_path: Path, world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert training_familiarity(world, "val") is None
        assert training_familiarity(tmp_path, "train") is None
    assert caplog.text.count("the model will not warn about images unlike its training images") == 2


@pytest.mark.parametrize(("setting", "value"), [("images", 99), ("seed", -1)])
def test_settings_out_of_range(tmp_path: Path, setting: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{setting} is {value}; expected at least"):
        CalibrateConfig("model", tmp_path, **{setting: value})
