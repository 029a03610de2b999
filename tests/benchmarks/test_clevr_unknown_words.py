"""Questions with replaced words: what is asked of the model, and how its answers are counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clevr_unknown_words import UNKNOWN, UnknownWordsConfig, kind_of, replaced, run, summarize
from clevr.questions import execute, parse
from clevr.questions.tokens import CLEVR_VOCABULARY
from clevr.world.placement import Scenes
from tests.clevr.models import a_saved_model


def test_the_truth_is_that_of_the_question_as_it_was() -> None:
    scene = Scenes(0, "unknown words")[0]
    asked = list(replaced(scene, UnknownWordsConfig(questions=3)))
    assert [len(CLEVR_VOCABULARY.unknown_words(one.text)) for one in asked] == [1, 2] * 3
    for one in asked[::2]:
        assert set(CLEVR_VOCABULARY.unknown_words(one.text)) == {UNKNOWN[0]}
        found = set()
        for form in parse(one.text, unknown=UNKNOWN):
            try:
                found.add(execute(form.program(), scene))
            except ValueError:
                continue
        assert one.truth in found


def test_kinds_of_words() -> None:
    words = ("cubes", "Ball", "left", "shiny", "red", "material", "How", "side")
    kinds = ["a noun", "a noun", "a relation", "a value", "a value", "an attribute", "any other", "any other"]
    assert list(map(kind_of, words)) == kinds


def test_a_summary_by_hand() -> None:
    """Both right, at 0.6 and 0.8 on average; one of them, at 0.9 and 0.9, by the unknown token."""
    rows = [
        {"groups": ("a",), "truth": 0, "average": [0.6, 0.4], "unknown token": [0.9, 0.1]},
        {"groups": ("a", "b"), "truth": 1, "average": [0.2, 0.8], "unknown token": [0.9, 0.1]},
    ]
    found = summarize(rows)
    assert list(found) == ["a", "b"]
    assert found["a"]["average"]["accuracy"] == 1
    assert found["a"]["average"]["probability"] == pytest.approx(0.7)
    assert found["a"]["average"]["calibration_error"] == pytest.approx((0.4 + 0.2) / 2)
    assert found["a"]["unknown token"]["accuracy"] == 0.5
    assert found["a"]["unknown token"]["calibration_error"] == pytest.approx(0.4)
    assert found["b"]["average"]["count"] == 1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    run(UnknownWordsConfig(model=str(a_saved_model(tmp_path / "model")), scenes=1, questions=1, out=out))
    results = json.loads(out.read_text())["results"]
    assert {"one word replaced", "two words replaced", "in free wording"} < set(results)
    free = [found["average"]["count"] for name, found in results.items() if name.startswith("in free wording")]
    assert len(free) == 3
    assert sum(free) == 200
    assert np.isfinite(results["one word replaced"]["unknown token"]["calibration_error"])
    assert "in free wording, read" in capsys.readouterr().out
