from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clevr.data.contact_sheet
from clevr.data.contact_sheet import SheetEntry, answer_sheet
from clevr.data.reader import ClevrSplit
from clevr.questions.tokens import ANSWER_WORDS
from tests.clevr.data.builders import a_question, write_clevr, write_json


def test_right_and_wrong_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images asked about are shown with their own questions, and a wrong answer beside the right one."""
    root = write_clevr(tmp_path, num_scenes=3)
    questions = [a_question(0), a_question(2), a_question(2, question="Is it?", answer=None, program=None)]
    write_json(root / "questions/CLEVR_val_questions.json", {"questions": questions})
    seen: list[SheetEntry] = []

    def remember(entries: list[SheetEntry]) -> Image.Image:
        seen.extend(entries)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(clevr.data.contact_sheet, "contact_sheet", remember)
    split = ClevrSplit.open(root, "val")
    given = np.array([ANSWER_WORDS.index(word) for word in ("1", "2", "yes")])
    answer_sheet(split, split.table(), given, images=5)
    assert [entry.title for entry in seen] == ["CLEVR_val_000000.png", "CLEVR_val_000002.png"]
    asked = "How many red things are there?"
    assert seen[0].questions == [(asked, "1")]
    assert seen[1].questions == [(asked, "2 (wrong: 1)"), ("Is it?", "yes")]


def test_wrong_answers_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_clevr(tmp_path)
    write_json(root / "questions/CLEVR_val_questions.json", {"questions": [a_question(0) for _ in range(4)]})
    seen: list[SheetEntry] = []
    monkeypatch.setattr(
        clevr.data.contact_sheet, "contact_sheet", lambda entries: seen.extend(entries) or Image.new("RGB", (1, 1))
    )
    split = ClevrSplit.open(root, "val")
    given = np.array([ANSWER_WORDS.index(word) for word in ("1", "1", "2", "3")])
    answer_sheet(split, split.table(), given, questions=2)
    assert [answer for _, answer in seen[0].questions] == ["2 (wrong: 1)", "3 (wrong: 1)"]


def test_it_is_a_picture(tmp_path: Path) -> None:
    split = ClevrSplit.open(write_clevr(tmp_path), "val")
    sheet = answer_sheet(split, split.table(), np.array([0, 1]))
    assert sheet.width > 600
    assert sheet.height > 200
