"""CLEVR's published vocabulary and how a question is cut into its tokens.

The vocabulary that CLEVR's models share (clevr-iep, FiLM, MAC, ...; 93 question tokens, 32 answer
tokens) is the sorted list of the tokens of the training questions, after four special ones. It is
case-sensitive: the eight words that begin a question have a capital. One of its 89 words is the
empty string, because a few real questions hold two spaces in a row; this tokenizer never gives it,
but the place is kept so that the numbers agree with models trained elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

NULL, START, END, UNK = "<NULL>", "<START>", "<END>", "<UNK>"
SPECIAL_TOKENS = (NULL, START, END, UNK)

_WORDS = """
    ; Are Do Does How Is The There What
    a an and another any anything are as ball balls behind big block blocks blue both brown
    color cube cubes cyan cylinder cylinders does either else equal fewer front
    gray greater green has have how in is it its large left less made many material matte metal metallic more
    number object objects of on or other purple red right rubber same shape shiny side size small
    sphere spheres than that the there thing things tiny to visible what yellow
"""
_ANSWERS = """
    0 1 10 2 3 4 5 6 7 8 9
    blue brown cube cyan cylinder gray green large metal no purple red rubber small sphere yellow yes
"""

VOCABULARY = (*SPECIAL_TOKENS, "", *_WORDS.split())
"""The 93 question tokens; the place of a token is its number."""

ANSWERS = (*SPECIAL_TOKENS, *_ANSWERS.split())
"""The 32 answer tokens; the place of a token is its number."""

_NUMBER = {token: number for number, token in enumerate(VOCABULARY)}


def tokenize(text: str) -> list[str]:
    """The words of a question: ``;`` and ``,`` stand alone, ``?`` and ``.`` fall away."""
    for mark in ";,":
        text = text.replace(mark, f" {mark} ")
    return text.replace("?", "").replace(".", "").split()


def encode(text: str, *, bounds: bool = True) -> list[int]:
    """The token numbers of a question, between those of ``<START>`` and ``<END>``.

    A question typed by hand is brought to the spelling of the vocabulary: the first word with a
    capital, the others small. A word that is unknown all the same becomes ``<UNK>``.

    Args:
        text: the question.
        bounds: ``False`` leaves out ``<START>`` and ``<END>``.
    """
    words = tokenize(text)
    numbers = [_number(word.capitalize(), word, word.lower()) for word in words[:1]]
    numbers += [_number(word, word.lower()) for word in words[1:]]
    return [_NUMBER[START], *numbers, _NUMBER[END]] if bounds else numbers


def _number(*spellings: str) -> int:
    return next((_NUMBER[spelling] for spelling in spellings if spelling in _NUMBER), _NUMBER[UNK])


def decode(numbers: Sequence[int]) -> str:
    """The words of some token numbers, without the special tokens, joined by spaces.

    Raises:
        ValueError: a number is no token's.
    """
    for number in numbers:
        if not 0 <= number < len(VOCABULARY):
            raise ValueError(f"token number {number} is outside the vocabulary of {len(VOCABULARY)}")
    words = (VOCABULARY[number] for number in numbers)
    return " ".join(word for word in words if word not in SPECIAL_TOKENS)
