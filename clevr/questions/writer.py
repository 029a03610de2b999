"""Writes the questions of a scene, with balanced answers.

How the balance comes about without counters: the questions that a scene could be asked are collected
until two of different answers are among them that are indistinguishable without the image, and only
then is the answer chosen, at random. A text is thus as likely to come with one answer as with another, every
question is a function of its scene and its random numbers alone, and any range of scenes can be
written on its own.

The questions of one family that a scene could be asked come a few at a time and without end, each with what its text
alone gives away. Much of it is how *much* the text tells of a set of things (few words, many objects); so that amount,
a mask, is drawn first and kept for some draws.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from clevr.questions.families import FAMILIES, FAMILY_WEIGHTS, Family
from clevr.questions.lexicon import lexicon_of
from clevr.questions.logical_form import (
    Description,
    Intersection,
    LogicalForm,
    ObjectSet,
    Related,
    Same,
    Union,
    implies,
)
from clevr.questions.programs import answer_text
from clevr.questions.question import Question
from clevr.questions.realizer import realize
from clevr.questions.referring_expressions import Origin, ReferringExpressions, SceneView, StableRandom
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES, MOST_OBJECTS
from fewshot_film.errors import InvalidValueError

Answer = bool | int | str


class Candidate(NamedTuple):
    """A question that a scene could be asked."""

    answer: Answer
    about: tuple[ObjectSet, ...]
    hint: Hashable
    """What the text gives away of the answer; candidates of the same hint are indistinguishable without the image."""


MASK_DRAWS = 12
"""So many draws in a row tell equally much of their sets."""
_PAIRS = 8
"""Number of pairs of descriptions that are tried for each sampled pair of sets."""


def candidates(family: Family, phrases: ReferringExpressions) -> Iterator[list[Candidate]]:
    """Questions of a family about a scene: an endless series of draws, some of which are empty."""
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


def _shape(notation: str, attribute: str) -> str:
    """A notation of the families as :meth:`ReferringExpressions.origin` takes it."""
    return f"{notation.removesuffix('+')} {attribute}" if "s" in notation else notation


def _sets(family: Family, phrases: ReferringExpressions) -> Iterator[list[Candidate]]:
    """How many there are, or whether there are any."""
    answer = int.bit_count if family.asks == "count" else bool
    while True:
        mask = _mask_of_set(family, phrases)
        for _ in range(MASK_DRAWS):
            sets = _things(phrases, phrases.origin(_shape(family.about[0], family.attribute)), mask)
            yield [Candidate(answer(objects), (things,), mask) for things, objects in sets]


def _mask_of_set(family: Family, phrases: ReferringExpressions) -> int:
    match family.about[0]:
        case "s":
            return 0
        case "s+" | "srx":
            return phrases.mask(family.attribute, least=1)
        case shape:
            return phrases.mask(least=int(shape == "x" and family.asks == "exist"))


def _things(phrases: ReferringExpressions, origin: Origin | None, mask: int) -> list[tuple[ObjectSet, int]]:
    """The things of a mask and their objects; in the whole scene, with one description that fits nothing."""
    if origin is None:
        return []
    options = phrases.options(origin, mask)
    if origin.source is None:
        absent = phrases.view.absent(mask, phrases.draw.pick)
        options += [(absent, 0)] if absent else []
    return [(ObjectSet(description, origin.source), objects) for description, objects in options]


def _values(family: Family, phrases: ReferringExpressions, attribute: str) -> Iterator[list[Candidate]]:
    """Which value an attribute has."""
    while True:
        named = phrases.named(_shape(family.about[0], family.attribute), attribute)
        if named is None:
            yield []
        else:
            value = phrases.view.values[attribute][named.object]
            yield [Candidate(value, (named.things,), _told_of_landmarks(named.things, attribute))]


def _told_of_landmarks(things: ObjectSet, attribute: str) -> frozenset[str]:
    """The values of an attribute that a phrase tells of its landmarks.

    They hint at the value of the things themselves: what is *the large cube* is the only large cube.
    With eight colours there is next to nothing in it.
    """
    if attribute == "color":
        return frozenset()
    match things.source:
        case Related(_, to) | Same(_, to):
            landmarks = [to]
        case Intersection(first, second):
            landmarks = [first.to, second.to]
        case _:
            return frozenset()
    place = ATTRIBUTES.index(attribute)
    told = {value for landmark in landmarks if (value := landmark.description[place])}
    return frozenset(told).union(*(_told_of_landmarks(landmark, attribute) for landmark in landmarks))


def _equal_values(family: Family, phrases: ReferringExpressions, attribute: str) -> Iterator[list[Candidate]]:
    """Whether two objects agree in an attribute."""
    values = phrases.view.values[attribute]
    left, right = (_shape(about, family.attribute) for about in family.about)
    while True:
        one = phrases.named(left, attribute)
        other = one and phrases.named(right, attribute, one.taken)
        if one is None or other is None:
            yield []
        else:
            yield [Candidate(values[one.object] == values[other.object], (one.things, other.things), None)]


def _comparisons(family: Family, phrases: ReferringExpressions) -> Iterator[list[Candidate]]:
    """Whether there are more, fewer or as many of these than of those."""
    plain = family.about == ("x", "x")
    for masks in _masks_of_sides(family.about, phrases, ((), ())):
        found: list[Candidate] = []
        for (one, some), (other, more) in _pairs(phrases, family.about, masks):
            difference = some.bit_count() - more.bit_count()
            # Of two plain sets CLEVR asks no less or greater where their sizes are equal; and nobody
            # need look to know that there are no more red cubes than cubes.
            even = plain and difference == 0 and family.asks != "equal_integer"
            if not even and not _contains(other, one) and not _contains(one, other):
                found.append(Candidate(_COMPARE[family.asks](difference), (one, other), masks))
        yield found


_COMPARE = {
    "equal_integer": lambda difference: difference == 0,
    "less_than": lambda difference: difference < 0,
    "greater_than": lambda difference: difference > 0,
}


def _unions(family: Family, phrases: ReferringExpressions) -> Iterator[list[Candidate]]:
    """How many there are of these and those together."""
    notations = family.about[0].split("|")
    shapes = [_shape(notation, family.attribute) for notation in notations]
    shares = any("s" in notation for notation in notations)
    fixed = (family.attribute,) if family.attribute else ()
    hidden = [fixed if not shares or "s" in notation else () for notation in notations]
    fitting = phrases.view.fitting
    for masks in _masks_of_sides(shapes, phrases, hidden):
        told = _told("" if shares else family.attribute, phrases)
        kept = fitting(told)
        found: list[Candidate] = []
        for (one, some), (other, more) in _pairs(phrases, shapes, masks):
            union = (some | more) & kept
            # A side without its source; the source is idle where the union stays the same.
            wide, wider = fitting(one.description) | more, some | fitting(other.description)
            idle = (one.source and wide & kept == union) or (other.source and wider & kept == union)
            if some != more and not idle and not _contains(one, other) and not _contains(other, one):
                found.append(Candidate(union.bit_count(), (ObjectSet(told, Union(one, other)),), masks))
        yield found


def _masks_of_sides(
    shapes: Sequence[str], phrases: ReferringExpressions, hidden: Sequence[tuple[str, ...]]
) -> Iterator[tuple[int, ...]]:
    """How much to tell of each of two sets, without the hidden attributes of each; the same for some draws."""
    sides = list(zip(shapes, hidden, strict=True))
    while True:
        yield from (tuple(phrases.mask(*names, least=shape == "x") for shape, names in sides),) * MASK_DRAWS


def _contains(one: ObjectSet, other: ObjectSet) -> bool:
    """Whether the words alone tell that all of the other things are among the first."""
    return one.source is None and implies(other.description, one.description)


def _pairs(
    phrases: ReferringExpressions, shapes: Sequence[str], masks: tuple[int, ...]
) -> Iterator[tuple[tuple[ObjectSet, int], tuple[ObjectSet, int]]]:
    """Some pairs of sets, each as things and the objects that they are."""
    one = phrases.origin(shapes[0])
    other = one and phrases.origin(shapes[1], one.taken)
    left, right = _things(phrases, one, masks[0]), _things(phrases, other, masks[1])
    for _ in range(_PAIRS if left and right else 0):
        yield phrases.draw.pick(left), phrases.draw.pick(right)


def _told(attribute: str, phrases: ReferringExpressions) -> Description:
    """A description that tells one attribute, or nothing."""
    values = phrases.view.world.values
    told = (phrases.draw.pick(values[name]) if name == attribute else None for name in ATTRIBUTES)
    size, color, material, shape = told
    return size, color, material, shape


COUNT_WEIGHTS = (0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 10.0)
"""Sampling weight of each count from 0 to 10 as the answer: large for large counts, which few scenes offer."""

_WELCOME = 2.0
"""An answer of this weight is rare enough to be taken even where the scene offers no other."""
_DRAWS = 2 * MASK_DRAWS
"""Number of attempts after which a scene counts as having no such question."""
_COUNT_DRAWS = 5
"""Minimum number of samples from which counting questions are collected, so that rare answers occur."""


def draw_question(family: Family, view: SceneView, draw: StableRandom) -> tuple[LogicalForm, Answer] | None:
    """One question of a family about a scene, and its answer.

    Returns:
        ``None`` where the scene offers none, or only such whose answer could be guessed.
    """
    found = _collect(family, ReferringExpressions(view, draw))
    if found is None:
        return None
    answers = list(found)
    answer = draw.weigh(answers, [_weight(answer) for answer in answers])
    return LogicalForm(family.asks, draw.pick(found[answer])), answer


def _collect(family: Family, phrases: ReferringExpressions) -> dict[Answer, list[tuple[ObjectSet, ...]]] | None:
    """Questions of one hint, by their answers."""
    found: dict[Hashable, dict[Answer, list[tuple[ObjectSet, ...]]]] = {}
    least_draws = _COUNT_DRAWS if family.asks == "count" else 1
    is_open = False  # whether one hint has come with two answers
    for number, offered in enumerate(islice(candidates(family, phrases), _DRAWS), start=1):
        for answer, about, hint in offered:
            answers = found.get(hint)
            if answers is None:
                found[hint] = {answer: [about]}
            elif answer in answers:
                answers[answer].append(about)
            else:
                answers[answer] = [about]
                is_open = True
        if is_open and number >= least_draws:
            return next(answers for answers in found.values() if len(answers) > 1)
    return next((answers for answers in found.values() if _weight(next(iter(answers))) >= _WELCOME), None)


def _weight(answer: Answer) -> float:
    return COUNT_WEIGHTS[answer] if type(answer) is int else 1.0


def write_questions(
    scene: Scene,
    rng: np.random.Generator,
    num_questions: int = 10,
    families: Sequence[Family] = FAMILIES,
    weights: Sequence[float] = FAMILY_WEIGHTS,
) -> list[Question]:
    """Well-posed questions about a scene, each of another family, with balanced answers.

    They depend on the arguments and the generator's state alone: seed it from (seed, split, image index).

    Args:
        scene: the scene to ask about.
        rng: the source of all randomness; one number is drawn from it.
        num_questions: how many to write. A scene of few objects may have fewer to offer.
        families: the families to choose from.
        weights: how eagerly each family is tried, by its number.

    Returns:
        At most ``num_questions`` questions; their ``question_index`` counts from
        ``num_questions * image_index``.

    Raises:
        ValueError: more questions are asked for than there are families, or the scene has more objects than the
            largest count that is an answer.
    """
    if len(scene.objects) > MOST_OBJECTS:
        raise InvalidValueError(
            f"scene {scene.image_index} has {len(scene.objects)} objects; questions can be asked about at most "
            f"{MOST_OBJECTS}, the largest count that is an answer"
        )
    if not 0 <= num_questions <= len(families):
        raise InvalidValueError(
            f"num_questions is {num_questions}: each question of a scene is of another family, "
            f"so expected 0 to {len(families)}"
        )
    draw, view, questions = StableRandom(rng), SceneView(scene), list[Question]()
    first = scene.image_index * num_questions
    for place in draw.order([weights[family.index] for family in families]):
        if len(questions) == num_questions:
            break
        drawn = draw_question(families[place], view, draw)
        if drawn is not None:
            questions.append(_question(scene, families[place], *drawn, first + len(questions), draw))
    return questions


def _question(
    scene: Scene, family: Family, form: LogicalForm, answer: Answer, number: int, draw: StableRandom
) -> Question:
    """The record of a question, in words that are drawn."""
    return Question(
        question=realize(form, draw.pick, lexicon_of(scene.world)),
        image_index=scene.image_index,
        image_filename=scene.image_filename,
        split=scene.split,
        question_index=number,
        answer=answer_text(answer),
        program=form.program(),
        question_family_index=family.index,
    )
