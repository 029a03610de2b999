"""What a second look is worth: scores by hand, and a run on a small world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clevr_second_look import BOUNDS, SecondLookConfig, as_table, by_bound, run
from clevr.answers.predict import predict
from clevr.data.batches import load_reasoning_data
from tests.clevr.models import a_reasoner, a_saved_model, a_world


def test_scores_by_hand() -> None:
    first = np.array([[0.85, 0.15], [0.05, 0.95], [0.0, 1.0]], np.float32)
    four = np.array([[0.3, 0.7], [0.9, 0.1], [0.8, 0.2]], np.float32)
    found = by_bound(first, four, np.array([1, 1, 1]))
    assert list(found) == ["0", "0.9", "0.98", "0.99", "0.995", "0.999", "1"]
    assert [(row["right"], round(row["again"], 3)) for row in found.values()] == [
        (2, 0.0), (3, 0.333), (2, 0.667), (2, 0.667), (2, 0.667), (2, 0.667), (2, 0.667),
    ]  # fmt: skip
    assert found["0"]["calibration_error"] == pytest.approx((0.85 + 0.05 + 0) / 3, abs=1e-6)
    line = as_table(found).splitlines()[3]
    assert line.startswith("| 0.9 | 33.3 | 100.00 (43.85 to 100.00) | ")


def test_on_a_small_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, reasoner = a_world(tmp_path / "world"), a_reasoner()
    out = tmp_path / "a.json"
    run(SecondLookConfig(world, model=str(a_saved_model(tmp_path / "model")), out=out))
    results = json.loads(out.read_text())["results"]
    assert as_table(results) in capsys.readouterr().out
    data = load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)
    for bound in BOUNDS:
        answers = predict(reasoner, data, sure=bound).answers
        assert results[f"{bound:g}"]["right"] == int((answers == data.table.answer - 4).sum())
        assert results[f"{bound:g}"]["count"] == len(data)
