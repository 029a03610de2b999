"""Keys of earlier versions: read from flags, files and saved settings, with a line that names the present ones."""

from __future__ import annotations

import importlib
import json
import logging
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pytest

from clevr.config.model import AugmentationConfig
from clevr.config.model import TrainConfig as ClevrTrainConfig
from clevr.inputs import model_folder
from fewshot_film.config.commands import TrainConfig as FewShotTrainConfig
from fewshot_film.errors import CheckpointError, ConfigError
from fewshot_film.run import old_keys
from fewshot_film.run.loop import train
from fewshot_film.run.model_folder import read_config
from fewshot_film.run.old_keys import OLD_KEYS, OldKey, current, current_key
from fewshot_film.run.parsing import parse
from fewshot_film.run.settings import LoopConfig, Settings
from tests.config.test_ranges import every_settings_class
from tests.run.toy import ToyBatches, make_toy

PRETRAINED = Path(old_keys.__file__).parents[1] / "pretrained"


@dataclass(frozen=True)
class Brush(Settings):
    """What every brush has."""

    breadth: int = 1
    """How wide."""


@dataclass(frozen=True)
class Flat(Brush):
    """One kind."""

    kind: Literal["flat"] = "flat"
    """Its name."""


@dataclass(frozen=True)
class Round(Brush):
    """Another kind."""

    kind: Literal["round"] = "round"
    """Its name."""
    tones: tuple[float, ...] = (0.5,)
    """How dark."""


@dataclass(frozen=True)
class Varnish(Settings):
    """A group that may be left out."""

    coats: int = 1
    """How many."""


