"""Kinds of answers: how each is read from a model's text, and how it is scored against the true one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from clevr.questions.lexicon import WORDS
from clevr.questions.programs import VALUES, Program
from clevr.tasks.statements import Language, Nothing, Reading, final_answer
from fewshot_film.errors import InvalidValueError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""

_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty
"""
_NUMBER_WORDS: dict[str, float] = {word: float(number) for number, word in enumerate(_NUMBERS.split())} | {"none": 0.0}
_ADJECTIVES = [word for name in ("size", "color", "material") for value in VALUES[name] for word in WORDS[value]]
_NO_THINGS = (
    rf"\bno (?:(?:{'|'.join(_ADJECTIVES)}|grey|such|other|visible|more) ){{0,4}}"
    r"(?:cubes?|blocks?|spheres?|balls?|cylinders?|things?|objects?|items?)\b"
)
_NUMBER = re.compile(
    r"(?<![\w.])(?:-(?=\d))?\d{1,12}(?:,\d{3})*(?:\.\d{1,12})?(?!\w|\.\d)|\b(?:"
    + "|".join(_NUMBER_WORDS)
    + r")\b|\b(?:is|are|were|was|have|has) no\b|\b(?:are|is) not any\b|"
    + _NO_THINGS
)
_NOT_EXACT = re.compile(
    r"(?:\b(?:at least|at most|more than|less than|fewer than|up to|about|around|roughly|approximately|approx\.?|"
    r"nearly|almost|over|under|between|greater than|close to|minimum of|maximum of|minus|negative|twice|half of|"
    r"thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred(?: and)?|dozen(?: or)?)[ -]|[<>≤≥~≈±])\s*#|"
    r"#\s*(?:plus\b|ish\b|%|[+×x*/^–-]|\.\.|to\s*#)|"
    r"#[ -](?:and a half|halves|thirds?|quarters?|percent|pairs?|dozens?|hundreds?|thousands?|millions?)\b"
)
_OPEN_ENDED = re.compile(
    r"\b(?:or (?:more|fewer|less|so|higher|lower)|give or take|at least|at most|approximately|roughly|minimum|"
    r"maximum)\b"
)
_OTHERS_THAN = re.compile(r"(?<=[a-z]) (?:that|which) (?:are|do|have) not\b(?! (?:right|correct|it|so|true))[^#]*$")
_PRONOUN = re.compile(
    r"\b(?:the|this|that|other|each|another|every|which|any|" + "|".join(VALUES["color"]) + r") one\b|\bone of\b"
)
_DETAILS = re.compile(r"[:(]")
_DOUBT = re.compile(r"\b(?:or|maybe|perhaps|possibly|could|might|not|at least|at most|approximately|roughly)\b")
_NEGATOR = re.compile(
    r"\b(?:not|never|neither|nor|non|without|except|excluding|wrong|incorrect|false|impossible|untrue|rather than|"
    r"instead of|other than|(?:anything|everything|all|every \w+|any \w+) but)\b|\bno\s*$"
)
_ALTERNATIVE = re.compile(r"\s*,?\s*\b(?:or|nor)\s*")


def _stated(masked: str, values: Sequence[object]) -> Reading:
    """The one value left of some, each marked ``#`` in the sentence, after those that are denied."""
    if not values:
        return Nothing.SILENT
    parts = masked.split("#")
    kept = set()
    denied = False
    for before, value in zip(parts, values, strict=False):
        denied = _denied(before) or (denied and bool(_ALTERNATIVE.fullmatch(before)))  # "not 2 or 3"
        if not denied:
            kept.add(value)
    if len(kept) != 1 or _NEGATOR.search(parts[-1]):
        return Nothing.REFUSED
    return kept.pop()


def _denied(before: str) -> bool:
    """Whether the words before a value, back to the last *but*, deny it."""
    last = [match.end() for match in _NEGATOR.finditer(before)]
    return bool(last) and " but " not in before[last[-1] :]


def _read_number(words: str) -> Reading:
    words = _PRONOUN.sub(" it ", words.rpartition("=")[2])
    # "I count 3 cubes: one red, one blue and one green": what is behind the colon or in brackets only explains it
    head, *tail = _DETAILS.split(words, maxsplit=1)
    total = _exact_number(head) if tail and not _DOUBT.search(tail[0]) else Nothing.SILENT
    return _exact_number(words) if isinstance(total, Nothing) else total


