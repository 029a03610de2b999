"""Ranges in the types of settings: when they hold, what is said where they do not, and what the help shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import pytest
import yaml

from fewshot_film.errors import ConfigError
from fewshot_film.run.optimizer import learning_rate_at
from fewshot_film.run.parsing import parse
from fewshot_film.run.settings import (
    LoopConfig,
    OnDevice,
    Settings,
    above,
    at_least,
    at_most,
    below,
    between,
    defaults_of,
    matching,
    plain,
)

INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Brush(Settings, group="brush"):
    """A group of settings."""

    width: Annotated[int | None, at_least(1)] = None
    """How wide."""
    tones: Annotated[tuple[float, ...], between(0, 1)] = (0.5,)
    """How dark."""
    hairs: Annotated[tuple[int, ...], at_least(1, may_be_empty=True)] = ()
    """How many in each tuft."""


@dataclass(frozen=True)
class FlatBrush(Brush):
    """A group of the same name with a further setting, and another range for one."""

    width: Annotated[int | None, at_least(5)] = None
    """How wide."""
    name: Annotated[str, matching("[a-z]+", "small letters")] = "flat"
    """What it is called."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("name", self.name != "round" or self.width is None, "another name for a brush with a width")


@dataclass(frozen=True)
class Painting(OnDevice):
    """The settings of a command."""

    out: str
    """Where to."""
    strokes: Annotated[int, at_least(1)] = 3
    """How many."""
    brush: FlatBrush = field(default_factory=FlatBrush)
    """With what."""


@pytest.mark.parametrize(
    ("each", "good", "bad", "expected"),
    [
        (at_least(1), (1, 2.5, 10**9), (0, 0.99, INF, NAN), "at least 1"),
        (above(0), (1e-9, 7), (0, -1, INF, NAN), "above 0"),
        (below(1), (0.99, -7), (1, INF, NAN), "below 1"),
        (at_most(2), (2, -7), (3, INF, NAN), "at most 2"),
        (between(0, 1), (0, 0.5, 1), (-0.1, 1.1, INF, NAN), "a number from 0 to 1"),
        (matching("a+", "a or more"), ("a", "aaa"), ("", "ab", "ba", "a\n"), "a or more"),
    ],
)
def test_ranges(each, good, bad, expected):
    assert all(map(each.admits, (*good, None, tuple(good))))
    assert not any(map(each.admits, (*bad, (), (*good, bad[0]))))
    assert each.expected == expected


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Brush, {"width": 0}, "brush.width is 0; expected at least 1"),
        (Brush, {"tones": ()}, "brush.tones is []; expected a number from 0 to 1"),
        (Brush, {"tones": (0.5, 2.0)}, "brush.tones is [0.5, 2.0]; expected a number from 0 to 1"),
        (FlatBrush, {"width": 4}, "brush.width is 4; expected at least 5"),
        (FlatBrush, {"name": ""}, "brush.name is ''; expected small letters"),
        (FlatBrush, {"name": "two words"}, "brush.name is 'two words'; expected small letters"),
        (
            FlatBrush,
            {"name": "round", "width": 5},
            "brush.name is round; expected another name for a brush with a width",
        ),
        (Painting, {"out": "x", "strokes": 0}, "strokes is 0; expected at least 1"),
    ],
)
def test_values_out_of_range(kind, values, message):
    with pytest.raises(ConfigError) as caught:
        kind(**values)
    assert str(caught.value) == message


def test_values_in_range():
    assert Brush(width=1, tones=(0, 1), hairs=(1,)) == Brush(1, (0, 1), (1,))
    assert Painting("x").device == "auto"


def test_flags_are_checked():
    assert parse("paint", Painting, ["--out=x", "--brush.width=7"]).brush.width == 7
    with pytest.raises(ConfigError, match=r"brush.width is 3; expected at least 5"):
        parse("paint", Painting, ["--out=x", "--brush.width=3"])


def test_help_shows_ranges(capsys):
    with pytest.raises(SystemExit):
        parse("paint", Painting, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "How many. At least 1. (integer, default: 3)" in text
    assert "How wide. At least 5." in text
    assert "How many in each tuft. At least 1." in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0; expected at least 1"),
        ({"accumulate": -1}, "accumulate is -1; expected at least 1"),
        ({"log_every": 0}, "log_every is 0; expected at least 1"),
        ({"validate_every": 0}, "validate_every is 0; expected at least 1"),
        ({"patience": 0}, "patience is 0; expected at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected above 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf; expected above 0"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; expected above 0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; expected at least 0"),
        ({"momentum": 1.0}, "momentum is 1.0; expected below 1"),
        ({"num_workers": -1}, "num_workers is -1; expected at least 0"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds is -1.0; expected at least 0"),
        ({"seed": -1}, "seed is -1; expected at least 0"),
        ({"steps": 10, "warmup_steps": 10}, r"warmup_steps is 10; expected fewer than steps \(10\)"),
        ({"cooldown_steps": -1}, "cooldown_steps is -1; expected at least 0"),
        (
            {"steps": 10, "warmup_steps": 4, "cooldown_steps": 7},
            r"cooldown_steps is 7; expected at most the steps after the warm-up \(6\)",
        ),
        ({"cooldown_steps": 3, "schedule": "cosine"}, "the cosine schedule decays by itself"),
    ],
)
def test_out_of_range(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(LoopConfig(), **change)


def test_limits_are_allowed():
    LoopConfig(steps=1, patience=1, warmup_steps=0, momentum=0.0, clip_norm=1e-9, checkpoint_seconds=0)


def test_the_learning_rate_cools_down_linearly():
    loop = LoopConfig(steps=10, learning_rate=4.0, warmup_steps=1, cooldown_steps=3)
    rates = [learning_rate_at(step, loop) for step in range(10)]
    assert rates == [2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 2.0, 1.0]


def test_defaults_of_a_configuration():
    assert defaults_of(Example) == {"sizes": [1, 2], "table": None}, "path and loop have none"
    assert defaults_of(LoopConfig) == plain(LoopConfig())


@dataclass(frozen=True)
class Example:
    path: Path
    loop: LoopConfig
    sizes: tuple[int, ...] = (1, 2)
    table: dict | None = None


def test_plain_goes_through_json_and_yaml():
    found = plain(Example(Path("a/b"), LoopConfig(), table={1: (Path("c"),)}))
    assert found["path"] == "a/b"
    assert found["sizes"] == [1, 2]
    assert found["table"] == {"1": ["c"]}
    assert found["loop"]["learning_rate"] == 1e-3
    assert json.loads(json.dumps(found)) == found == yaml.safe_load(yaml.safe_dump(found))
