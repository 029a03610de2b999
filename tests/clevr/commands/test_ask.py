from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clevr.answers.plotting import answer_figure, highlighted
from clevr.answers.predict import FORM_UNKNOWN, Answer, Answerer, QuestionError, open_image
from clevr.answers.unknown_words import SUBSTITUTIONS
from clevr.cli import COMMANDS
from clevr.commands.ask import describe
from clevr.config.commands import AskConfig
from clevr.config.features import ExtractorConfig, ExtractorOverrides
from clevr.data.backbone import Extractor
from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.images import fit_image
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import ANSWER_WORDS
from clevr.reasoning import load
from clevr.reasoning.network import FiLMReasoner
from clevr.world.world_file import read_world
from fewshot_film.errors import ConfigError
from fewshot_film.film import append_coordinates
from fewshot_film.run.command import main
from tests.clevr.models import SMALL, a_reasoner, a_saved_model, one_question
from tests.conftest import CHECKOUT

QUESTION = "How many red things are there?"


def a_picture(size: tuple[int, int] = (64, 48)) -> Image.Image:
    pixels = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    """An image and a model."""
    a_picture().save(tmp_path / "a.png")
    return tmp_path / "a.png", a_saved_model(tmp_path / "model")


def ask(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["ask", *map(str, words), "--device=cpu"])


def test_an_answer_is_that_of_the_whole_network() -> None:
    reasoner = a_reasoner()
    answer = Answerer(reasoner, a_picture(), sure=0).ask(QUESTION)
    pixels = torch.from_numpy(fit_image(a_picture(), 32, 24))
    with torch.no_grad():
        expected = reasoner(one_question(pixels, reasoner.vocabulary.encode(QUESTION)))[0].softmax(0)
    found = dict(answer.ranking)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    np.testing.assert_allclose([found[word] for word in ANSWER_WORDS], expected, atol=1e-6)
    assert answer.answer == ANSWER_WORDS[int(expected.argmax())]
    assert answer.unknown_words == ()


def test_places_are_where_the_maxima_are() -> None:
    reasoner = a_reasoner()
    answerer = Answerer(reasoner, a_picture(), sure=0)
    answer = answerer.ask(QUESTION)
    pixels = torch.from_numpy(fit_image(a_picture(), 32, 24))
    batch = one_question(pixels, reasoner.vocabulary.encode(QUESTION))
    with torch.no_grad():
        codes = reasoner.questions(batch.tree)
        last = reasoner.reason(reasoner.encode_image(batch.images), batch.image, reasoner.modulations(codes), codes)
        classifier = reasoner.classifier
        maps = F.relu(classifier.norm(classifier.conv(append_coordinates(last))))[0]
    expected = np.zeros(maps.shape[1:], np.int64)
    for responses in maps:
        if responses.max() > 0:
            expected[np.unravel_index(int(responses.argmax()), responses.shape)] += 1
    np.testing.assert_array_equal(answer.places, expected)
    assert 0 < answer.places.sum() <= reasoner.config.classifier_maps


def test_the_picture_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reasoner = a_reasoner()
    answerer = Answerer(reasoner, a_picture(), sure=0)
    monkeypatch.setattr(reasoner, "encode_image", None)
    assert answerer.ask(QUESTION).ranking == answerer.ask(QUESTION).ranking
    assert answerer.ask(QUESTION).ranking != answerer.ask("Is there a big cube?").ranking


@pytest.mark.parametrize(
    ("size", "view"), [((64, 48), (0, 64, 48, 0)), ((64, 80), (0, 64, 64, 16)), ((64, 40), (0, 64, 44, -4))]
)
def test_what_the_model_sees(size: tuple[int, int], view: tuple[float, ...]) -> None:
    """The model's images have 4 to 3; what is higher is cut, what is lower is filled up."""
    assert Answerer(a_reasoner(), a_picture(size)).view == view


