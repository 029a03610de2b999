"""Result files, and the environment that they record."""

from __future__ import annotations

import importlib.machinery
import json
import math
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.errors import ConfigError
from fewshot_film.run.results import (
    command_line,
    earlier_results,
    environment,
    mean_and_interval,
    paired_difference,
    summary,
    write_result,
)
from fewshot_film.run.student import student_quantile


def test_by_hand():
    """Student's t for three degrees of freedom is 3.1824."""
    mean, interval = mean_and_interval([1, 2, 3, 6])
    assert mean == 3
    assert interval == pytest.approx(3.182446 * math.sqrt(14 / 3) / 2, rel=1e-6)


def test_many_values_have_the_factor_that_papers_have():
    values = np.random.default_rng(0).normal(size=600)
    _, interval = mean_and_interval(values)
    assert interval == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(600), rel=3e-3)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_equals_the_standard_library(values):
    mean, interval = mean_and_interval(values)
    assert mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-9)
    expected = student_quantile(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    assert interval == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([], "0;"),
        ([1.0], "1;"),
        ([1.0, math.nan], "1, and 1 that are not;"),
        ([1.0, 2.0, math.inf], "2, and 1 that are not;"),
    ],
)
def test_too_few(values, got):
    with pytest.raises(ValueError, match=f"an interval needs at least 2 finite values, got {got} evaluate more"):
        mean_and_interval(values)


def test_paired_difference_by_hand():
    """Differences 1, 2, 3, 6: the example above, whatever the episodes have in common."""
    common = [5, -2, 0.5, 100]
    mean, interval = paired_difference([c + d for c, d in zip(common, [1, 2, 3, 6], strict=True)], common)
    assert mean == 3
    assert interval == pytest.approx(3.182446 * math.sqrt(14 / 3) / 2, rel=1e-6)


def test_a_constant_lead_is_certain():
    mean, interval = paired_difference([0.25, 0.75, 0.5], [0.125, 0.625, 0.375])
    assert (mean, interval) == (0.125, 0)


def test_no_pairs():
    with pytest.raises(ValueError, match="3 and 2 values cannot be paired; give both for the same episodes"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="an interval needs at least 2 finite values, got 1"):
        paired_difference([1], [2])


def test_a_result_file(tmp_path):
    path = tmp_path / "results" / "omniglot.json"
    write_result(path, config={"way": 5}, seed=3, results={"accuracy": summary([0.5, 0.75])})
    found = json.loads(path.read_text())
    assert found["results"]["accuracy"]["values"] == [0.5, 0.75]
    assert found["results"]["accuracy"]["count"] == 2
    assert found["config"] == {"way": 5}
    assert found["seed"] == 3
    assert {"command", "commit", "versions", "hardware", "python"} <= found.keys()


def test_paths_below_the_working_directory_are_told_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"out": tmp_path / "a" / "b.json", "also": [str(tmp_path / "c")], "other": Path("/elsewhere/d")}
    write_result(tmp_path / "result.json", config=settings, seed=0, results={})
    found = json.loads((tmp_path / "result.json").read_text())["config"]
    assert found == {"out": "a/b.json", "also": ["c"], "other": "/elsewhere/d"}


def test_an_earlier_result_is_gone_on_from_where_what_decides_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "result.json"
    settings = {"seed": 1, "model": tmp_path / "runs/model", "device": "cpu"}
    assert earlier_results(path, settings, ("seed",)) == {}
    write_result(path, config=settings, seed=1, results={"rows": [0.5]})
    assert earlier_results(path, settings, settings) == {"rows": [0.5]}
    assert earlier_results(path, {**settings, "device": "cuda"}, ("seed", "model")) == {"rows": [0.5]}
    message = r"result\.json was made with different settings: seed is 1 there and 2 here\. Give the same ones"
    with pytest.raises(ConfigError, match=message):
        earlier_results(path, {**settings, "seed": 2}, settings)


def test_environment():
    found = environment()
    assert found["versions"]["torch"] == torch.__version__.split("+")[0]
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["memory_gib"] > 0
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("fewshot_film.__main__", ["python", "-m", "fewshot_film", "train"]),
        ("benchmarks.experiment", ["python", "-m", "benchmarks.experiment", "train"]),
        (None, ["fewshot-film", "train"]),
    ],
)
def test_the_command_is_written_as_it_is_typed(module, expected, monkeypatch):
    spec = None if module is None else importlib.machinery.ModuleSpec(module, None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/some/where/fewshot-film", "train"])
    assert command_line() == expected


def test_versions_and_hardware_are_there():
    found = environment()
    assert found["versions"]["torch"].split("+")[0].count(".") == 2
    assert found["hardware"]["cores"] >= 1
    assert found["commit"] is None or len(found["commit"].removesuffix("+changes")) == 40