def _exact_number(words: str) -> Reading:
    found = _NUMBER.findall(words)
    masked = _OTHERS_THAN.sub("", _NUMBER.sub("#", words))  # "3 cubes that are not red"
    if found and (_NOT_EXACT.search(masked) or _OPEN_ENDED.search(masked.partition("#")[2])):
        return Nothing.REFUSED
    return _stated(masked, [_value_of(text) for text in found])


def _value_of(text: str) -> float:
    if text[-1].isdigit():
        return float(text.replace(",", ""))
    return _NUMBER_WORDS.get(text, 0.0)  # *there are no* is zero too


_COPULA = re.compile(r"\b(?:is|are|was|be)\b|[=:]")
_HESITATES = re.compile(r"\b(?:or|either|maybe|and|not)\b|[,/]")


def _reader_of_words(words: Mapping[str, str], bare: Mapping[str, str] | None = None) -> Callable[[str], Reading]:
    """A reader of one of some values, each by its words; ``bare`` words count only where they stand alone."""
    pattern = re.compile(r"\b(?:" + "|".join(sorted(words, key=len, reverse=True)) + r")\b")
    alone = bare or {}

    def read(text: str) -> Reading:
        core = re.sub(r"[^\w ]+", " ", text).strip()
        if core in alone:
            return alone[core]
        reading = _stated(pattern.sub("#", text), [words[word] for word in pattern.findall(text)])
        copulas = list(_COPULA.finditer(text))
        # "the color of the cube behind the blue ball is red": what is said stands behind the verb
        if reading is Nothing.REFUSED and len(copulas) == 1 and not _HESITATES.search(text):
            said = text[copulas[0].end() :]
            return _stated(pattern.sub("#", said), [words[word] for word in pattern.findall(said)])
        return reading

    return read


def _attribute(name: str, *extra: tuple[str, str]) -> Language:
    said = {word: value for value in VALUES[name] for word in WORDS.get(value, (value,))}
    plural = {f"{word}s": value for word, value in said.items()} if name == "shape" else {}
    return Language(_reader_of_words({**said, **plural, **dict(extra)}))


_INTERJECTION = re.compile(
    r"^\W*no\b|\bno(?=\s*(?:[.,;:!?/)\"']|$|(?:or|and|yes|true|false)\b))|(?<=yes )no\b|(?<=or )no\b|(?<=and )no\b"
)


_SAID_FIRST = re.compile(r"^\W*(yes|no)\b\s*(?:[,.;:!(–—]|-\s)")
_TAKES_BACK = re.compile(r"\b(?:wrong|incorrect|untrue|not (?:right|correct|it|so))\b")
_UNSURE = re.compile(r"\b(?:maybe|perhaps|possibly|could|might|unsure|not sure)\b|\bor\b.{0,12}\bnot\b")


def _read_boolean(words: str) -> Reading:
    """*No* counts as an answer where it begins the words or stands apart, not in *there is no cube*."""
    marked = _INTERJECTION.sub(" nay ", words)
    found = re.findall(r"\b(?:yes|nay|true|false)\b", marked)
    masked = re.sub(r"\b(?:yes|nay|true|false)\b", "#", marked)
    first = _SAID_FIRST.match(words)
    # "no, they are not": behind a bare yes or no, *not* is of what explains it
    explained = len(found) == 1 and not _UNSURE.search(words)
    if first and explained and (first[1] == "no" or not _TAKES_BACK.search(words)):
        return first[1]
    return _stated(masked, ["yes" if word in ("yes", "true") else "no" for word in found])


def _image_words(ordinals: Sequence[str], numbers: Sequence[str], side: str, value: str) -> dict[str, str]:
    """What one of the two images may be called."""
    words = [*ordinals, *(f"{side}{noun}" for noun in (" one", "-hand one"))]
    for noun in ("image", "picture", "photo"):
        words += [f"{noun}{sign}{number}" for number in numbers for sign in (" ", " #", ": ")]
        words += [f"{side} {noun}", f"{side}-hand {noun}", f"{noun} on the {side}"]
    return dict.fromkeys(words, value)


def _alone(numbers: Sequence[str], side: str, value: str) -> dict[str, str]:
    """What means one of the two images where it stands alone."""
    return dict.fromkeys([*numbers, side, f"the {side}", f"on the {side}", f"the one on the {side}"], value)


