"""What a question may say that has words which the model does not know, or a form that CLEVR's English lacks.

Where free wording stands for one of CLEVR's questions, that one is asked (:mod:`clevr.questions.free_wording`). A
word that stays unknown may mean what any other would in its place, or nothing. Where the question then is one of
CLEVR's English, it may be any of those, all equally likely, and its answer is the average over theirs. Where it is
none, each unknown word is left out or replaced by a known one at random, many times over; a share of the probability
is then spread over all answers, for what CLEVR's English cannot say. So it is where all words are known, and CLEVR's
English has no such question: the model reads it as the nearest that it learned, and is as sure of it as of any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from clevr.questions.free_wording import read_freely
from clevr.questions.lexicon import lexicon_of
from clevr.questions.logical_form import LogicalForm
from clevr.questions.parser import parse
from clevr.questions.realizer import realize
from clevr.questions.tokens import SPECIAL_TOKENS, Vocabulary, vocabulary_of
from clevr.world.spec import WorldSpec
from fewshot_film.run.seeding import numpy_generator

MOST_WORDS = 3
"""With more unknown words a question may be nearly any."""
MOST_READINGS = 200
"""What a question may say is thinned out evenly above this."""
_COUNTS = (
    "two three four five six seven eight nine ten 2 3 4 5 6 7 8 9 10 both all every each most half exactly just only"
)
_DENIES = "no not none neither nor never isn't aren't without except but"
BEYOND = frozenset((*_COUNTS.split(), *_DENIES.split()))
"""Unknown words that say what CLEVR's English cannot: how many there are, that something is not, that all are."""
SUBSTITUTIONS = 64
"""How often unknown words are replaced at random in a question that is none of CLEVR's English."""
STRAY = 0.2
"""Share of the probability for what CLEVR's English cannot say. Of questions in free wording whose words clevr-small
all knows, it answers 24 % fewer right than it is sure of; with 0.2 its probabilities for those were the most honest."""


@dataclass(frozen=True)
class Readings:
    """What a question may say."""

    tokens: tuple[list[int], ...]
    """Questions that it may be, all equally likely, as token numbers."""
    stray: float = 0.0
    """Probability that it is none of them, so that nothing speaks for one answer more than for another."""
    has_known_form: bool = True
    """Whether CLEVR's English has questions of this form; True where there are unknown words."""
    unknown: tuple[str, ...] = ()
    """Words that the question has and the model does not know, and that say something."""
    asked_as: str = ""
    """In CLEVR's English, where it was put otherwise; empty where it may be several questions."""


def readings_of(text: str, vocabulary: Vocabulary, world: WorldSpec) -> Readings:
    """What a question may say: itself, if all its words are known.

    Forms are looked at where the model knows the words of CLEVR's English alone, which it learned from no other text.

    Args:
        text: a question of which some words are known.
        vocabulary: the words that the model knows.
        world: what the question is about.
    """
    unknown = vocabulary.unknown_words(text)
    knows_more = not set(vocabulary.tokens) <= set(vocabulary_of(world))
    if not unknown and (knows_more or parse(text, world)):
        return Readings((vocabulary.encode(text),))
    if forms := read_freely(text, world):
        return _readings(forms, vocabulary, world)
    if not unknown:
        return Readings((vocabulary.encode(text),), STRAY, has_known_form=False)
    words = vocabulary.words(text)
    may_fit = sum(word in unknown for word in words) <= MOST_WORDS and BEYOND.isdisjoint(map(str.lower, unknown))
    if forms := parse(text, world, unknown) if may_fit else ():
        return dataclasses.replace(_readings(forms, vocabulary, world), unknown=tuple(unknown), asked_as="")
    return Readings(_replaced(words, unknown, vocabulary), STRAY, unknown=tuple(unknown))


def _readings(forms: Sequence[LogicalForm], vocabulary: Vocabulary, world: WorldSpec) -> Readings:
    """Questions of CLEVR's English, thinned out evenly where they are many."""
    some = forms[:: -(-len(forms) // MOST_READINGS)]
    texts = [realize(form, lambda choices: choices[0], lexicon_of(world)) for form in some]
    return Readings(tuple(vocabulary.encode(one) for one in texts), asked_as=texts[0] if len(texts) == 1 else "")


def _replaced(words: Sequence[str], unknown: Sequence[str], vocabulary: Vocabulary) -> tuple[list[int], ...]:
    """The question with each unknown word left out or replaced, at random; the same at every call."""
    known = [word for word in vocabulary.tokens if word.isalpha() and word not in SPECIAL_TOKENS]
    drawn = numpy_generator(0, "unknown words", *words)
    found = list[list[int]]()
    for _ in range(SUBSTITUTIONS):
        others = {word: str(drawn.choice(known)) if drawn.random() < 0.5 else "" for word in unknown}
        found.append(vocabulary.encode(" ".join(others.get(word, word) for word in words)))
    return tuple(found)
