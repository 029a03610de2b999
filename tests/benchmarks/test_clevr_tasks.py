"""The checks of the tasks find what is wrong, and the model is asked what the tasks ask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import clevr
from benchmarks import clevr_tasks
from benchmarks.clevr_tasks import Found, Job, VerifyConfig, answers_of, as_question, guess, verify, verify_job
from clevr.questions.parser import parse
from clevr.tasks import KINDS, TaskError, make
from fewshot_film.errors import ConfigError
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


@pytest.fixture
def counting_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clevr_tasks, "KINDS", {"counting": KINDS["counting"]})


def results(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["results"]


@pytest.mark.usefixtures("counting_only")
def test_a_stopped_verification_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    jobs = []

    def verify_noting(seed: int, job: Job) -> Found:
        jobs.append(job)
        return verify_job(seed, job)

    monkeypatch.setattr(clevr_tasks, "verify_job", verify_noting)
    config = VerifyConfig(items=500, minutes=1e-6, workers=1, out=tmp_path / "found.json")
    verify(config)
    first = results(config.out)
    assert first["counting"]["items"] == 10
    assert first["counting"]["wrong"] == first["counting"]["dishonest_texts_accepted"] == []
    verify(config)
    second = results(config.out)
    assert jobs == [Job("counting", 1, 0), Job("counting", 2, 0)]
    assert second["counting"]["items"] == 20
    assert second["counting"]["dishonest_texts"] > first["counting"]["dishonest_texts"]
    assert second["total"]["rounds"] == 2
    assert second["total"]["seconds"] > first["total"]["seconds"]


@pytest.mark.usefixtures("counting_only")
def test_what_is_verified_in_the_end_is_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clevr_tasks, "verify_job", lambda _, job: Found(job, [], 0, 1, [], 1.0))
    config = VerifyConfig(items=500, workers=1, out=tmp_path / "found.json")
    for _ in range(2):  # the second time nothing is left
        verify(config)
        assert results(config.out)["counting"]["items"] == 500
    with pytest.raises(ConfigError, match=r"was made with different settings: seed is 0 there and 1 here"):
        verify(replace(config, seed=1))
    monkeypatch.setattr(clevr_tasks, "CHUNK", 20)
    with pytest.raises(TaskError, match=r"holds a verification of other kinds or in rounds of another size"):
        verify(config)


def test_the_result_file_can_be_continued(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clevr_tasks, "CHUNK", 100)
    tally = clevr_tasks._read_tally(VerifyConfig())
    assert 100 * tally["total"]["rounds"] == tally["questions"]["items"] > 0


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
