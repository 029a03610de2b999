"""Answers that are not sure are the average over four views; an oracle shifts and asks one question at a time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clevr.answers.predict import Answerer, predict
from clevr.answers.second_look import further_views, over_views
from clevr.cli import COMMANDS
from clevr.data.batches import ReasoningData, load_reasoning_data
from clevr.questions.tokens import ANSWER_WORDS
from clevr.reasoning.network import Reasoner
from fewshot_film.run.command import main
from tests.clevr.models import SMALL, a_reasoner, a_saved_model, a_world, one_question

QUESTION = "How many red things are there?"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def data(world: Path) -> ReasoningData:
    reasoner = a_reasoner()
    return load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)


def slowly(reasoner: Reasoner, pixels: np.ndarray, question: list[int]) -> np.ndarray:
    """Geometric mean over four views in double precision; a view is made pixel by pixel."""
    _, height, width = pixels.shape
    rows, columns = reasoner.config.grid
    half_down, half_right = height // rows // 2, width // columns // 2
    product = np.ones(len(ANSWER_WORDS))
    for down, right in ((0, 0), (0, half_right), (half_down, 0), (half_down, half_right)):
        view = np.empty_like(pixels)
        for row in range(height):
            for column in range(width):
                view[:, row, column] = pixels[:, max(row - down, 0), max(column - right, 0)]
        with torch.no_grad():
            logits = reasoner(one_question(torch.from_numpy(view), question))[0].double()
        product *= logits.softmax(0).numpy() ** 0.25
    return product / product.sum()


def test_views_by_hand() -> None:
    config = dataclasses.replace(SMALL, width=32, height=24)
    rows, columns = config.grid
    assert (24 // rows, 32 // columns) == (4, 4)
    image = torch.arange(24 * 32).reshape(1, 1, 24, 32).remainder(251).to(torch.uint8)
    right, down, both = further_views(image, config)
    assert {view.dtype for view in (right, down, both)} == {torch.uint8}
    assert torch.equal(right[..., 2:], image[..., :-2])
    assert torch.equal(right[..., :2], image[..., :1].expand(-1, -1, -1, 2))
    assert torch.equal(down[:, :, 2:], image[:, :, :-2])
    assert torch.equal(down[:, :, :2], image[:, :, :1].expand(-1, -1, 2, -1))
    assert torch.equal(both, further_views(down, config)[0])


def test_features_and_single_pixels_have_no_further_views() -> None:
    images = torch.zeros(1, 3, 24, 32)
    assert further_views(images, dataclasses.replace(SMALL, inputs="features", trunk_maps=())) == []
    by_pixel = dataclasses.replace(SMALL, trunk_stride=1, trunk_kernel=3)
    assert by_pixel.grid == (24, 32)
    assert further_views(images, by_pixel) == []


def test_average_by_hand() -> None:
    views = [torch.tensor([0.8, 0.2]), torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.5])]
    assert torch.allclose(over_views([view.log() for view in views]), torch.tensor([0.5, 0.5]))
    certain = [torch.tensor([0.9, 0.1]), torch.tensor([0.4, 0.6])]
    first, second = (0.9 * 0.4) ** 0.5, (0.1 * 0.6) ** 0.5
    expected = torch.tensor([first, second]) / (first + second)
    assert torch.allclose(over_views([view.log() for view in certain]), expected)
    impossible: list[Tensor] = [torch.tensor([0.9, 0.1, 0.0]), torch.tensor([0.5, 0.2, 0.3])]
    assert over_views([view.log() for view in impossible])[2] == 0  # what one view rules out


def test_questions_of_a_split_as_one_by_one(data: ReasoningData) -> None:
    reasoner = a_reasoner()
    once, always = predict(reasoner, data), predict(reasoner, data, sure=1, size=7)
    for number in range(0, len(data), 5):
        expected = slowly(reasoner, data.images[data.table.image[number]], data.question(number).tolist())
        np.testing.assert_allclose(always.probabilities[number], expected, atol=1e-6)
    assert not np.allclose(once.probabilities, always.probabilities, atol=1e-3)


def test_only_answers_that_are_not_sure_are_changed(data: ReasoningData) -> None:
    reasoner = a_reasoner()
    once, always = predict(reasoner, data), predict(reasoner, data, sure=1)
    bound = float(np.median(once.probabilities.max(1)))
    some = predict(reasoner, data, sure=bound)
    is_unsure = once.probabilities.max(1) < bound
    assert 0 < is_unsure.sum() < len(data)
    np.testing.assert_array_equal(some.probabilities[~is_unsure], once.probabilities[~is_unsure])
    np.testing.assert_allclose(some.probabilities[is_unsure], always.probabilities[is_unsure], atol=1e-6)
    assert np.array_equal(predict(reasoner, data, sure=1e-9).probabilities, once.probabilities)


def test_one_question_as_of_a_split(data: ReasoningData) -> None:
    reasoner = a_reasoner()
    image = Image.fromarray(np.moveaxis(data.images[0], 0, 2))
    seldom, answer = (Answerer(reasoner, image, sure=sure).ask(QUESTION) for sure in (0.0, 1.0))
    assert (seldom.num_views, answer.num_views) == (1, 4)
    expected = slowly(reasoner, data.images[0], reasoner.vocabulary.encode(QUESTION))
    found = dict(answer.ranking)
    np.testing.assert_allclose([found[word] for word in ANSWER_WORDS], expected, atol=1e-6)
    assert found != dict(seldom.ranking)


def test_places_are_of_the_view_that_speaks_most_for_the_answer() -> None:
    reasoner = a_reasoner()
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (24, 32, 3), np.uint8))
    answer = Answerer(reasoner, image, sure=1).ask(QUESTION)
    pixels = torch.from_numpy(np.moveaxis(np.asarray(image), 2, 0).copy())[None]
    views = [pixels, *further_views(pixels, reasoner.config)]
    single = [
        Answerer(reasoner, Image.fromarray(np.moveaxis(view[0].numpy(), 0, 2)), sure=0).ask(QUESTION) for view in views
    ]
    best = max(single, key=lambda each: dict(each.ranking)[answer.answer])
    np.testing.assert_array_equal(answer.places, best.places)


def test_commands_look_again(tmp_path: Path, world: Path, data: ReasoningData, capsys: pytest.CaptureFixture) -> None:
    model = a_saved_model(tmp_path / "model")
    reasoner = a_reasoner()
    for sure in (0.0, 0.99):
        out = tmp_path / f"{sure}.json"
        words = ["evaluate", str(model), str(world), f"--predictions={out}", f"--sure={sure}", "--device=cpu"]
        assert main("clevr-film", COMMANDS, words) == 0
        expected = [ANSWER_WORDS[number] for number in predict(reasoner, data, sure=sure).answers]
        assert [each["answer"] for each in json.loads(out.read_text())] == expected
    Image.fromarray(np.moveaxis(data.images[0], 0, 2)).save(tmp_path / "a.png")
    for sure, views in ((0, 1), (1, 4)):
        capsys.readouterr()
        words = ["ask", str(tmp_path / "a.png"), QUESTION, f"--model={model}", f"--sure={sure}", "--format=json"]
        assert main("clevr-film", COMMANDS, words) == 0
        assert json.loads(capsys.readouterr().out)["num_views"] == views


def test_a_model_that_reads_features_looks_once(data: ReasoningData, monkeypatch: pytest.MonkeyPatch) -> None:
    reasoner = a_reasoner()
    monkeypatch.setattr("clevr.answers.predict.shifts", lambda config: [])
    once = predict(reasoner, data)
    monkeypatch.setattr("clevr.answers.predict.further_views", None)
    np.testing.assert_array_equal(predict(reasoner, data, sure=1).probabilities, once.probabilities)
    image = Image.fromarray(np.moveaxis(data.images[0], 0, 2))
    assert Answerer(reasoner, image, sure=1).ask(QUESTION).num_views == 1
