"""Words that a model does not know: what the question may be, and what that makes of the answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clevr.answers import unknown_words
from clevr.answers.predict import Answerer
from clevr.answers.unknown_words import STRAY, SUBSTITUTIONS, Readings, readings_of
from clevr.data.images import fit_image
from clevr.questions import parse, write_questions
from clevr.questions.families import CLOSURE_FAMILIES, FAMILIES, Family
from clevr.questions.logical_form import LogicalForm
from clevr.questions.tokens import ANSWER_WORDS, Vocabulary
from clevr.world.placement import Scenes
from clevr.world.spec import ATTRIBUTES, CLEVR
from fewshot_film.run.seeding import numpy_generator
from tests.clevr.models import a_reasoner, one_question

CUBE = (None, None, None, "cube")


def described(forms: tuple[LogicalForm, ...]) -> set[tuple[str | None, ...]]:
    return {form.about[0].description for form in forms}


def test_an_unknown_word_before_a_noun_is_any_value_or_nothing() -> None:
    """Two sizes, eight colours, two materials; or left out."""
    forms = parse("Is there a gold cube?", unknown=["gold"])
    expected = {CUBE}
    for place, attribute in enumerate(ATTRIBUTES[:-1]):
        expected |= {(*CUBE[:place], value, *CUBE[place + 1 :]) for value in CLEVR.values[attribute]}
    assert described(forms) == expected
    assert len(forms) == 13
    assert {form.asks for form in forms} == {"exist"}


@pytest.mark.parametrize(
    ("text", "unknown", "means"),
    [
        ("Which colour is the ball?", ["Which"], "What color is the ball?"),
        ("How many red cubes are there altogether?", ["altogether"], "How many red cubes are there?"),
        ("Say are there any red cubes?", ["Say"], "Are there any red cubes?"),
    ],
)
def test_an_unknown_word_may_mean_one_thing_or_nothing(text: str, unknown: list[str], means: str) -> None:
    assert parse(text, unknown=unknown) == parse(means)


def test_several_unknown_words() -> None:
    """Before *red* a size or nothing, behind it a material or nothing: three times three."""
    forms = parse("How many um red er cubes are there?", unknown=["um", "er"])
    sizes, materials = ((None, *CLEVR.values[attribute]) for attribute in ("size", "material"))
    assert described(forms) == {(size, "red", material, "cube") for size in sizes for material in materials}
    assert len(forms) == 9


def test_what_is_asked_may_be_unknown() -> None:
    forms = parse("What is the bulk of the ball?", unknown=["bulk"])
    assert sorted(form.asks for form in forms) == sorted(f"query_{attribute}" for attribute in ATTRIBUTES)


def test_a_relation_that_is_unknown() -> None:
    forms = parse("How many cubes are beneath the ball?", unknown=["beneath"])
    assert forms == parse("How many cubes are behind the ball?")
    forms = parse("How many cubes are port of the ball?", unknown=["port"])
    assert {form.about[0].source.relation for form in forms} == {"left", "right"}  # type: ignore[union-attr]


@given(st.integers(0, 10_000), st.data())
@settings(max_examples=60, deadline=None)
def test_what_was_meant_is_among_what_it_may_be(number: int, data: st.DataObject) -> None:
    (written,) = write_questions(Scenes(0, "unknown")[number % 50], numpy_generator(number, "one"), 1)
    words = Vocabulary().words(written.question)
    place = data.draw(st.sampled_from([place for place, word in enumerate(words) if word != ";"]))
    words[place] = "zebra"
    assert set(parse(written.question)) <= set(parse(" ".join(words), unknown=["zebra"]))


def test_known_words_are_read_as_they_are() -> None:
    readings = readings_of("How many red things are there?", Vocabulary(), CLEVR)
    assert readings.tokens == (Vocabulary().encode("How many red things are there?"),)
    assert readings.stray == 0
    assert not parse("How many gold things are there?")


def test_readings_of_what_may_be_questions_of_clevr(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = Vocabulary()
    readings = readings_of("Is there a gold cube?", vocabulary, CLEVR)
    texts = [vocabulary.decode(tokens) for tokens in readings.tokens]
    assert len(set(texts)) == 13
    assert all(len(parse(text)) == 1 for text in texts)
    assert not any(vocabulary.unknown_words(text) for text in texts)
    assert readings.stray == 0
    monkeypatch.setattr(unknown_words, "MOST_READINGS", 5)
    assert 1 < len(readings_of("Is there a gold cube?", vocabulary, CLEVR).tokens) <= 5


def test_readings_of_what_is_no_question_of_clevr() -> None:
    vocabulary = Vocabulary()
    readings = readings_of("Is the cube made of gold?", vocabulary, CLEVR)
    assert len(readings.tokens) == SUBSTITUTIONS
    assert readings.stray == STRAY
    texts = [vocabulary.decode(tokens) for tokens in readings.tokens]
    assert all(text.startswith("Is the cube made of") for text in texts)
    assert len(set(texts)) > 20
    assert 15 < texts.count("Is the cube made of") < 50  # every other time, on average, it says nothing
    assert not any(vocabulary.unknown_words(text) for text in texts)
    assert readings == readings_of("Is the cube made of gold?", vocabulary, CLEVR)


@pytest.mark.parametrize(
    "text", ["Are there three cubes?", "Is there no cube?", "Are there exactly as many?", "Are there 2 red things?"]
)
def test_numbers_and_negations_are_not_left_out(text: str) -> None:
    """*Are there three cubes?* is not *Are there any cubes?*"""
    readings = readings_of(text, Vocabulary(), CLEVR)
    assert readings.stray == STRAY
    assert len(readings.tokens) == SUBSTITUTIONS
    assert readings.asked_as == ""


def test_many_unknown_words_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_words, "parse", lambda *_: pytest.fail("that may take long"))
    text = "zig zag zog zug cube " * 20
    assert len(readings_of(text, Vocabulary(), CLEVR).tokens) == SUBSTITUTIONS


def test_the_answer_is_the_average_over_all_that_it_may_be() -> None:
    reasoner = a_reasoner()
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8))
    answerer = Answerer(reasoner, image, sure=0)
    pixels = torch.from_numpy(fit_image(image, 32, 24))
    for text in ("Is there a gold cube?", "Is the cube made of gold?"):
        readings = readings_of(text, reasoner.vocabulary, CLEVR)
        with torch.no_grad():
            each = [reasoner(one_question(pixels, tokens))[0].softmax(0).numpy() for tokens in readings.tokens]
        expected = (1 - readings.stray) * np.mean(each, axis=0) + readings.stray / len(ANSWER_WORDS)
        answer = answerer.ask(text)
        found = dict(answer.ranking)
        np.testing.assert_allclose([found[word] for word in ANSWER_WORDS], expected, atol=1e-6)
        assert answer.is_guess
        assert answer.num_readings == len(readings.tokens)
        assert f"the average over {answer.num_readings} questions that it may be" in answer.averaging
        assert answer.answer == ANSWER_WORDS[int(expected.argmax())]


def test_one_meaning_leaves_the_answer_as_it_is() -> None:
    answerer = Answerer(a_reasoner(), Image.new("RGB", (64, 48), "gray"))
    guessed, known = (answerer.ask(f"What color is {word} sphere?") for word in ("this", "the"))
    assert guessed.ranking == known.ranking
    assert guessed.is_guess
    assert guessed.averaging == "it can be only one question"
    assert not known.is_guess


@pytest.mark.parametrize("families", [FAMILIES, CLOSURE_FAMILIES], ids=["clevr", "closure"])
def test_every_form_of_clevrs_english_is_known(families: tuple[Family, ...]) -> None:
    for number in range(20):
        for written in write_questions(
            Scenes(0, "forms")[number], numpy_generator(number, "forms"), len(families), families
        ):
            assert readings_of(written.question, Vocabulary(), CLEVR).has_known_form


def test_a_form_that_clevrs_english_lacks_makes_a_guess_of_the_answer() -> None:
    """All words are known, and nothing ever asked in this way: what the model takes it for is not to be relied on."""
    vocabulary = Vocabulary()
    for text in ("Are both red cubes tiny?", "Is the red ball green?", "How many balls, big or small, are there?"):
        readings = readings_of(text, vocabulary, CLEVR)
        assert readings == Readings((vocabulary.encode(text),), STRAY, False)
    reasoner = a_reasoner()
    answerer = Answerer(reasoner, Image.new("RGB", (64, 48), "gray"), sure=0)
    guess, known = (answerer.ask(text) for text in ("Are both things red?", "What color is the thing?"))
    assert guess.is_guess
    assert not guess.has_known_form
    assert guess.unknown_words == ()
    assert guess.num_readings == 1
    assert known.has_known_form
    assert not known.is_guess
    pixels = torch.from_numpy(fit_image(answerer.image, 32, 24))
    with torch.no_grad():
        plain = reasoner(one_question(pixels, vocabulary.encode("Are both things red?")))[0].softmax(0)
    expected = (1 - STRAY) * plain.max() + STRAY / len(ANSWER_WORDS)
    assert guess.probability == pytest.approx(float(expected), abs=1e-6)


def test_free_wording_is_asked_in_clevrs_english() -> None:
    vocabulary = Vocabulary()
    for text in (
        "Is the brown cube shiny?",
        "In the picture, is the brown cube shiny?",
        "Is the brown block metallic?",
    ):
        means = "Are there any brown metal cubes?"
        assert readings_of(text, vocabulary, CLEVR) == Readings((vocabulary.encode(means),), asked_as=means)
    reasoner = a_reasoner()
    answerer = Answerer(reasoner, Image.new("RGB", (64, 48), "gray"))
    free, plain = (answerer.ask(text) for text in ("Is the brown cube shiny?", "Are there any brown metal cubes?"))
    assert free.ranking == plain.ranking
    assert (free.asked_as, plain.asked_as) == ("Are there any brown metal cubes?", "")
    assert not free.is_guess
    assert free.unknown_words == ()


def test_a_model_with_words_of_its_own_was_taught_other_forms() -> None:
    """One that learned from CLEVR-Humans, say."""
    vocabulary = Vocabulary((*Vocabulary().tokens, "front-most"))
    assert readings_of("Are both things red?", vocabulary, CLEVR).has_known_form


def test_gold_is_no_sure_yes() -> None:
    """Of the shipped model, about scenes that have cubes."""
    import clevr
    from clevr.world.render import render

    reasoner = clevr.load("clevr-small")
    for scene in Scenes(3, "gold").batch(range(6)):
        image = Image.fromarray(render([scene], 192, 144)[0].permute(1, 2, 0).numpy())
        for text in ("Is the cube made of gold?", "Is there a gold cube?", "How many gold things are there?"):
            assert Answerer(reasoner, image).ask(text).probability < 0.95
