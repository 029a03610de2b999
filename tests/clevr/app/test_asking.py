"""What a visitor asks and changes, without a browser."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from clevr.answers.plotting import answer_figure, as_image, highlighted, modulation_figure
from clevr.answers.predict import FORM_UNKNOWN, QuestionError
from clevr.app.asking import (
    HEIGHT,
    ILL_POSED,
    MAX_SEED,
    SUGGESTIONS,
    UNKNOWN,
    WIDTH,
    Asking,
    AskingError,
    describe,
    modulations_of,
    truth_of,
    with_objects,
)
from clevr.data.errors import DataError
from clevr.reasoning.network import FiLMReasoner
from clevr.world.render import object_ids
from clevr.world.scene import COLORS
from clevr.world.world_file import read_world
from fewshot_film.page import Limits, UploadError
from fewshot_film.run.figures import PALE
from tests.clevr.models import SMALL, a_reasoner
from tests.conftest import CHECKOUT


@pytest.fixture(scope="module")
def reasoner():
    return a_reasoner()


@pytest.fixture
def asking(reasoner) -> Asking:
    one = Asking(reasoner, None, Limits(pixels=100_000))
    one.new_scene(4, 5)
    return one


def test_a_model_of_another_world_is_refused() -> None:
    reasoner = FiLMReasoner(SMALL, read_world(CHECKOUT / "examples" / "harbour" / "world.yaml"))
    with pytest.raises(AskingError, match="the model is about the world 'harbour', and the app shows scenes of CLEVR"):
        Asking(reasoner, None, Limits())


def ask_how_many(asking: Asking) -> str:
    asking.ask("How many things are there?")
    return asking.now.line.truth


def test_a_scene_is_a_function_of_seed_and_number(reasoner, asking):
    other = Asking(reasoner, None, Limits())
    other.new_scene(4, 5)
    assert other.now.scene == asking.now.scene
    assert [line.question for line in other.now.lines] == [line.question for line in asking.now.lines]
    assert other.now.image.tobytes() == asking.now.image.tobytes()
    other.new_scene(5, 5)
    assert other.now.scene != asking.now.scene
    other.new_scene(4, 7)
    assert len(other.now.scene.objects) == 7


def test_suggestions_are_well_posed_and_have_their_truth(asking):
    assert len(asking.now.lines) == SUGGESTIONS
    assert all(line.truth not in ("", UNKNOWN, ILL_POSED) for line in asking.now.lines)
    assert asking.now.line == asking.now.lines[0]
    assert {line.is_right for line in asking.now.lines} <= {True, False}


def test_truths(asking):
    scene = asking.now.scene
    assert truth_of("How many things are there?", scene) == "5"
    for shape in ("cube", "sphere", "cylinder"):
        count = sum(thing.shape == shape for thing in scene.objects)
        assert truth_of(f"how many {shape}s are there", scene) == str(count)
    absent = next(color for color in COLORS if all(thing.color != color for thing in scene.objects))
    assert truth_of(f"What shape is the {absent} thing?", scene) == ILL_POSED
    assert truth_of("Is it nice?", scene) == UNKNOWN
    assert truth_of("How many things are there?", None) == ""


def test_removing_and_undoing(asking):
    assert ask_how_many(asking) == "5"
    with pytest.raises(AskingError, match="select an object first"):
        asking.remove()
    asking.chosen = 2
    gone = asking.now.scene.objects[2]
    asking.remove()
    assert gone not in asking.now.scene.objects
    assert (asking.now.line.truth, asking.before.line.truth) == ("4", "5")
    assert asking.chosen is None
    asking.ask("Are there any things?")
    assert asking.before.line.question == "Are there any things?"  # asked of both
    asking.undo()
    assert asking.now.scene.objects[2] == gone
    assert asking.now.line.truth == "yes"
    assert asking.before is None
    with pytest.raises(AskingError, match="nothing to undo"):
        asking.undo()


def test_relations_follow_the_objects(asking):
    scene = asking.now.scene
    fewer = with_objects(scene, scene.objects[1:])
    assert with_objects(scene, scene.objects).relationships == scene.relationships
    for relation, rows in scene.relationships.items():
        expected = [[other - 1 for other in row if other] for row in rows[1:]]
        assert [list(row) for row in fewer.relationships[relation]] == expected


def test_the_last_object_stays(asking):
    asking.new_scene(4, 3)
    for _ in range(2):
        asking.chosen = 0
        asking.remove()
    asking.chosen = 0
    with pytest.raises(AskingError, match="the last object"):
        asking.remove()


def test_recolouring_changes_the_image_and_the_truth(asking):
    asking.chosen = 1
    thing = asking.now.scene.objects[1]
    color = next(name for name in COLORS if all(one.color != name for one in asking.now.scene.objects))
    asking.ask(f"How many {color} things are there?")
    assert asking.now.line.truth == "0"
    before = np.asarray(asking.now.image).astype(int)
    asking.recolour(color)
    assert (asking.now.line.truth, asking.before.line.truth) == ("1", "0")
    assert asking.now.scene.objects[1] == dataclasses.replace(thing, color=color)
    changed = np.abs(np.asarray(asking.now.image).astype(int) - before).sum(2) > 60
    mask = object_ids([asking.now.scene], WIDTH, HEIGHT)[0].numpy() == 1
    assert changed[mask].mean() > 0.5
    assert changed[~mask].mean() < 0.02
    for wrong in (color, "pink"):
        with pytest.raises(AskingError, match=f"the object is {color}; choose another colour: gray, red"):
            asking.recolour(wrong)


def test_a_click_chooses_what_it_meets(asking):
    ids = object_ids([asking.now.scene], WIDTH, HEIGHT)[0].numpy()
    for number in range(5):
        rows, columns = np.nonzero(ids == number)
        middle = len(rows) // 2
        asking.choose_at(int(columns[middle]), int(rows[middle]))
        assert asking.chosen == number
    marked = np.asarray(asking.marked_image())
    plain = np.asarray(asking.now.image)
    assert (marked != plain).any()
    np.testing.assert_array_equal(marked[ids == 4], plain[ids == 4])  # the line is around it
    asking.choose_at(WIDTH, HEIGHT)  # beside the image
    assert asking.chosen == 4
    rows, columns = np.nonzero(ids < 0)
    asking.choose_at(int(columns[0]), int(rows[0]))
    assert asking.chosen is None
    assert asking.marked_image() is asking.now.image


def test_own_images(asking, tmp_path: Path):
    Image.new("RGB", (90, 60), (120, 130, 140)).save(tmp_path / "own.png")
    asking.upload(tmp_path / "own.png")
    assert (asking.now.scene, asking.now.lines, asking.now.line) == (None, (), None)
    asking.ask("How many things are there?")
    assert asking.now.line.truth == ""
    assert asking.now.line.is_right is None
    for change in (asking.remove, asking.undo, lambda: asking.recolour("red")):
        with pytest.raises(AskingError):
            change()
    asking.choose_at(3, 3)
    assert asking.chosen is None
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match="not a readable image"):
        asking.upload(tmp_path / "text.png")
    Image.new("1", (1000, 101)).save(tmp_path / "wide.png")
    with pytest.raises(UploadError, match="more than 0 million pixels"):
        asking.upload(tmp_path / "wide.png")
    assert asking.now.image.size == (90, 60)


def test_what_cannot_be_asked(reasoner, asking):
    empty = Asking(reasoner, None, Limits())
    with pytest.raises(AskingError, match="there is no image yet"):
        empty.ask("How many things are there?")
    with pytest.raises(AskingError, match="there is no image yet"):
        _ = empty.answerer
    assert empty.marked_image() is None
    with pytest.raises(QuestionError, match="knows no word"):
        asking.ask("flibbertigibbet")
    for seed, count in ((-1, 5), (MAX_SEED + 1, 5), (0, 2), (0, 11)):
        with pytest.raises(AskingError, match="expected a seed of 0 to 999,999 and 3 to 10 objects"):
            asking.new_scene(seed, count)


def test_gamma_and_beta(reasoner):
    values = modulations_of(reasoner, "How many things are there?")
    assert list(values) == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]
    assert all(part.shape == (8,) for pair in values.values() for part in pair)
    other = modulations_of(reasoner, "What color is the cube?")
    assert not np.allclose(values["blocks.0"][0], other["blocks.0"][0])
    image = as_image(modulation_figure(values))
    assert image.width > image.height
    assert modulations_of(a_reasoner(conditioning="concatenation", film_blocks=0), "How many things are there?") == {}


def test_descriptions(asking):
    thing = asking.now.scene.objects[0]
    assert describe(thing) == f"{thing.size} {thing.color} {thing.material} {thing.shape}"


def test_an_uploaded_image_that_is_no_scene_gets_a_warning_with_its_answer(tmp_path):
    from clevr.app.ask_tab import _said
    from clevr.reasoning import load

    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)).save(tmp_path / "noise.png")
    asking = Asking(load("clevr-small"), None, Limits())
    assert asking.warning == ""
    asking.new_scene(4, 5)
    assert asking.warning == ""
    asking.upload(tmp_path / "noise.png")
    assert asking.warning.startswith("This image does not look like a CLEVR scene")
    assert _said(None, None, asking.warning) == f"**Warning:** {asking.warning}"
    asking.ask("How many things are there?")
    assert asking.now.line.given.warning == asking.warning
    assert _said(asking.now.line, None, asking.warning).endswith(f"**Warning:** {asking.warning}")


def test_british_spelling_is_understood(asking):
    for british in ("What colour is the small thing?", "Are there any grey things?", "Colour"):
        american = british.replace("olour", "olor").replace("grey", "gray")
        assert truth_of(british, asking.now.scene) == truth_of(american, asking.now.scene)
    asking.ask("Are there any grey things?")
    british = asking.now.line.given
    asking.ask("Are there any gray things?")
    assert (british.ranking, british.unknown_words) == (asking.now.line.given.ranking, ())


def test_unknown_words_come_first_and_the_answer_is_muted(asking):
    from clevr.app.ask_tab import _said

    asking.ask("Is there a <b>zebra</b>?")
    first, second, *_ = _said(asking.now.line, None).split("\n\n")
    assert first.startswith("### unknown words: ")
    assert "<b>" not in first
    assert second.endswith("*")
    assert f"it guesses *{asking.now.line.given.answer}, " in second
    assert f"({asking.now.line.given.averaging})" in second


def test_an_unknown_form_is_told_and_the_answer_is_muted(asking):
    from clevr.app.ask_tab import _bars, _said

    asking.ask("Are both things red?")
    given = asking.now.line.given
    first, second, third, *_ = _said(asking.now.line, None).split("\n\n")
    assert first == f"### a guess: {given.answer}, {100 * given.probability:.1f} %"
    assert second.startswith("or: ")
    assert third == FORM_UNKNOWN
    assert "muted" in _bars(asking.now.line)


def test_another_one_begins_with_what_the_first_looks_at(reasoner, asking):
    other = Asking(reasoner, None, Limits(), asking)
    assert other.now is asking.now
    other.ask("How many things are there?")
    assert other.now.line.truth == "5"
    assert asking.now.line is not other.now.line


def test_the_page_shows_the_answers_as_bars_and_where_they_came_from(asking):
    from clevr.app.ask_tab import _bars

    for question, is_muted in (("Is there a cube?", False), ("Is there a zebra?", True)):
        asking.ask(question)
        given = asking.now.line.given
        shown = _bars(asking.now.line)
        assert shown.count("<meter") == 5
        assert f'aria-label="{given.answer}"' in shown
        assert ("muted" in shown) == is_muted
        image = np.asarray(highlighted(asking.answerer, given)).astype(float)
        assert image.shape[:2] == (asking.now.image.height, asking.now.image.width)
        assert (image <= np.asarray(asking.now.image)).all()
        assert image.sum() > 0.3 * np.asarray(asking.now.image).astype(float).sum()
    assert _bars(None) == ""


def test_a_guess_is_muted_in_the_figure_too(asking):
    for question, is_muted in (("Is there a cube?", False), ("Is there a zebra?", True)):
        asking.ask(question)
        bars = answer_figure(asking.answerer, asking.now.line.given).axes[1].patches
        colors = {to_hex(bar.get_facecolor()) for bar in bars}
        assert (colors == {to_hex(PALE)}) == is_muted
