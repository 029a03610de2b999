"""Settings of the loop."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from fewshot_film.errors import ConfigError
from fewshot_film.run.config import LoopConfig, defaults_of, plain
from fewshot_film.run.optimizer import learning_rate_at


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