@dataclass(frozen=True)
class Painting(Settings):
    """The settings of a command."""

    brush: Flat | Round = field(default_factory=Flat)
    """With what."""
    varnish: Varnish | None = None
    """What comes last."""
    rate: float = 0.1
    """How fast."""


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of these tests, beside the real one."""
    entries = (
        OldKey("tests.Brush", "width", "breadth", "0.2"),
        OldKey("tests.Round", "darkness", "tones", "0.3"),
        OldKey("tests.Varnish", "layers", "coats", "0.2"),
        OldKey("tests.Painting", "finish", "varnish", "0.2"),
        OldKey("tests.Painting", "pace", "rate", "0.2"),
        OldKey("tests.Painting", "hands", "", "0.2", only=(1, 2)),
    )
    monkeypatch.setattr(old_keys, "OLD_KEYS", (*OLD_KEYS, *entries))


def test_settings_under_their_present_names() -> None:
    lines: list[str] = []
    old = {
        "brush": {"kind": "round", "width": 3, "darkness": [1]},
        "finish": {"layers": 2},
        "pace": 0.5,
        "hands": [1, 2],
        "other": {"width": 1},
    }
    assert current(Painting, old, lines.append) == {
        "brush": {"kind": "round", "breadth": 3, "tones": [1]},
        "varnish": {"coats": 2},
        "rate": 0.5,
        "other": {"width": 1},
    }
    assert lines[0] == (
        "brush.width is called brush.breadth since version 0.2; use the new name, as flags and configuration files "
        "lose the old one with version 1.0"
    )
    assert [line.partition(";")[0] for line in lines[1:]] == [
        "brush.darkness is called brush.tones since version 0.3",
        "finish is called varnish since version 0.2",
        "varnish.layers is called varnish.coats since version 0.2",
        "pace is called rate since version 0.2",
        "hands is always [1, 2] since version 0.2",
    ]


def test_present_settings_stay_as_they_are() -> None:
    present = {"brush": {"kind": "flat", "breadth": 3}, "varnish": None, "rate": 1}
    lines: list[str] = []
    assert current(Painting, present, lines.append) == present
    assert not lines


def test_a_setting_under_both_names() -> None:
    with pytest.raises(ConfigError, match=r"brush.width and brush.breadth are the same setting; leave brush.width out"):
        current(Painting, {"brush": {"width": 1, "breadth": 1}})


def test_a_setting_that_is_gone() -> None:
    with pytest.raises(ConfigError, match=r"hands is \[3\], and is always \[1, 2\] since version 0.2; leave it out"):
        current(Painting, {"hands": [3]})
    with pytest.raises(ConfigError, match=r"hands is always \[1, 2\] since version 0.2; leave it out"):
        current_key(Painting, "hands", lambda line: None)


def read(*words: str) -> Any:
    return parse("paint", Painting, words)


def test_flags(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read("--brush.kind=round", "--brush.width", "3", "--pace=2") == Painting(Round(breadth=3), rate=2)
    assert [record.getMessage().partition(" since")[0] for record in caplog.records] == [
        "the command line: brush.width is called brush.breadth",
        "the command line: pace is called rate",
    ]
    assert read("--finish", "{layers: 3}") == Painting(varnish=Varnish(3))
    assert read("--varnish={coats: 3}") == Painting(varnish=Varnish(3))
    with pytest.raises(ConfigError, match=r"varnish.*Given value: \{coats"):
        read("--varnish={coats")
    with pytest.raises(ConfigError, match="hands is always"):
        read("--hands=[1,2]")
    with pytest.raises(ConfigError, match=r"no setting --brush.tones"):
        read("--brush.darkness=[1]")  # of the other kind


def test_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("brush: {kind: round, darkness: [1, 2e-1]}\nfinish: {layers: 2}\npace: 1e-3\nhands: [1, 2]\n")
    expected = Painting(Round(tones=(1.0, 0.2)), Varnish(2), 1e-3)
    with caplog.at_level(logging.WARNING):
        assert read(f"--config={file}") == expected
    assert all(record.getMessage().startswith(f"{file}: ") for record in caplog.records)
    assert len(caplog.records) == 5
    assert read(f"--config={file}", "--pace=4").rate == 4


def test_a_run_that_an_earlier_version_began_is_resumed(tmp_path: Path) -> None:
    loop = LoopConfig(steps=2)
    before = {"brush": {"kind": "flat", "width": 1}, "finish": None, "pace": 0.1, "hands": [1, 2]}
    train(make_toy(), ToyBatches(), loop, run_dir=tmp_path, config=before)
    longer = LoopConfig(steps=3)
    with pytest.raises(CheckpointError, match=r"brush.breadth: 1 -> 2.*rate: 0.1 -> 0.2"):
        train(make_toy(), ToyBatches(), longer, run_dir=tmp_path, config=Painting(Flat(2), rate=0.2), resume=True)
    assert train(make_toy(), ToyBatches(), longer, run_dir=tmp_path, config=Painting(), resume=True).step == 3


def test_what_the_shipped_models_say_of_their_training_is_still_read(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(read_config(PRETRAINED / "general-small")["config"]["training"]["settings"]))
    few = parse("train", FewShotTrainConfig, [f"--config={file}"])
    assert (few.learner.backbone.feature_norms, few.learner.init_std) == ((2.0, 3.0, 4.0), 0.001)
    file.write_text(json.dumps(read_config(model_folder("clevr-small"))["config"]["settings"]))
    clevr = parse("train", ClevrTrainConfig, [f"--config={file}"])
    assert clevr.augmentation == AugmentationConfig(0.1, 0.5, 2.0)
    assert clevr.trunk_pretraining.images == clevr.data.images == 32
    assert (clevr.trace_weight, clevr.program_weight) == (1.0, 1.0)


@pytest.mark.parametrize("old", OLD_KEYS, ids=[f"{old.owner}.{old.name}" for old in OLD_KEYS])
def test_entries_name_settings_that_there_are(old: OldKey) -> None:
    importlib.import_module("clevr.config")
    owners = [
        each for each in every_settings_class() if f"{each.__module__.partition('.')[0]}.{each.__name__}" == old.owner
    ]
    assert len(owners) == 1
    names = {entry.name for entry in fields(owners[0])}
    assert old.name not in names
    assert not old.now or old.now in names
