"""Questions as people put them, read as the question of CLEVR's English that means the same.

*Is the brown cube shiny?* asks whether there is a brown cube of metal, *What is the large red object?* for its shape,
*Is the ball red or purple?* for its colour, and *in the picture* says nothing. The patterns are of the same kind as
those of :mod:`clevr.questions.templates`, with two slots more:

============= ====================================================================
``{told}``    what things are said to be: *shiny*, *a cube*, *made of rubber*
``{either}``  two values of one attribute, which is what is asked: *red or purple*
============= ====================================================================

What contradicts itself (*Is the red ball green?*) has no counterpart in CLEVR's English, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from clevr.questions.logical_form import NOTHING_TOLD, Description, LogicalForm, ObjectSet
from clevr.questions.parser import Reader, assemble, parse, words_of
from clevr.questions.templates import Rule, unfold
from clevr.questions.tokens import tokenize
from clevr.world.spec import ATTRIBUTES, CLEVR, WorldSpec

_SCENE = r"(?:image|picture|photo|scene|view|world)"
_SEEING = r"(?:see|count|find|spot|notice|identify|make out)"
_NOTHING_SAID = (
    (rf"\bin (?:the|this) {_SCENE}\b|\bin (?:view|total|there)\b|\b(?:here|altogether|at all|around|about)\b", ""),
    (rf"^(?:can|do) (?:you|we|i) {_SEEING}\b|^does (?:the|this) {_SCENE} (?:contain|show|have)\b", "is there"),
    (
        rf"\b(?:can|do) (?:you|we|i) (?:{_SEEING}|have)\b|\bdoes (?:the|this) {_SCENE} (?:contain|show|have)\b",
        "are there",
    ),
    (r"\b(?:can be|to be) (?:seen|found|counted)\b|\bare (?:lying|standing)\b", "are there"),
    (r"^which\b", "what"),
    (r"\bof which\b", "of what"),
)
"""What people say and CLEVR does not, and what it is there."""

_QUERY = (
    "what {attribute} has {the}",
    "what {attribute} does {the} have",
    "[of] what {attribute} is {the} [made (of|from)]",
    "what kind of {attribute} is {the}",
    "what {attribute} would you say {the} is",
    "what is {the} is {attribute}",  # the ball's shape
    "(name|say|state) the {attribute} of {the}",
    "{the} what {attribute} is it",
)
_PATTERNS: dict[str, tuple[str, ...]] = {
    "count": (
        "how many {nouns} [are] [there]",
        "how many {nouns} there are",
        "how many [of the] {nouns} are {told}",
        "(count|give me the number of|what is the number of) [all] [the] {nouns}",
    ),
    "exist": (
        "is {the} {told}",
        "(is|are) any of the {nouns} {told}",
        "is any {noun} {told}",
        "(is|are) there any {noun} {told}",
        "is anything {told}",
        "is {a}",
        "are there {nouns}",
    ),
    "query_size": ("how (large|small) is {the}", "how big would you say {the} is"),
    "query_material": ("what [material] is {the} made from", "what [material] does {the} consist of"),
    "query_shape": ("what is {the}", "what is {told}"),
    "either": (
        "is {the} {either}",
        "is {the} made (of|from) {either}",
        "what is {the} {either}",
        "what is {the} made (of|from) {either}",
        "what is {told} {either}",
    ),
}


@cache
def _rules() -> tuple[tuple[str, Rule], ...]:
    """What is asked, and how it may be put."""
    queries = ((f"query_{name}", text.replace("{attribute}", name)) for name in ATTRIBUTES for text in _QUERY)
    others = ((asks, text) for asks, texts in _PATTERNS.items() for text in texts)
    return tuple((asks, Rule("any", unfold(text))) for asks, text in (*others, *queries))


def simplified(text: str) -> str:
    """A question without what says nothing in it, in small letters."""
    words = " ".join(tokenize(text)).lower()
    for said, means in _NOTHING_SAID:
        words = re.sub(said, means, words)
    return words


def read_freely(text: str, world: WorldSpec = CLEVR) -> tuple[LogicalForm, ...]:
    """Every question of CLEVR's English that a question in free wording may stand for; none for what has no such.

    Args:
        text: the question.
        world: whose words it is in.
    """
    text = simplified(text)
    if found := parse(text, world):
        return found
    reader = _FreeReader(words_of(text, world), world)
    forms = (form for asks, rule in _rules() for form in reader.forms(asks, rule))
    return tuple(dict.fromkeys(form for form in forms if form.families()))


class _FreeReader(Reader):
    """Reads one text by patterns with ``{told}`` and ``{either}``."""

    def forms(self, asks: str, rule: Rule) -> Iterator[LogicalForm]:
        """What the whole text asks by a rule."""
        for slots in self.filled(rule):
            told: Description = slots.pop("told", NOTHING_TOLD)
            attribute: str = slots.pop("either", "") or asks.removeprefix("query_")
            things = assemble(rule, slots)[0] if slots else ObjectSet(NOTHING_TOLD)
            both = _joined(things.description, told)
            if both is None or (attribute in ATTRIBUTES and both[ATTRIBUTES.index(attribute)]):
                continue  # it contradicts itself, or asks for what it tells
            whole = things._replace(description=both)
            yield LogicalForm(f"query_{attribute}" if attribute in ATTRIBUTES else asks, (whole,))

    def slot(self, slot: str, start: int) -> list[tuple[int, Any]]:
        """What a slot gives at a place, and where it ends."""
        if slot == "told":
            return list(self._told(start))
        return list(self._either(start)) if slot == "either" else super().slot(slot, start)

    def _told(self, start: int) -> Iterator[tuple[int, Description]]:
        if self.word(start) in ("a", "an"):
            yield from self.descriptions(start + 1, self.lexicon.nouns)
            return
        yield from self.descriptions(start, self.lexicon.plural_nouns)
        begins = start + 2 if self.word(start) == "made" and self.word(start + 1) in ("of", "from") else start
        for end, (attribute, value) in self._values(begins):
            if begins == start or attribute == "material":
                told = _only(attribute, value)
                yield end, told
                for further, (other, second) in self._values(end):
                    if both := _joined(told, _only(other, second)):
                        yield further, both

    def _either(self, start: int) -> Iterator[tuple[int, str]]:
        for middle, (attribute, value) in self._values(start, with_shapes=True):
            if self.word(middle) == "or":
                for end, (other, second) in self._values(middle + 1, with_shapes=True):
                    if attribute == other and value != second:
                        yield end, attribute

    def _values(self, start: int, with_shapes: bool = False) -> Iterator[tuple[int, tuple[str, str]]]:
        """Values that a place may name, of shapes with their article."""
        values = self.lexicon.world.values
        place = start + 1 if with_shapes and self.word(start) in ("a", "an") else start
        word = self.word(place)
        for attribute in ATTRIBUTES if with_shapes else ATTRIBUTES[:-1]:
            for value in values[attribute]:
                if self.lexicon.values.get(word) == value:
                    yield place + 1, (attribute, value)


def _only(attribute: str, value: str) -> Description:
    size, color, material, shape = (value if name == attribute else None for name in ATTRIBUTES)
    return size, color, material, shape


def _joined(one: Description, other: Description) -> Description | None:
    """Both descriptions in one; None where they contradict each other."""
    if any(mine and theirs and mine != theirs for mine, theirs in zip(one, other, strict=True)):
        return None
    size, color, material, shape = (mine or theirs for mine, theirs in zip(one, other, strict=True))
    return size, color, material, shape
