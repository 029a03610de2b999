"""The checks of the tasks find what is wrong, and the model is asked what the tasks ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import clevr
from benchmarks import clevr_tasks
from benchmarks.clevr_tasks import Job, VerifyConfig, answers_of, as_question, guess, verify, verify_job
from clevr.questions.parser import parse
from clevr.tasks import KINDS, make
from tests.reference import clevr_tasks_oracle


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clevr_tasks, "CHUNK", 10)


def test_true_answers_are_found_true():
    found = verify_job(0, Job("arithmetic", 2, 0))
    assert (found.wrong, found.refused, found.fooled) == ([], 0, [])
    assert found.cheats > 20


def test_a_wrong_answer_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(clevr_tasks_oracle.ANSWERS, "arithmetic", lambda *_: "99")
    assert len(verify_job(0, Job("arithmetic", 2, 0)).wrong) == 10


def test_the_result_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clevr_tasks, "KINDS", {"counting": KINDS["counting"]})
    verify(VerifyConfig(items=500, minutes=1e-6, workers=1, out=tmp_path / "found.json"))
    results = json.loads((tmp_path / "found.json").read_text())["results"]
    assert results["counting"]["items"] == 10
    assert results["counting"]["wrong"] == results["counting"]["dishonest_texts_accepted"] == []


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("There is a red cube.", "Is there a red cube?", "yes"),
        ("There are more balls than red cubes.", "Are there more balls than red cubes?", "yes"),
        ("The number of balls is 3.", "What number of balls are there?", "3"),
        (
            "There are as many balls left of the cube as cylinders.",
            "Are there the same number of balls left of the cube and cylinders?",
            "yes",
        ),
    ],
)
def test_a_sentence_becomes_a_question(sentence: str, question: str, answer: str):
    prompt = f"There are two images. Of which one is this true? {sentence} Answer first or second."
    assert as_question(prompt) == (question, answer)


def test_all_sentences_become_questions_of_clevr():
    items = make("matching", seed=2, difficulty=2, **clevr_tasks.SIZE).batch(range(30), draw=False)
    asked = [as_question(item.prompt)[0] for item in items]
    unread = [text for text in asked if not text.startswith("What number of") and not parse(text)]
    assert unread == []


def test_a_model_and_a_guess_are_scored():
    reasoner = clevr.load("clevr-small")
    for kind in ("counting", "matching"):
        items = make(kind, seed=1, difficulty=1, **clevr_tasks.SIZE).batch(range(6), draw=False)
        scores = answers_of(reasoner, items)
        assert len(scores) == 6
        assert sum(scores) >= 4
        assert sum(guess(items)) <= 5