_IMAGE_WORDS = _image_words(("first", "1st"), ("1", "one", "a"), "left", "first") | _image_words(
    ("second", "2nd"), ("2", "two", "b"), "right", "second"
)
_ALONE = _alone(("1", "one", "a"), "left", "first") | _alone(("2", "two", "b"), "right", "second")

_BRACKETS = re.compile(r"[\[(]([^\[\]()]*)[\])]")
_COORDINATE = re.compile(r"(?<![\w.])-?\d{1,9}(?:\.\d{1,12})?(?=px\b|(?![\w.]*\w))")
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_BOX_DENIED = re.compile(r"\b(?:not|or|either|maybe)\b")


def _read_box(words: str) -> Reading:
    sentences = _SENTENCES.split(words)
    first = next((i for i, sentence in enumerate(sentences) if _COORDINATE.search(sentence)), 0)
    if any(map(_BOX_DENIED.search, sentences[first:])):
        return Nothing.REFUSED
    groups = [_COORDINATE.findall(group) for group in _BRACKETS.findall(words)]
    boxes = [group for group in groups if len(group) == 4] or [_COORDINATE.findall(words)]
    found = {tuple(map(float, box)) for box in boxes}
    if len(found) == 1 and len(boxes[0]) == 4:
        return found.pop()
    return Nothing.REFUSED if boxes[0] else Nothing.SILENT


LANGUAGES: dict[str, Language] = {
    "number": Language(_read_number),
    "boolean": Language(_read_boolean),
    "color": _attribute("color", ("grey", "gray")),
    "shape": _attribute("shape", ("spherical", "sphere"), ("cubical", "cube"), ("cylindrical", "cylinder")),
    "size": _attribute("size"),
    "material": _attribute("material"),
    "image": Language(_reader_of_words(_IMAGE_WORDS, _ALONE)),
    "box": Language(_read_box, by_sentence=False),
}
"""How each kind of answer is read, by its name."""


def answer_type_of(program: Program) -> str:
    """The kind of answer, a key of :data:`LANGUAGES`, that a program of CLEVR gives."""
    verb, _, attribute = program[-1].function.partition("_")
    return {"count": "number", "query": attribute}.get(verb, "boolean")


def verify(text: str | None, answer: str, answer_type: str) -> float:
    """Score of a free-form answer.

    Args:
        text: what a model wrote; its final answer is found as :mod:`clevr.tasks.statements` says. ``None`` scores 0.
        answer: the true answer: a word, a number in digits, or for ``box`` four numbers in brackets.
        answer_type: a key of :data:`LANGUAGES`.
    Returns:
        1 or 0; for ``box`` the intersection over union with the true box, 0 to 1. No text scores above 0 for two
        different words or numbers.
    Raises:
        ValueError: an unknown type, or ``answer`` is none of its answers.
    """
    language = LANGUAGES.get(answer_type)
    if language is None:
        raise InvalidValueError(f"unknown type of answer {answer_type!r}; expected one of {', '.join(LANGUAGES)}")
    truth = language.read(answer)
    if isinstance(truth, Nothing):
        raise InvalidValueError(f"the true answer {answer!r} is no {answer_type}")
    given = final_answer(text, language) if text else Nothing.SILENT
    if isinstance(given, Nothing):
        return 0.0
    if answer_type == "box":
        return intersection_over_union(_as_box(given), _as_box(truth))
    return float(given == truth)


def _as_box(reading: Reading) -> Box:
    assert isinstance(reading, tuple)
    left, top, right, bottom = reading
    return (left, top, right, bottom)


def box_text(box: Sequence[float]) -> str:
    """A box as an answer: four numbers in brackets."""
    return f"[{', '.join(f'{side:g}' for side in box)}]"


def intersection_over_union(one: Box, other: Box) -> float:
    """Share of the union of two boxes that both cover; 0 for a box without area."""
    areas = [_area(box) for box in (one, other)]
    left, top = (max(a, b) for a, b in zip(one[:2], other[:2], strict=True))
    right, bottom = (min(a, b) for a, b in zip(one[2:], other[2:], strict=True))
    shared = _area((left, top, right, bottom))
    return shared / (sum(areas) - shared) if all(areas) and math.isfinite(sum(areas)) else 0.0


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return max(0.0, right - left) * max(0.0, bottom - top)
