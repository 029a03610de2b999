"""The sentence templates of the questions, and the rules that they unfold into.

``(a|b)`` is a choice, ``[a]`` may be left out, ``{slot}`` is filled from the logical form. The realizer
and the parser run over the same rules, so that what one can say the other understands. The slots:

=============================== ===========================================================
``{noun}``, ``{nouns}``          the description alone: *small red cube(s)*
``{relation}``, ``{landmark}``   of things in a relation: *to the left of*, *the green ball*
``{a landmark}``                 the landmark as *a green ball*
``{relation2}``, ``{landmark2}`` the other relation, where there are two
``{attribute}``                  what is asked, what is compared, or what is the same
``{other}``, ``{another}``       the word, unless the two descriptions exclude each other anyway
``{the}``, ``{a}``, ``{some}``   the whole object set: as *the cube*, *a cube*, *cubes*
``{the 2}``, ``{some 2}``        the second of two
=============================== ===========================================================

The words are CLEVR's (its vocabulary has 88 besides punctuation); a model that learnt them here
reads CLEVR's own questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clevr.world.spec import ATTRIBUTES

_TWO = "{relation2} {landmark2} and {relation} {landmark}"
_SAME = "the same {attribute} as {landmark}"
_OF_SAME = "of the same {attribute} as {landmark}"
_RELATED_AND = "{noun} that is {relation2} {landmark2} and"

_NOUN_PHRASES = {
    "the": {
        "plain": ["the {noun}"],
        "related": ["the {noun} [that is] {relation} {landmark}"],
        "intersection": [f"the {{noun}} that is [both] {_TWO}"],
        "same": [f"the {{other}} {{noun}} that is {_SAME}", f"the {{other}} {{noun}} {_OF_SAME}"],
        "same material": [f"the {{other}} {{noun}} [that is] made {_OF_SAME}"],
        "related_same": [f"the {_RELATED_AND} (is|has) {_SAME}"],
        "related_same material": [f"the {_RELATED_AND} is made {_OF_SAME}"],
    },
    "a": {
        "plain": ["a {noun}"],
        "related": ["a {noun} [that is] {relation} {landmark}"],
        "intersection": [f"a {{noun}} that is [both] {_TWO}"],
        "same": [f"{{another}} {{noun}} that (is|has) {_SAME}", f"{{another}} {{noun}} {_OF_SAME}"],
        "same material": [f"{{another}} {{noun}} [that is] made {_OF_SAME}"],
        "related_same": [f"a {_RELATED_AND} (is|has) {_SAME}"],
        "related_same material": [f"a {_RELATED_AND} is made {_OF_SAME}"],
    },
    "some": {
        "plain": ["{nouns}"],
        "related": ["{nouns} [that are] {relation} {landmark}"],
        "same": [f"{{other}} {{nouns}} that (are|have) {_SAME}", f"{{other}} {{nouns}} {_OF_SAME}"],
        "same material": [f"{{other}} {{nouns}} [that are] made {_OF_SAME}"],
    },
}
"""Noun phrases: how things are named, by where they come from."""

_HOW_MANY = "(how many|what number of)"

_COUNT = {
    "plain": [f"{_HOW_MANY} {{nouns}} are (there|visible)"],
    "related": [
        f"{_HOW_MANY} {{nouns}} are {{relation}} {{landmark}}",
        f"there is {{a landmark}} ; {_HOW_MANY} {{nouns}} are {{relation}} it",
    ],
    "intersection": [f"{_HOW_MANY} {{nouns}} are [both] {_TWO}"],
    "same": [
        f"{_HOW_MANY} {{other}} {{nouns}} (are|have) {_SAME}",
        f"{_HOW_MANY} {{other}} {{nouns}} are there {_OF_SAME}",
    ],
    "same material": [f"{_HOW_MANY} {{other}} {{nouns}} are made {_OF_SAME}"],
    "union": [f"{_HOW_MANY} {{nouns}} are [either] {{some}} or {{some 2}}"],
}

_EXIST = {
    "plain": ["are there any {nouns}", "are any {nouns} visible", "is there a {noun}"],
    "related": [
        "are there any {some}",
        "is there {a}",
        "there is {a landmark} ; are there any {nouns} [that are] {relation} it",
        "there is {a landmark} ; is there a {noun} [that is] {relation} it",
    ],
    "same": ["are there any {some}", "is there {a}"],
    "same nothing told": [
        f"is there (anything else|any other (thing|object)) that (is|has) {_SAME}",
        f"is there (anything else|any other (thing|object)) {_OF_SAME}",
    ],
    "same nothing told material": [f"is there (anything else|any other (thing|object)) [that is] made {_OF_SAME}"],
}

_QUERY = [
    "what {attribute} is {the}",
    "what is the {attribute} of {the}",
    "{the} (is|has) what {attribute}",
    "there is {a} ; what {attribute} is it",
    "there is {a} ; what is its {attribute}",
]
_QUERY_ALSO = {
    "size": ["how big is {the}", "there is {a} ; how big is it"],
    "material": [
        "what [material] is {the} made of",
        "{the} is made of what material",
        "there is {a} ; what [material] is it made of",
    ],
    "color": [],
    "shape": [],
}

_EQUAL = [
    "do {the} and {the 2} have the same {attribute}",
    "does {the} have the same {attribute} as {the 2}",
    "is {the} the same {attribute} as {the 2}",
    "is the {attribute} of {the} the same as {the 2}",
    "there is {a} ; does it have the same {attribute} as {the 2}",
    "there is {a} ; is it the same {attribute} as {the 2}",
    "there is {a} ; is its {attribute} the same as {the 2}",
]
_EQUAL_ALSO = {
    "size": [],
    "material": [
        "are {the} and {the 2} made of the same material",
        "is {the} made of the same material as {the 2}",
        "there is {a} ; is it made of the same material as {the 2}",
    ],
    "color": [],
    "shape": [],
}

_COMPARE = {
    "equal_integer": [
        "are there (an equal|the same) number of {some} and {some 2}",
        "is the number of {some} the same as the number of {some 2}",
    ],
    "less_than": [
        "are there fewer {some} than {some 2}",
        "is the number of {some} less than the number of {some 2}",
    ],
    "greater_than": [
        "are there more {some} than {some 2}",
        "is the number of {some} greater than the number of {some 2}",
    ],
}


Variant = tuple[str, ...]
"""Words and slots; a slot keeps its braces."""


class Rule(NamedTuple):
    """The variants of one pattern and the things it speaks of."""

    kind: str
    """Where the things come from: plain, related, intersection, same, related_same, union; ``any`` takes them whole."""
    variants: tuple[Variant, ...]
    attribute: str | None = None
    """The only shared attribute that a pattern speaks of."""
    nothing_told: bool = False
    """The pattern has no place for a description."""


def unfold(pattern: str) -> tuple[Variant, ...]:
    """All variants of a pattern: ``"[so] (a|b)"`` gives *so a*, *so b*, *a* and *b*."""
    choice = re.search(r"\(([^()]*)\)|\[([^][]*)\]", pattern)
    if choice is None:
        return (tuple(re.findall(r"\{[^}]*\}|[^\s{}]+", pattern)),)
    options = choice[1].split("|") if choice[1] is not None else [choice[2], ""]
    head, tail = pattern[: choice.start()], pattern[choice.end() :]
    return tuple(variant for option in options for variant in unfold(f"{head}{option}{tail}"))


def _by_kind(patterns: Mapping[str, Sequence[str]]) -> tuple[Rule, ...]:
    rules = []
    for key, texts in patterns.items():
        kind, *conditions = key.split()
        attribute = next((word for word in conditions if word in ATTRIBUTES), None)
        for text in texts:
            fixed = text.replace("{attribute}", attribute) if attribute else text
            rules.append(Rule(kind, unfold(fixed), attribute, "nothing" in conditions))
    return tuple(rules)


def _of_any(patterns: Sequence[str], attribute: str = "") -> tuple[Rule, ...]:
    return tuple(Rule("any", unfold(text.replace("{attribute}", attribute))) for text in patterns)


PHRASES = {form: _by_kind(patterns) for form, patterns in _NOUN_PHRASES.items()}
"""The rules of a noun phrase: ``the``, ``a`` or ``some`` things."""

SENTENCES = {
    "count": _by_kind(_COUNT),
    "exist": _by_kind(_EXIST),
    **{f"query_{name}": _of_any([*_QUERY, *_QUERY_ALSO[name]], name) for name in ATTRIBUTES},
    **{f"equal_{name}": _of_any([*_EQUAL, *_EQUAL_ALSO[name]], name) for name in ATTRIBUTES},
    **{asks: _of_any(patterns) for asks, patterns in _COMPARE.items()},
}
"""The rules of a question, by the last function of its program."""
