"""A contact sheet of pictures with questions, a model's answers, and whether they are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clevr.data.reader import ClevrSplit
from clevr.data.sheet import Entry, contact_sheet
from clevr.data.table import QuestionTable
from clevr.questions.tokens import ANSWER_WORDS, ANSWERS


def answer_sheet(
    split: ClevrSplit,
    table: QuestionTable,
    predicted: NDArray[np.int64],
    *,
    pictures: int = 8,
    questions: int = 6,
) -> Image.Image:
    """Some pictures, evenly spread over those asked about, each with some questions, wrong answers first.

    Args:
        split: where the pictures are.
        table: the questions.
        predicted: position of each given answer in :data:`clevr.questions.tokens.ANSWER_WORDS`, ``(N,)``.
        pictures: how many to show.
        questions: how many to show of each.
    """
    asked = np.unique(table.image)
    places = np.linspace(0, len(asked) - 1, min(pictures, len(asked))).astype(int)
    entries = []
    for image in asked[places]:
        numbers = np.flatnonzero(table.image == image)
        right = [_is_right(int(predicted[number]), int(table.answer[number])) for number in numbers]
        shown = numbers[np.argsort(right, kind="stable")][:questions]
        entries.append(_entry(split, table, predicted, table.images[int(image)], shown))
    return contact_sheet(entries)


def _is_right(given: int, true: int) -> bool:
    """Whether an answer is the true one, or no true one is known."""
    return true < 0 or ANSWERS[true] == ANSWER_WORDS[given]


def _entry(
    split: ClevrSplit, table: QuestionTable, predicted: NDArray[np.int64], name: str, numbers: NDArray[np.int64]
) -> Entry:
    lines = [(table.texts[int(n)], _verdict(int(predicted[n]), int(table.answer[n]))) for n in numbers]
    return Entry(name, split.load_picture(name), lines)


def _verdict(given: int, true: int) -> str:
    """The answer, and the true one where it is another."""
    answer, truth = ANSWER_WORDS[given], ANSWERS[true] if true >= 0 else ""
    return answer if truth in ("", answer) else f"{answer} (wrong: {truth})"
