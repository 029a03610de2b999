"""What the written questions are measured by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import clevr_questions
from fewshot_film.errors import InvalidValueError


def test_the_balance_of_a_few_questions(tmp_path: Path, capsys) -> None:
    out = tmp_path / "balance.json"
    clevr_questions.balance(clevr_questions.BalanceConfig(scenes=6, test_scenes=2, epochs=1, out=out))
    found = json.loads(out.read_text())["results"]
    assert found["questions"] == {"train": 60, "test": 20}
    for measure in ("common", "common_of_family", "text"):
        assert 0 <= found[measure]["overall"] <= 100


def test_what_the_grammar_reads_is_covered(tmp_path: Path, capsys) -> None:
    read, not_read = "How many red cubes are there?", "Why is the purple thing sad?"
    file = tmp_path / "questions.json"
    file.write_text(json.dumps({"questions": [{"question": read}, {"question": not_read}]}))
    out = tmp_path / "coverage.json"
    clevr_questions.coverage(clevr_questions.CoverageConfig(files=(file,), out=out))
    found = json.loads(out.read_text())["results"]
    assert found["questions_read"] == 0.5
    assert found["questions_not_read"] == [not_read]
    assert clevr_questions.shape_of(read) == "how many <color> <things> are there"


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "questions.json"
    file.write_text("[]")
    with pytest.raises(InvalidValueError, match="holds no questions"):
        clevr_questions.read_questions(file)
