"""CLEVR's published vocabulary and how a question is cut into its tokens.

The vocabulary that CLEVR's models share (clevr-iep, FiLM, MAC, ...; 93 question tokens, 32 answer
tokens) is the sorted list of the tokens of the training questions, after four special ones. It is
case-sensitive: the eight words that begin a question have a capital. One of its 89 words is the
empty string, because a few real questions hold two spaces in a row; this tokenizer never gives it,
but the place is kept so that the numbers agree with models trained elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from clevr.world.spec import CLEVR, MOST_OBJECTS, WorldError, WorldSpec
from fewshot_film.errors import InvalidValueError

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
_CLEVR_WORDS = frozenset(VOCABULARY)

ANSWERS = (*SPECIAL_TOKENS, *_ANSWERS.split())
"""The 32 answer tokens; the place of a token is its number."""

ANSWER_WORDS = ANSWERS[len(SPECIAL_TOKENS) :]
"""The 28 answers that a question of CLEVR can have."""


def _said(world: WorldSpec) -> set[str]:
    """The words for a world's own values."""
    return {word for words in world.words.values() for word in words} | set(world.plurals.values())


_FIXED = {*_WORDS.split()} - _said(CLEVR)
"""The words of the questions of every world."""


@cache
def vocabulary_of(world: WorldSpec) -> tuple[str, ...]:
    """The question tokens of a world; the place of a token is its number.

    Raises:
        WorldError: a word of the world is one that the questions have for something else.
    """
    taken = {word.lower() for word in _FIXED} | {"yes", "no"}
    clash = sorted(word for word in {*_said(world), *world.words} if word in taken)
    if clash:
        raise WorldError(
            f"world {world.name!r}: the word {clash[0]!r} is one that questions or answers have for something else; "
            "choose another"
        )
    return (*SPECIAL_TOKENS, "", *sorted(_FIXED | _said(world)))


@cache
def answers_of(world: WorldSpec) -> tuple[str, ...]:
    """The answers that a question of a world can have, sorted."""
    counts = (str(number) for number in range(MOST_OBJECTS + 1))
    return tuple(sorted({"yes", "no", *counts, *world.words}))


AMERICAN = {"colour": "color", "grey": "gray"}
"""British spellings of CLEVR's words."""


_NO_WORDS = str.maketrans(dict.fromkeys('?.!:"()\u201c\u201d', ""))
_ASKING = r"(?:could|can|would|will) you (?:please |kindly )?tell me|tell me|do you know|i wonder|i would like to know"
_COURTESY = re.compile(
    rf"(?:,\s*)?\b(?:please|kindly|thanks|thank you|(?<!.)(?:hello|hi|hey|ok|okay|well|so)|{_ASKING})\b(?:\s*[,!:])?",
    re.IGNORECASE,
)
_CONTRACTED = re.compile(r"(?<=\w)['\u2019]s\b", re.IGNORECASE)


def tokenize(text: str) -> list[str]:
    """The words of a question: ``;`` and ``,`` stand alone, other marks and words of courtesy fall away.

    *Please tell me, what's the size of the ball?* has the words of *what is the size of the ball*.
    """
    words = _split(text)
    if _CLEVR_WORDS.issuperset(words):
        return words
    return _split(_CONTRACTED.sub(" is", _COURTESY.sub(" ", text)))


def _split(text: str) -> list[str]:
    for mark in ";,":
        text = text.replace(mark, f" {mark} ")
    return text.translate(_NO_WORDS).split()


class Vocabulary:
    """Question tokens and their numbers.

    Args:
        tokens: the tokens in the order of their numbers, the four special ones among them; by default CLEVR's.

    Raises:
        ValueError: a special token is missing, or a token is there twice.
    """

    def __init__(self, tokens: Sequence[str] = VOCABULARY) -> None:
        self.tokens = tuple(tokens)
        self._number = {token: number for number, token in enumerate(self.tokens)}
        self._found: dict[tuple[str, bool], int] = {}
        missing = [token for token in SPECIAL_TOKENS if token not in self._number]
        if missing or len(self._number) != len(self.tokens):
            raise InvalidValueError(
                f"a vocabulary of {len(self.tokens)} tokens, {len(self._number)} of them different, without "
                f"{', '.join(missing) or 'none'} of the special ones; expected distinct tokens and all of those"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def number(self, token: str) -> int:
        """Number of a token as it is written; that of ``<UNK>`` if it is none of ours."""
        return self._number.get(token, self._number[UNK])

    def encode(self, text: str, *, bounds: bool = True) -> list[int]:
        """The token numbers of a question, between those of ``<START>`` and ``<END>``.

        A question typed by hand is brought to the spelling of the vocabulary: the first word with a
        capital, the others small, and British spelling American where only that is known. A word that is unknown all
        the same becomes ``<UNK>``.

        Args:
            text: the question.
            bounds: ``False`` leaves out ``<START>`` and ``<END>``.
        """
        numbers = [self._find(word, place == 0) for place, word in enumerate(self.words(text))]
        return [self._number[START], *numbers, self._number[END]] if bounds else numbers

    def words(self, text: str) -> list[str]:
        """The words of a question as they are written, known or not; commas only where they are known."""
        words = tokenize(text)
        return words if "," in self._number else [word for word in words if word != ","]

    def unknown_words(self, text: str) -> list[str]:
        """The words of a question that become ``<UNK>``, each once, in order."""
        words = enumerate(self.words(text))
        unknown = [word for place, word in words if self._find(word, place == 0) == self._number[UNK]]
        return list(dict.fromkeys(unknown))

    def decode(self, numbers: Sequence[int]) -> str:
        """The words of some token numbers, without the special tokens, joined by spaces.

        Raises:
            ValueError: a number is no token's.
        """
        for number in numbers:
            if not 0 <= number < len(self):
                raise InvalidValueError(f"token number {number} is outside the vocabulary of {len(self)}")
        words = (self.tokens[number] for number in numbers)
        return " ".join(word for word in words if word not in SPECIAL_TOKENS)

    def extended(self, words: Iterable[str]) -> Vocabulary:
        """This vocabulary with further words behind its own, sorted; those that it has already are left out."""
        return Vocabulary((*self.tokens, *sorted(set(words) - set(self.tokens))))

    def _find(self, word: str, is_first: bool) -> int:
        """Number of a word by the likeliest spelling that is ours; many questions share few words."""
        found = self._found.get((word, is_first))
        if found is None:
            spellings = [word.capitalize()] if is_first else []
            spellings += [word, word.lower(), AMERICAN.get(word.lower(), "")]
            known = [self._number[spelling] for spelling in spellings if spelling and spelling in self._number]
            found = known[0] if known else self._number[UNK]
            if known:
                self._found[word, is_first] = found
        return found


CLEVR_VOCABULARY = Vocabulary()
encode, decode = CLEVR_VOCABULARY.encode, CLEVR_VOCABULARY.decode
