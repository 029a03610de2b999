from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clevr.analysis.composition import _PAIRS, analyse, compose, exchanged, is_new_to_a, measure, weights_of
from clevr.analysis.subject import Subject
from clevr.data.batches import load_reasoning_data
from clevr.data.reader import ClevrSplit
from clevr.questions.parser import parse
from clevr.questions.tokens import ANSWERS
from clevr.world.placement import CONDITIONS
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


IN_A = frozenset((color, shape) for shape, colors in CONDITIONS["A"].items() for color in colors)


def test_what_a_cyan_cube_is_put_together_from() -> None:
    """Condition A has cubes in four colors, cylinders in the other four, and spheres in all eight."""
    rows = weights_of(IN_A)
    row = dict(zip(_PAIRS, rows[_PAIRS.index(("cyan", "cube"))], strict=True))
    expected = {("cyan", "sphere"): 1.0}
    for color in ("gray", "blue", "brown", "yellow"):  # a cylinder of none of them is there
        expected |= {(color, "sphere"): -0.25, (color, "cube"): 0.25}
    assert {pair: weight for pair, weight in row.items() if weight} == expected
    lacking = [number for number, pair in enumerate(_PAIRS) if pair not in IN_A]
    assert len(lacking) == 8
    assert not rows[:, lacking].any()
    np.testing.assert_allclose(rows.sum(1), 1)


def test_what_was_seen_gives_what_was_not() -> None:
    """Where colors and shapes add up, and whatever stands in place of those that were not seen."""
    rng = np.random.default_rng(0)
    colors, shapes = rng.normal(size=(8, 1, 5)), rng.normal(size=(1, 3, 5))
    right = torch.from_numpy((colors + shapes).reshape(24, 5))
    asked = right.clone()
    asked[[number for number, pair in enumerate(_PAIRS) if pair not in IN_A]] = 99
    (found,) = compose({"blocks.0": Modulation(asked, -asked)}, IN_A).values()
    torch.testing.assert_close(found.gamma, right)
    torch.testing.assert_close(found.beta, -right)
    assert not torch.allclose(compose({"": Modulation(asked, asked)})[""].gamma, right)


def test_all_colors_and_shapes_count_alike_where_the_training_is_not_known() -> None:
    values = torch.randn(2 * 24, 4, dtype=torch.float64)
    (found,) = compose({"blocks.0": Modulation(values, values)}).values()
    grid = values.view(2, 8, 3, 4)
    others = [(d, t) for d in range(8) for t in range(3) if d != 5 and t != 1]
    expected = sum(grid[1, 5, t] - grid[1, d, t] + grid[1, d, 1] for d, t in others) / len(others)
    torch.testing.assert_close(found.gamma.view(2, 8, 3, 4)[1, 5, 1], expected)


def test_a_training_that_lacks_too_much() -> None:
    """Without a red sphere, what a red cube is put together from is missing; the rest stays."""
    pairs = list(_PAIRS)
    less, whole = weights_of(IN_A - {("red", "sphere")}), weights_of(_PAIRS)
    red, cyan = pairs.index(("red", "cube")), pairs.index(("cyan", "cube"))
    np.testing.assert_array_equal(less[red], whole[red])
    assert less[cyan, pairs.index(("cyan", "sphere"))] == 1


def test_scores_tell_what_the_training_had(tmp_path: Path) -> None:
    reasoner = a_reasoner()
    world = a_world(tmp_path, scenes=12)
    data = load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)
    scenes = {scene.image_filename: scene for scene in ClevrSplit.open(world, "val").scenes()}
    results = analyse(Subject(reasoner, data, scenes, data.table, 1200, 0, IN_A)).results
    assert results["training"]["known"]
    assert results["training"]["never seen"] == [f"{c} {s}" for c, s in _PAIRS if (c, s) not in IN_A]
    for way in results["ways"].values():
        parts = [way[f"where there are, {name}"] for name in ("seen in training", "never seen in training")]
        for key in ("right", "count"):
            assert sum(part[key] for part in parts) == way["where there are such things"][key]
        by_pair = way["where there are, by color and shape"]
        lacking = [by_pair[name] for name in results["training"]["never seen"] if name in by_pair]
        assert sum(one["count"] for one in lacking) == parts[1]["count"] > 0
    unknown = analyse(Subject(reasoner, data, scenes, data.table, 200, 0)).results
    assert unknown["training"] == {"known": False}
    assert "where there are, seen in training" not in unknown["ways"]["asked"]
