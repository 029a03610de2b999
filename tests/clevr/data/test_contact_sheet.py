from __future__ import annotations

import numpy as np
from PIL import Image

from clevr.data.contact_sheet import ANSWER_INK, BACKGROUND, GAP, SheetEntry, contact_sheet

RED = (255, 0, 0)


def an_entry(*questions: tuple[str, str]) -> SheetEntry:
    return SheetEntry("title", Image.new("RGB", (30, 20), RED), list(questions))


def count(sheet: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == color).all(-1).sum())


def test_pictures_lie_in_rows() -> None:
    sheet = contact_sheet([an_entry() for _ in range(3)], columns=2, width=60)
    assert sheet.width == 2 * (60 + GAP) + GAP
    assert count(sheet, RED) == 3 * 60 * 40
    assert sheet.getpixel((0, 0)) == BACKGROUND
    assert sheet.getpixel((GAP, GAP)) == sheet.getpixel((GAP + 60 + GAP, GAP)) == RED


def test_answers_are_written_in_their_own_colour() -> None:
    with_answer, without = (contact_sheet([an_entry(("What?", answer))], width=200) for answer in ("yes", ""))
    assert count(with_answer, ANSWER_INK) > 0
    assert count(without, ANSWER_INK) == 0


def test_long_questions_are_wrapped_and_nothing_is_cut_off() -> None:
    text = "There is a big red metal cube that is left of the tiny ball; what is its size?"
    short, long = (contact_sheet([an_entry((words, "large"))], width=150) for words in ("What?", text))
    assert long.height > short.height + 30
    pixels = np.asarray(long)
    assert (pixels[:, -GAP:] == BACKGROUND).all()
    assert (pixels[-GAP:] == BACKGROUND).all()


def test_an_answer_that_does_not_fit_behind_the_question_gets_a_line_of_its_own() -> None:
    text = "Is there a ball of metal?"
    sheets = [contact_sheet([an_entry((text, answer))], width=165) for answer in ("no", "a very long answer")]
    assert sheets[1].height > sheets[0].height
    assert (np.asarray(sheets[1])[:, -GAP:] == BACKGROUND).all()
