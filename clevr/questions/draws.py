"""Draws well-posed questions of one family from one scene, with balanced answers.

How the balance comes about without counters. What a reader of the text alone could use, above all
*how much* each description tells (few words, many objects), is drawn first; then questions that
agree in it are collected from the scene until several answers are among them, and only then is the
answer chosen, by lot. A text is thus as likely to come with one answer as with another, every
question is a function of its scene and its random numbers alone, and any range of scenes can be
written on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from clevr.questions.dice import Dice
from clevr.questions.families import Family
from clevr.questions.meaning import Description, Either, Meaning, Things
from clevr.questions.phrases import Origin, Phrases
from clevr.questions.programs import ATTRIBUTES, VALUES
from clevr.questions.view import Option, SceneView

Answer = bool | int | str
Offer = tuple[Answer, tuple[Things, ...]]
"""A question that a scene could be asked: its answer and the things it is about."""

COUNT_WEIGHTS = (0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 10.0)
"""How gladly each count from 0 to 10 is taken as the answer: large ones, which few scenes offer, gladly."""

_SKETCHES = 2
"""So often is a family tried on a scene, each time telling another amount of its sets ..."""
_DRAWS = 20
"""... in so many draws, before the scene is said to have no such question."""
_WELCOME = 2.0
"""An answer of this weight is rare enough to be taken even where the scene offers no other."""
_COUNT_DRAWS = 5
"""Counting questions are collected from at least so many draws, which gives rare answers room."""


def draw_question(family: Family, view: SceneView, dice: Dice) -> tuple[Meaning, Answer] | None:
    """One question of a family about a scene, and its answer.

    Returns:
        ``None`` where the scene offers none, or only such with one and the same answer.
    """
    phrases = Phrases(view, dice)
    for _ in range(_SKETCHES):
        found = _collect(_offers(family, phrases), _COUNT_DRAWS if family.asks == "count" else 1)
        if len(found) > 1 or any(_weight(answer) >= _WELCOME for answer in found):
            answers = list(found)
            answer = dice.weigh(answers, [_weight(answer) for answer in answers])
            return Meaning(family.asks, dice.pick(found[answer])), answer
    return None


def _weight(answer: Answer) -> float:
    return COUNT_WEIGHTS[answer] if type(answer) is int else 1.0


def _collect(offers: Iterator[list[Offer]], least_draws: int) -> dict[Answer, list[tuple[Things, ...]]]:
    """Questions by their answers, until there are two answers and draws enough."""
    found: dict[Answer, list[tuple[Things, ...]]] = {}
    for number, some in enumerate(islice(offers, _DRAWS), start=1):
        for answer, about in some:
            found.setdefault(answer, []).append(about)
        if len(found) > 1 and number >= least_draws:
            break
    return found


def _offers(family: Family, phrases: Phrases) -> Iterator[list[Offer]]:
    """Questions of a family, without end, a few at a time; all tell equally much of their sets."""
    asked, _, attribute = family.asks.partition("_")
    if "|" in family.about[0]:
        return _unions(family, phrases)
    if asked in ("count", "exist"):
        return _sets(family, phrases)
    if asked == "query":
        return _values(family, phrases, attribute)
    if attribute in ATTRIBUTES:
        return _equal_values(family, phrases, attribute)
    return _comparisons(family, phrases)


def _shape(family: Family) -> str:
    return f"s {family.attribute}" if family.about[0][0] == "s" else family.about[0]


def _sets(family: Family, phrases: Phrases) -> Iterator[list[Offer]]:
    """How many there are, or whether there are any."""
    counts = family.asks == "count"
    if family.about == ("s",):
        mask = 0
    elif family.about == ("s+",):
        mask = phrases.mask(family.attribute, least=1)
    else:
        mask = phrases.mask(least=0 if counts or family.about != ("x",) else 1)
    while True:
        origin = phrases.origin(_shape(family))
        options = _set_options(phrases, origin, mask) if origin else []
        yield [
            (objects.bit_count() if counts else objects > 0, (Things(description, origin and origin.source),))
            for description, objects in options
        ]


def _set_options(phrases: Phrases, origin: Origin, mask: int) -> list[Option]:
    """The descriptions of a mask; in the whole scene, where each fits something, one more that does not."""
    options = phrases.options(origin, mask)
    if origin.source is None:
        absent = phrases.view.absent(mask, phrases.dice.pick)
        if absent is not None:
            options = [*options, (absent, 0)]
    return options


def _values(family: Family, phrases: Phrases, attribute: str) -> Iterator[list[Offer]]:
    """Which value an attribute has."""
    while True:
        named = phrases.named(_shape(family), attribute)
        yield [(phrases.view.values[attribute][named.object], (named.things,))] if named else []


def _equal_values(family: Family, phrases: Phrases, attribute: str) -> Iterator[list[Offer]]:
    """Whether two objects agree in an attribute."""
    values = phrases.view.values[attribute]
    while True:
        one = phrases.named(family.about[0], attribute)
        other = one and phrases.named(family.about[1], attribute, one.taken)
        if one is None or other is None:
            yield []
        else:
            yield [(values[one.object] == values[other.object], (one.things, other.things))]


def _comparisons(family: Family, phrases: Phrases) -> Iterator[list[Offer]]:
    """Whether there are more, fewer or as many of these than of those."""
    masks = [phrases.mask(least=shape == "x") for shape in family.about]
    dice = phrases.dice
    plain = family.about == ("x", "x")
    while True:
        one = phrases.origin(family.about[0])
        other = one and phrases.origin(family.about[1], one.taken)
        if one is None or other is None:
            yield []
            continue
        left, right = (_set_options(phrases, *side) for side in zip((one, other), masks, strict=True))
        offers: list[Offer] = []
        for _ in range(8 if left and right else 0):
            (these, some), (those, more) = dice.pick(left), dice.pick(right)
            difference = some.bit_count() - more.bit_count()
            # CLEVR compares neither a set with itself, nor (less, greater) two plain sets of one size.
            if plain and (these == those or (difference == 0 and family.asks != "equal_integer")):
                continue
            about = (Things(these, one.source), Things(those, other.source))
            offers.append((_COMPARE[family.asks](difference), about))
        yield offers


_COMPARE = {
    "equal_integer": lambda difference: difference == 0,
    "less_than": lambda difference: difference < 0,
    "greater_than": lambda difference: difference > 0,
}


def _unions(family: Family, phrases: Phrases) -> Iterator[list[Offer]]:
    """How many there are of these and those together."""
    shapes = family.about[0].split("|")
    hidden = (family.attribute,) if family.attribute else ()
    masks = [phrases.mask(*hidden, least=shape == "x") for shape in shapes]
    dice, fitting = phrases.dice, phrases.view.fitting
    while True:
        told = _told(family.attribute, dice)
        one = phrases.origin(shapes[0])
        other = one and phrases.origin(shapes[1], one.taken)
        if one is None or other is None:
            yield []
            continue
        left, right = (_set_options(phrases, *side) for side in zip((one, other), masks, strict=True))
        offers: list[Offer] = []
        for _ in range(8 if left and right else 0):
            (these, some), (those, more) = dice.pick(left), dice.pick(right)
            kept = fitting(told)
            union = (some | more) & kept
            idle = (one.source and (fitting(these) | more) & kept == union) or (
                other.source and (some | fitting(those)) & kept == union
            )
            if some != more and not idle:
                both = Either(Things(these, one.source), Things(those, other.source))
                offers.append((union.bit_count(), (Things(told, both),)))
        yield offers


def _told(attribute: str, dice: Dice) -> Description:
    """A description that tells one attribute, or nothing."""
    told = (dice.pick(VALUES[name]) if name == attribute else None for name in ATTRIBUTES)
    size, color, material, shape = told
    return size, color, material, shape
