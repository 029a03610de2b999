"""Free-form answers: honest ones of many forms are read, and no text is right for two answers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clevr.tasks import verify
from clevr.tasks.answer_types import LANGUAGES, intersection_over_union
from fewshot_film.errors import InvalidValueError
from tests.clevr.tasks.replies import ANSWERS, HONEST, dishonest

TRUTHS = [(answer, kind) for kind, answers in ANSWERS.items() for answer in answers]


def test_every_type_has_honest_answers():
    assert HONEST.keys() == LANGUAGES.keys() == {*ANSWERS, "box"}


@pytest.mark.parametrize(
    ("text", "answer", "kind"), [(*case, kind) for kind, cases in HONEST.items() for case in cases]
)
def test_an_honest_answer_is_read(text: str, answer: str, kind: str):
    assert verify(text, answer, kind) == 1.0


@pytest.mark.parametrize(("answer", "kind"), TRUTHS)
def test_no_point_for_hedging_listing_or_denying(answer: str, kind: str):
    texts = dishonest(answer, kind)
    assert len(set(texts)) >= 20
    assert [text for text in texts if verify(text, answer, kind)] == []


def test_no_point_for_boxes_that_are_hedged_listed_or_elsewhere():
    texts = dishonest("[100, 80, 130, 120]", "box")
    assert len(set(texts)) >= 20
    assert [text for text in texts if verify(text, "[100, 80, 130, 120]", "box") >= 0.05] == []


def test_the_score_of_a_box_is_its_overlap():
    assert verify("[0, 0, 10, 10]", "[0, 0, 10, 20]", "box") == pytest.approx(0.5)
    assert verify("(5, 0, 15, 10)", "[0, 0, 10, 10]", "box") == pytest.approx(1 / 3)
    assert intersection_over_union((0, 0, 1, 1), (0, 0, 0, 5)) == 0.0


_VOCABULARY = """
    0 1 2 3 10 -3 3.5 zero one two three none no yes not true false red blue gray cube ball large tiny metal first
    second left right image or and but maybe neither is it the answer Answer: there are so at least more than wrong
    <answer> </answer> <think> </think> \\boxed{ } . , ; ? ! : = + / [ ] ( )
"""
WORDS = [*_VOCABULARY.split(), "\n"]


@given(st.lists(st.sampled_from(WORDS), max_size=25))
def test_no_text_is_right_for_two_answers(words: list[str]):
    text = " ".join(words)
    for kind, answers in ANSWERS.items():
        assert sum(verify(text, answer, kind) for answer in answers) <= 1


@given(st.text(max_size=200))
def test_any_text_has_a_score(text: str):
    for kind in LANGUAGES:
        assert 0 <= verify(text, "[1, 2, 3, 4]" if kind == "box" else ANSWERS[kind][0], kind) <= 1


@pytest.mark.parametrize(
    "piece",
    [
        "<answer>",
        "\\boxed{",
        "answer: 3 ",
        "[",
        "(1, 2, 3 ",
        "3 ",
        "not ",
        "\n",
        "no ",
        "9",
        '"answer":',
        "*3",
        "_",
        "<a",
        "->",
        "-",
    ],
)
def test_long_texts_are_read_in_time(piece: str):
    text = piece * (40_000 // len(piece))
    began = time.perf_counter()
    for kind in LANGUAGES:
        verify(text, "[1, 2, 3, 4]" if kind == "box" else ANSWERS[kind][0], kind)
    assert time.perf_counter() - began < 10


def test_no_answer_scores_nothing():
    assert verify(None, "3", "number") == 0.0


def test_errors():
    with pytest.raises(InvalidValueError, match="unknown type of answer 'letter'; expected one of number, boolean"):
        verify("3", "3", "letter")
    with pytest.raises(InvalidValueError, match="the true answer 'red' is no number"):
        verify("3", "red", "number")
