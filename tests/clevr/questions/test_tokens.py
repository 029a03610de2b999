from __future__ import annotations

import json
from pathlib import Path

import pytest

from clevr.questions.parser import parse
from clevr.questions.tokens import (
    ANSWERS,
    CLEVR_VOCABULARY,
    SPECIAL_TOKENS,
    VOCABULARY,
    Vocabulary,
    decode,
    encode,
    tokenize,
)
from clevr.world.scene import COLORS, MATERIALS, SHAPES, SIZES


def test_sizes_and_order_are_the_published_ones() -> None:
    """93 and 32 tokens: four special ones, then the words in the order of their characters."""
    assert (len(VOCABULARY), len(ANSWERS)) == (93, 32)
    assert VOCABULARY[:4] == ANSWERS[:4] == SPECIAL_TOKENS == ("<NULL>", "<START>", "<END>", "<UNK>")
    for tokens in (VOCABULARY[4:], ANSWERS[4:]):
        assert list(tokens) == sorted(set(tokens))


def test_answers() -> None:
    numbers = {str(number) for number in range(11)}
    assert set(ANSWERS[4:]) == numbers | {"yes", "no", *COLORS, *SHAPES, *SIZES, *MATERIALS}


def test_tokenize() -> None:
    text = "There is a big ball;  how many things, if any, are behind it?"
    assert tokenize(text)[:7] == ["There", "is", "a", "big", "ball", ";", "how"]
    assert tokenize(text)[-2:] == ["behind", "it"]
    assert tokenize(text).count(",") == 2
    assert tokenize("It is red.") == ["It", "is", "red"]
    assert tokenize(" ?") == []


def test_encode_between_bounds() -> None:
    numbers = encode("What size is it?")
    assert [VOCABULARY[number] for number in numbers] == ["<START>", "What", "size", "is", "it", "<END>"]
    assert encode("What size is it?", bounds=False) == numbers[1:-1]


def test_words_typed_by_hand() -> None:
    assert encode("WHAT Size is it") == encode("What size is it?")
    assert encode("what size is it") == encode("What size is it?")
    assert [VOCABULARY[number] for number in encode("do elephants", bounds=False)] == ["Do", "<UNK>"]
    assert decode(encode("small cubes")) == "small cubes"
    assert encode("", bounds=False) == []


def test_decode() -> None:
    assert decode([*encode("What size is it?"), 0, 0]) == "What size is it"
    with pytest.raises(ValueError, match="token number 93 is outside the vocabulary of 93"):
        decode([93])


def test_every_word_of_the_real_questions_is_known(shared_data: Path) -> None:
    """All 88 words occur there, so that none of ours is superfluous either."""
    folder = shared_data / "clevr-v1-sample" / "questions"
    records = json.loads((folder / "CLEVR_val_questions.json").read_text())["questions"]
    records += json.loads((folder / "val_questions_text_only.json").read_text())
    words = {word for record in records for word in tokenize(record["question"])}
    assert words == set(VOCABULARY[5:])
    assert {record["answer"] for record in records} <= set(ANSWERS)


def test_a_vocabulary_with_more_words() -> None:
    larger = CLEVR_VOCABULARY.extended(["shiniest", "red", "also"])
    assert larger.tokens == (*VOCABULARY, "also", "shiniest")
    assert larger.encode("the Shiniest one", bounds=False) == [encode("The", bounds=False)[0], 94, 3]
    assert larger.decode([93, 94]) == "also shiniest"
    assert CLEVR_VOCABULARY.unknown_words("Is the shiniest shiniest one red?") == ["shiniest", "one"]
    assert larger.unknown_words("Is the shiniest one red?") == ["one"]
    assert larger != CLEVR_VOCABULARY
    assert Vocabulary(VOCABULARY) == CLEVR_VOCABULARY


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("<NULL>", "<START>", "<END>", "red"), "without <UNK> of the special ones"),
        ((*SPECIAL_TOKENS, "red", "red"), "of 6 tokens, 5 of them different"),
    ],
)
def test_a_vocabulary_that_is_none(tokens: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary(tokens)


def test_british_words_are_read_as_american_ones_unless_the_vocabulary_has_them():
    assert CLEVR_VOCABULARY.encode("What colour is the Grey cube?") == CLEVR_VOCABULARY.encode(
        "What color is the gray cube?"
    )
    assert CLEVR_VOCABULARY.unknown_words("What colour is it?") == []
    larger = CLEVR_VOCABULARY.extended(["grey"])
    assert larger.encode("grey", bounds=False) == [larger.number("grey")]


@pytest.mark.parametrize(
    "text",
    [
        "Please, how many red things are there?",
        "How many red things are there, please?!",
        "how many red things are there... thanks",
        "Hello, could you please tell me: how many red things are there?",
        'Tell me "how many red things are there".',
        "So, how many (red) things are there?",
        "I wonder how many red things are there",
    ],
)
def test_courtesy_and_punctuation_say_nothing(text: str) -> None:
    assert CLEVR_VOCABULARY.encode(text) == encode("How many red things are there?")
    assert CLEVR_VOCABULARY.unknown_words(text) == []
    assert [form.asks for form in parse(text)] == ["count"]


def test_contractions_and_british_spelling() -> None:
    assert encode("What's the colour of the grey ball?") == encode("What is the color of the gray ball?")


def test_what_only_looks_like_courtesy_stays() -> None:
    assert tokenize("Are so many cubes well lit?") == ["Are", "so", "many", "cubes", "well", "lit"]
    assert CLEVR_VOCABULARY.unknown_words("Is the cube made of gold?") == ["gold"]
    assert tokenize("Please?") == []
