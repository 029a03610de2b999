from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from clevr.answers.scores import infer_types
from clevr.data.reader import ClevrSplit
from clevr.data.table import QuestionTable
from clevr.questions.question import Question
from tests.clevr.models import a_world

KINDS = ("type", "family", "num_hops", "program_length")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> QuestionTable:
    return ClevrSplit.open(a_world(tmp_path_factory.mktemp("world"), scenes=8), "val").table()


def blank(table: QuestionTable) -> QuestionTable:
    """The same questions, as from a file without programs."""
    return dataclasses.replace(table, **{name: np.full_like(getattr(table, name), -1) for name in KINDS})


def test_kinds_are_those_of_the_programs(table: QuestionTable) -> None:
    found = infer_types(blank(table))
    for name in KINDS:
        filled = getattr(found, name) >= 0
        np.testing.assert_array_equal(getattr(found, name)[filled], getattr(table, name)[filled])
        assert filled.mean() > 0.9
    assert (found.type >= 0).all()


def test_what_the_file_says_is_kept(table: QuestionTable) -> None:
    found = infer_types(table)
    for name in KINDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name))


def test_free_english_has_no_kind() -> None:
    question = Question("Which thing would roll if I pushed it?", 0, "a.png", answer="sphere")
    found = infer_types(QuestionTable.from_questions([question]))
    assert [getattr(found, name).tolist() for name in KINDS] == [[-1]] * 4


def test_real_questions_without_programs(shared_data: Path) -> None:
    root = shared_data / "clevr-v1-sample"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    found = infer_types(ClevrSplit.open(root, "val").table())
    assert (found.type >= 0).mean() > 0.9