def test_a_model_that_reads_features() -> None:
    reasoner = a_reasoner(
        inputs="features", width=4, height=4, input_maps=64, trunk_maps=(), trunk_kernel=3, trunk_stride=1
    )
    extractor = Extractor(ExtractorConfig("resnet18", "layer1", "random", size=16))
    answerer = Answerer(reasoner, a_picture((30, 50)), extractor)
    assert answerer.view == (0, 30, 50, 0)
    assert answerer.ask(QUESTION).places.shape == (4, 4)
    with pytest.raises(ConfigError, match="the model reads features; give the extractor"):
        Answerer(reasoner, a_picture())
    other = Extractor(ExtractorConfig("resnet18", "layer1", "random", size=32))
    with pytest.raises(ConfigError, match=r"features of shape \(64, 4, 4\), the extractor \(layer1 of resnet18 at 32"):
        Answerer(reasoner, a_picture(), other)


def test_the_command(saved: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, model = saved
    out = tmp_path / "new" / "why.png"
    assert ask(picture, "How many zebras are red?", "--model", model, "--out", out, "--runners_up=2") == 0
    answer, others, note = capsys.readouterr().out.splitlines()
    assert answer.removeprefix("a guess: ").partition("  (")[0] in ANSWER_WORDS
    assert others.startswith("  or: ")
    assert others.count("%") == 2
    average = f"the probabilities are the average over {SUBSTITUTIONS} questions that it may be"
    assert note == f"  note: the model does not know: zebras; {average}"
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width == 1080


def test_one_question_after_the_other(
    saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUESTION}\nWie viele?\nIs there a big thing?\n\nnever read\n"))
    assert ask(saved[0], "--model", saved[1], "--runners_up=0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[0] in ANSWER_WORDS
    assert lines[1].startswith("the model knows no word of 'Wie viele?'")


@pytest.mark.parametrize(
    ("question", "message"),
    [("", "the question '' has no words"), ("big " * 10_000, "the question has 10,000 words; expected at most 200")],
)
def test_questions_that_are_none(
    saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str], question: str, message: str
) -> None:
    assert ask(saved[0], question, "--model", saved[1]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(QuestionError):
        Answerer(a_reasoner(), a_picture()).ask(question)


def test_pictures_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no image .*none\.png; expected an image file"):
        open_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"text\.png: not a readable image"):
        open_image(tmp_path / "text.png")
    a_picture().save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"half\.png: not a readable image"):
        open_image(tmp_path / "half.png")


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    a_picture().save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (48, 64)


def test_answers_in_words() -> None:
    answer = Answer("?", (("yes", 0.75), ("no", 0.2), ("2", 0.05)), np.zeros((1, 1), np.int64), ())
    assert describe(answer, 1) == "yes  (75.0 %)\n  or: no (20.0 %)\n"
    assert describe(answer, 0) == "yes  (75.0 %)\n"


def test_answers_of_no_probability_are_left_out() -> None:
    places = np.zeros((1, 1), np.int64)
    sure = Answer("?", (("5", 0.9994), ("1", 0.0005), ("2", 0.0001)), places, ())
    assert describe(sure, 3) == "5  (99.9 %)\n  or: 1 (0.1 %)\n"
    assert describe(Answer("?", (("5", 1.0), ("1", 0.0)), places, ()), 3) == "5  (100.0 %)\n"
    read = Answer("?", (("5", 1.0), ("1", 0.0)), places, (), read_as=("red", "left of 1", "count of 2"))
    assert describe(read, 0) == "5  (100.0 %)\n  read as: 1. red; 2. left of 1; 3. count of 2\n"


def test_the_figure_is_bright_where_the_answer_is() -> None:
    answerer = Answerer(a_reasoner(), Image.new("RGB", (64, 48), (40, 40, 40)))
    places = np.zeros((6, 8), np.int64)
    places[1, 6] = 9
    figure = answer_figure(answerer, Answer(QUESTION, (("yes", 0.9), ("no", 0.1)), places, ()))
    overlay = figure.axes[0].images[1]
    assert tuple(overlay.get_extent()) == answerer.view
    shown = np.asarray(overlay.get_array())
    assert shown[1, 6, 3] == 0
    assert (np.delete(shown[..., 3], 14) == 0.65).all()
    assert not shown[..., :3].any()


