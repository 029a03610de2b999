from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.data import table as table_module
from clevr.data.records import parse_question
from clevr.data.table import QuestionTable, Texts
from clevr.questions.programs import QUESTION_TYPES
from clevr.questions.tokens import ANSWERS
from tests.clevr.data.builders import a_question, without


@pytest.fixture
def table() -> QuestionTable:
    bare = without(a_question(7), "answer", "program", "question_family_index")
    records = [a_question(5), a_question(7, answer="3", question="Café?"), bare]
    return QuestionTable.from_questions(map(parse_question, records))


@settings(deadline=None)
@given(st.lists(st.text()))
def test_texts_are_kept(texts: list[str]) -> None:
    packed = Texts.pack(iter(texts))
    assert list(packed) == texts
    assert packed[:] == texts
    assert packed[1:3] == texts[1:3]


def test_texts_end() -> None:
    packed = Texts.pack(["a", "b"])
    assert packed[-1] == "b"
    with pytest.raises(IndexError):
        packed[2]


def test_columns(table: QuestionTable) -> None:
    assert len(table) == 3
    assert list(table.texts) == ["How many red things are there?", "Café?", "How many red things are there?"]
    assert list(table.images) == ["CLEVR_val_000005.png", "CLEVR_val_000007.png"]
    assert table.image.tolist() == [0, 1, 1]
    assert table.image_index.tolist() == [5, 7, 7]
    assert table.question_index.tolist() == [50, 70, 70]
    assert table.answer.tolist() == [ANSWERS.index("1"), ANSWERS.index("3"), -1]
    assert table.type.tolist() == [QUESTION_TYPES.index("count")] * 2 + [-1]
    assert table.family.tolist() == [84, 84, -1]
    assert table.program_length.tolist() == [3, 3, -1]
    assert table.num_hops.tolist() == [0, 0, -1]


def test_an_empty_table() -> None:
    assert len(QuestionTable.from_questions([])) == 0


def same(one: QuestionTable, other: QuestionTable) -> bool:
    columns = [
        pickle.dumps([np.asarray(list(v)) for name, v in vars(table).items() if name != "world"])
        for table in (one, other)
    ]
    return columns[0] == columns[1] and one.world == other.world


def test_saved_and_loaded(table: QuestionTable, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "val.npz"
    table.save(path, "a signature")
    loaded = QuestionTable.load(path, "a signature")
    assert loaded is not None
    assert same(loaded, table)
    assert [entry.name for entry in path.parent.iterdir()] == ["val.npz"]


def test_another_signature_or_format_is_not_loaded(
    table: QuestionTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "val.npz"
    table.save(path, "a signature")
    assert QuestionTable.load(path, "another") is None
    monkeypatch.setattr(table_module, "FORMAT", 99)
    assert QuestionTable.load(path, "a signature") is None


@pytest.mark.parametrize("keep", [0, 1, 100, -50])
def test_a_damaged_cache_is_not_loaded(table: QuestionTable, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "val.npz"
    assert QuestionTable.load(path, "s") is None
    table.save(path, "s")
    path.write_bytes(path.read_bytes()[:keep])
    assert QuestionTable.load(path, "s") is None
