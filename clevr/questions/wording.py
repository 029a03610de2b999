"""The words and sentence patterns of the questions: data only.

``(a|b)`` is a choice, ``[a]`` may be left out, ``{slot}`` is filled from the meaning. A pattern
serves for writing and for reading alike (:mod:`clevr.questions.grammar`). The slots:

=============================== ===========================================================
``{noun}``, ``{nouns}``          the description alone: *small red cube(s)*
``{relation}``, ``{landmark}``   of things in a relation: *to the left of*, *the green ball*
``{a landmark}``                 the landmark as *a green ball*
``{relation2}``, ``{landmark2}`` the other relation, where there are two
``{attribute}``                  what is asked, what is compared, or what is the same
``{other}``, ``{another}``       the word, unless the two descriptions exclude each other anyway
``{the}``, ``{a}``, ``{some}``   the whole of the things: as *the cube*, *a cube*, *cubes*
``{the 2}``, ``{some 2}``        the second of two
=============================== ===========================================================

The words are CLEVR's (its vocabulary has 88 besides punctuation); a model that learnt them here
reads CLEVR's own questions.
"""

from __future__ import annotations

WORDS = {
    "small": ("small", "tiny"),
    "large": ("large", "big"),
    "rubber": ("rubber", "matte"),
    "metal": ("metal", "metallic", "shiny"),
    "cube": ("cube", "block"),
    "sphere": ("sphere", "ball"),
    "cylinder": ("cylinder",),
    "thing": ("thing", "object"),
    "left": ("left of", "to the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right side of"),
    "behind": ("behind",),
    "front": ("in front of",),
}
"""How each value may be said; a value that is not here (the colours) is its own word."""

_TWO = "{relation2} {landmark2} and {relation} {landmark}"
_SAME = "the same {attribute} as {landmark}"
_OF_SAME = "of the same {attribute} as {landmark}"

PHRASES = {
    "the": {
        "plain": ["the {noun}"],
        "related": ["the {noun} [that is] {relation} {landmark}"],
        "both": [f"the {{noun}} that is [both] {_TWO}"],
        "same": [f"the {{other}} {{noun}} that is {_SAME}", f"the {{other}} {{noun}} {_OF_SAME}"],
        "same material": [f"the {{other}} {{noun}} [that is] made {_OF_SAME}"],
    },
    "a": {
        "plain": ["a {noun}"],
        "related": ["a {noun} [that is] {relation} {landmark}"],
        "both": [f"a {{noun}} that is [both] {_TWO}"],
        "same": [f"{{another}} {{noun}} that (is|has) {_SAME}", f"{{another}} {{noun}} {_OF_SAME}"],
        "same material": [f"{{another}} {{noun}} [that is] made {_OF_SAME}"],
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

COUNT = {
    "plain": [f"{_HOW_MANY} {{nouns}} are (there|visible)"],
    "related": [
        f"{_HOW_MANY} {{nouns}} are {{relation}} {{landmark}}",
        f"there is {{a landmark}} ; {_HOW_MANY} {{nouns}} are {{relation}} it",
    ],
    "both": [f"{_HOW_MANY} {{nouns}} are [both] {_TWO}"],
    "same": [
        f"{_HOW_MANY} {{other}} {{nouns}} (are|have) {_SAME}",
        f"{_HOW_MANY} {{other}} {{nouns}} are there {_OF_SAME}",
    ],
    "same material": [f"{_HOW_MANY} {{other}} {{nouns}} are made {_OF_SAME}"],
    "either": [f"{_HOW_MANY} {{nouns}} are [either] {{some}} or {{some 2}}"],
}

EXIST = {
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

QUERY = [
    "what {attribute} is {the}",
    "what is the {attribute} of {the}",
    "{the} (is|has) what {attribute}",
    "there is {a} ; what {attribute} is it",
    "there is {a} ; what is its {attribute}",
]
QUERY_ALSO = {
    "size": ["how big is {the}", "there is {a} ; how big is it"],
    "material": [
        "what [material] is {the} made of",
        "{the} is made of what material",
        "there is {a} ; what [material] is it made of",
    ],
    "color": [],
    "shape": [],
}

EQUAL = [
    "do {the} and {the 2} have the same {attribute}",
    "does {the} have the same {attribute} as {the 2}",
    "is {the} the same {attribute} as {the 2}",
    "is the {attribute} of {the} the same as {the 2}",
    "there is {a} ; does it have the same {attribute} as {the 2}",
    "there is {a} ; is it the same {attribute} as {the 2}",
    "there is {a} ; is its {attribute} the same as {the 2}",
]
EQUAL_ALSO = {
    "size": [],
    "material": [
        "are {the} and {the 2} made of the same material",
        "is {the} made of the same material as {the 2}",
        "there is {a} ; is it made of the same material as {the 2}",
    ],
    "color": [],
    "shape": [],
}

COMPARE = {
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