def test_the_image_alone_is_bright_where_the_answer_is() -> None:
    answerer = Answerer(a_reasoner(), Image.new("RGB", (64, 48), (200, 200, 200)))
    places = np.zeros((6, 8), np.int64)
    places[1, 6] = 9
    shown = np.asarray(highlighted(answerer, Answer(QUESTION, (("yes", 0.9), ("no", 0.1)), places, ())))
    assert shown.shape == (48, 64, 3)
    row, column = np.unravel_index(shown[..., 0].argmax(), shown.shape[:2])
    left, right, bottom, top = answerer.view
    assert abs(column - (left + (right - left) * 6.5 / 8)) < 4
    assert abs(row - (top + (bottom - top) * 1.5 / 6)) < 4
    assert shown.max() > 170
    assert abs(int(shown[-1, 0, 0]) - 70) <= 1  # 0.65 of the light is taken


def test_settings_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="runners_up is 28; expected a number from 0 to 27"):
        AskConfig(tmp_path, runners_up=28)


def test_the_places_of_a_model_that_keeps_positions_lie_on_the_grid() -> None:
    reasoner = a_reasoner(positions=5, block_kernel=1, context=True, pooling="max_mean")
    answer = Answerer(reasoner, a_picture(), sure=0).ask(QUESTION)
    assert answer.places.shape == reasoner.config.grid
    assert 0 < int((answer.places > 0).sum()) <= 5
    pixels = torch.from_numpy(fit_image(a_picture(), 32, 24))[None]
    maps = reasoner.encode_image(pixels)
    cells = reasoner.cells(maps)
    assert cells is not None
    assert set(np.flatnonzero(answer.places)) <= set(cells[0].tolist())
    tree = build_prefix_tree([reasoner.vocabulary.encode(QUESTION)])
    expected = reasoner(QuestionBatch(pixels, torch.tensor([0]), tree))[0].detach().softmax(0)
    assert answer.probability == pytest.approx(float(expected.max()), abs=1e-6)


NOT_A_SCENE = "This image does not look like a CLEVR scene"


