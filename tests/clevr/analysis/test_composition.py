from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clevr.analysis.composition import exchanged, is_new_to_a, measure
from clevr.analysis.subject import Subject
from clevr.data.batches import load_reasoning_data
from clevr.questions.parser import parse
from clevr.questions.tokens import ANSWERS
from fewshot_film.film import Modulation
from tests.clevr.models import a_reasoner, a_world, one_question


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    reasoner = a_reasoner()
    world = a_world(tmp_path_factory.mktemp("world"), scenes=25)
    data = load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)
    return Subject(reasoner, data, {}, data.table, 250, 0)


def test_one_thing_is_exchanged() -> None:
    assert exchanged("How many cyan cubes are there?") == (
        "How many cyan spheres are there?",
        "How many gray cubes are there?",
        "How many gray spheres are there?",
    )
    assert exchanged("What size is the gray shiny block left of the ball?") == (
        "What size is the gray shiny sphere left of the ball?",
        "What size is the blue shiny block left of the ball?",
        "What size is the blue shiny sphere left of the ball?",
    )


@pytest.mark.parametrize(
    "text",
    [
        "How many cubes are there?",
        "Are there more red cubes than blue cylinders?",
        "Is there a red ball?",
        "a red big cube",
    ],
)
def test_questions_that_cannot_be_put_together(text: str) -> None:
    assert exchanged(text) is None


def test_what_condition_a_has() -> None:
    assert is_new_to_a("Is there a cyan cube?")
    assert is_new_to_a("Is there a gray cylinder?")
    assert not is_new_to_a("Is there a gray metal block?")


def test_exchanged_questions_are_questions_of_clevr(subject: Subject) -> None:
    table = subject.data.table
    found = 0
    for number in range(len(table)):
        others = exchanged(table.texts[number])
        assert others is None or not is_new_to_a(others[1])
        for other in others or ():
            found += 1
            asked = {meaning.asks for meaning in parse(table.texts[number])}
            assert {meaning.asks for meaning in parse(other)} == asked
    assert found > 60


def test_answers_are_those_of_sums_one_by_one(subject: Subject) -> None:
    table, reasoner = subject.data.table, subject.reasoner
    counted = {"asked": 0, "composed": 0}
    numbers = [int(n) for n in subject.numbers if exchanged(table.texts[int(n)])]
    for number in numbers:
        picture = torch.from_numpy(np.array(subject.data.images[table.image[number]]))
        batch = one_question(picture, subject.data.question(number).tolist())
        shape, color, both = (subject.values([text]) for text in exchanged(table.texts[number]) or ())
        values = {
            name: Modulation(*(a + b - c for a, b, c in zip(shape[name], color[name], both[name], strict=True)))
            for name in shape
        }
        with torch.no_grad():
            asked = reasoner(batch)
            composed = reasoner.classifier(reasoner.reason(reasoner.encode_image(batch.images), batch.image, values))
        truth = table.answer[number] - (len(ANSWERS) - 28)
        counted["asked"] += int(asked.argmax() == truth)
        counted["composed"] += int(composed.argmax() == truth)
    found = measure(subject)
    assert set(found) == {"in CoGenT A", "not in CoGenT A"}
    for way, right in counted.items():
        assert sum(kind[way]["right"] for kind in found.values()) == right
        assert sum(kind[way]["count"] for kind in found.values()) == len(numbers)
    assert counted["asked"] > 0


def test_no_such_questions(tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clevr.analysis.composition.exchanged", lambda text: None)
    assert measure(subject) == {}