def test_a_photo_gets_a_warning_with_its_answer(saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(saved[0], QUESTION, "--runners_up=0") == 0
    answer, reading, warning = capsys.readouterr().out.splitlines()
    assert answer.split()[0] in ANSWER_WORDS
    assert reading.startswith("  read as: 1. ")
    assert warning.startswith(f"  warning: {NOT_A_SCENE} (it differs from the images that the model was trained on")
    assert warning.endswith("; the answer may be meaningless.")


def test_a_warning_once_before_many_questions(
    saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUESTION}\nIs there a big thing?\n"))
    assert ask(saved[0], "--runners_up=0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5, "a warning, and an answer and how it was read twice"
    assert [NOT_A_SCENE in line for line in lines] == [True, False, False, False, False]


def test_a_model_without_a_description_of_its_images_warns_of_none(saved: tuple[Path, Path]) -> None:
    reasoner = load(saved[1])
    assert reasoner.familiarity is None
    assert Answerer(reasoner, a_picture()).ask(QUESTION).warning == ""
    assert NOT_A_SCENE in Answerer(load("clevr-small"), a_picture()).ask(QUESTION).warning


def test_a_warning_names_the_world_of_the_model() -> None:
    reasoner = FiLMReasoner(SMALL, read_world(CHECKOUT / "examples" / "harbour" / "world.yaml")).eval()
    reasoner.familiarity = load("clevr-small").familiarity
    expected = "This image does not look like a scene of the world 'harbour' (it differs from"
    assert Answerer(reasoner, a_picture()).warning.startswith(expected)


def test_what_is_asked_in_clevrs_english_is_told(saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(saved[0], "Is the thing red?", "--model", saved[1], "--runners_up=0") == 0
    answer, asked_as = capsys.readouterr().out.splitlines()
    assert not answer.startswith("a guess")
    assert asked_as == "  asked as: Are there any red things?"
    for text, means in (("Is the thing red?", "Are there any red things?"), (QUESTION, None)):
        assert ask(saved[0], text, "--model", saved[1], "--format=json") == 0
        assert json.loads(capsys.readouterr().out)["asked_as"] == means


def test_an_unknown_form_is_told(saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(saved[0], "Are both things red?", "--model", saved[1], "--runners_up=0") == 0
    answer, note = capsys.readouterr().out.splitlines()
    assert answer.startswith("a guess: ")
    assert note == f"  note: {FORM_UNKNOWN}"
    assert ask(saved[0], "Are both things red?", "--model", saved[1], "--format=json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["is_guess"], found["has_known_form"], found["unknown_words"]) == (True, False, [])


def test_one_json_document(saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(saved[0], "How many zebras are red?", "--format=json", "--runners_up=2") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["question"] == "How many zebras are red?"
    assert found["answer"] in ANSWER_WORDS
    assert 0 < found["probability"] <= 1
    assert [set(entry) for entry in found["runners_up"]] == [{"answer", "probability"}] * 2
    assert found["unknown_words"] == ["zebras"]
    assert found["is_guess"] is True
    assert found["num_readings"] == SUBSTITUTIONS
    assert found["warning"].startswith(NOT_A_SCENE)
    assert ask(saved[0], QUESTION, "--format=json", "--model", saved[1]) == 0
    assert json.loads(capsys.readouterr().out)["warning"] is None


def test_many_questions_are_one_json_document(
    saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUESTION}\nWie viele?\n"))
    assert ask(saved[0], "--model", saved[1], "--format=json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["answer"] in ANSWER_WORDS
    assert second["error"].startswith("the model knows no word of")


def test_an_extractor_that_the_model_cannot_use(saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Also with the value that is the default."""
    assert ask(saved[0], QUESTION, "--model", saved[1], "--extractor.backbone=resnet101", "--extractor.size=32") == 2
    message = capsys.readouterr().err
    assert "reads pixels and uses no extractor; leave out --extractor.backbone, --extractor.size" in message
    with pytest.raises(ConfigError, match="the model reads pixels and uses no extractor; leave it out"):
        Answerer(a_reasoner(), a_picture(), Extractor(ExtractorConfig("resnet18", "layer1", "random", size=16)))


def test_what_is_given_beats_the_record_also_where_it_is_the_default() -> None:
    record = {"extractor": {"backbone": "resnet50", "layer": "layer2", "weights_sha256": "1234"}}
    assert ExtractorOverrides().complete(record) == ExtractorConfig("resnet50", "layer2")
    assert ExtractorOverrides(backbone="resnet101").complete(record) == ExtractorConfig("resnet101", "layer2")
    assert ExtractorOverrides().complete({}) == ExtractorConfig()


def test_16_bit_grey_is_read_by_its_range(tmp_path: Path) -> None:
    grey = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21
    Image.fromarray(grey).save(tmp_path / "grey.png")
    found = np.asarray(open_image(tmp_path / "grey.png"))
    np.testing.assert_allclose(found, np.repeat(grey[..., None] / 257, 3, 2), atol=0.51)
    np.testing.assert_array_equal(np.asarray(Answerer(a_reasoner(), Image.fromarray(grey)).image), found)
    np.testing.assert_array_equal(
        fit_image(Image.fromarray(grey), 32, 24), fit_image(open_image(tmp_path / "grey.png"), 32, 24)
    )


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "glass.png")
    assert open_image(tmp_path / "glass.png").getpixel((3, 3)) == (255, 255, 255)
