"""Reads a text back into the meanings it may have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from clevr.questions.lexicon import Lexicon, lexicon_of
from clevr.questions.logical_form import (
    NOTHING_TOLD,
    Description,
    Intersection,
    LogicalForm,
    ObjectSet,
    Related,
    Same,
    Union,
)
from clevr.questions.templates import PHRASES, SENTENCES, Rule, Variant
from clevr.questions.tokens import AMERICAN, tokenize
from clevr.world.spec import ATTRIBUTES, CLEVR, WorldSpec

UNKNOWN = " "
"""Stands for a word that may be any other; no word of a text has a space in it."""
_LEAVES = ("noun", "nouns", "relation", "relation2", "attribute", "other", "another")
"""Slots that words fill, not phrases."""


def parse(text: str, world: WorldSpec = CLEVR, unknown: Collection[str] = ()) -> tuple[LogicalForm, ...]:
    """Every meaning that a family of CLEVR or CLOSURE gives to a text; none for what is no such question.

    The text may leave out the mark at its end, write any letter small or large, and use British spelling.

    Args:
        text: the question.
        world: whose words it is in.
        unknown: words of the text that may mean what any other would in their place, or nothing.
    """
    reader = Reader(words_of(text, world, unknown), world)
    found: dict[LogicalForm, None] = {}
    for asks, rules in SENTENCES.items():
        for about in reader.sentences(rules):
            form = LogicalForm(asks, about)
            if form.families():
                found[form] = None
    return tuple(found)


def words_of(text: str, world: WorldSpec, unknown: Collection[str] = ()) -> list[str]:
    """The words of a text as :class:`Reader` takes them: small, in the world's spelling, :data:`UNKNOWN` among them."""
    lexicon = lexicon_of(world)
    return [UNKNOWN if word in unknown else _spelt(word.lower(), lexicon) for word in tokenize(text) if word != ","]


def _spelt(word: str, lexicon: Lexicon) -> str:
    """A word in the spelling of the world, which may have a British one for its own."""
    return word if word in lexicon.values else AMERICAN.get(word, word)


class Reader:
    """Reads one text; what a phrase gives at a place is found once and kept."""

    def __init__(self, words: list[str], world: WorldSpec) -> None:
        self.words = words
        self.lexicon = lexicon_of(world)
        self._phrases: dict[tuple[str, int], list[tuple[int, ObjectSet]]] = {}

    def sentences(self, rules: tuple[Rule, ...]) -> Iterator[tuple[ObjectSet, ...]]:
        """What the whole text is about, by each rule that fits it."""
        for rule in rules:
            for slots in self.filled(rule):
                yield assemble(rule, slots)

    def filled(self, rule: Rule) -> Iterator[dict[str, Any]]:
        """What the slots of a rule are filled with, each time that it fits the whole text."""
        for variant in rule.variants:
            for end, slots in self._match(variant, 0):
                if all(word == UNKNOWN for word in self.words[end:]):
                    yield slots

    def _phrase(self, form: str, start: int) -> list[tuple[int, ObjectSet]]:
        if (form, start) not in self._phrases:
            found = (
                (end, assemble(rule, slots)[0])
                for rule in PHRASES[form]
                for variant in rule.variants
                for end, slots in self._match(variant, start)
            )
            self._phrases[form, start] = list(dict.fromkeys(found))
        return self._phrases[form, start]

    def _match(self, variant: Variant, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        if not variant:
            yield start, {}
            return
        piece, rest = variant[0], variant[1:]
        slot = piece[1:-1] if piece[0] == "{" else ""
        if self.word(start) == UNKNOWN and (not slot or slot in _LEAVES):
            yield from self._match(variant, start + 1)  # it means nothing
        if slot:
            for middle, value in self.slot(slot, start):
                for end, slots in self._match(rest, middle):
                    yield end, {slot: value, **slots}
        elif self._may_be(piece, start):
            yield from self._match(rest, start + 1)

    def slot(self, slot: str, start: int) -> list[tuple[int, Any]]:
        """What a slot gives at a place, and where it ends."""
        word = self.word(start)
        match slot:
            case "noun" | "nouns":
                nouns = self.lexicon.nouns if slot == "noun" else self.lexicon.plural_nouns
                return list(self.descriptions(start, nouns))
            case "relation" | "relation2":
                return [
                    (start + len(words), relation)
                    for words, relation in self.lexicon.relations
                    if all(self._may_be(piece, place) for place, piece in enumerate(words, start))
                ]
            case "attribute":
                return [(start + 1, attribute) for attribute in ATTRIBUTES if self._may_be(attribute, start)]
            case "other":
                return [(start, word)] * (word != "other") + [(start + 1, word)] * self._may_be("other", start)
            case "another":
                return [(start + 1, word)] if word in ("another", "a", "an", UNKNOWN) else []
            case "landmark" | "landmark2":
                return self._phrase("the", start)
        return self._phrase(slot.split()[0], start)

    def descriptions(
        self, start: int, nouns: Mapping[str, str | None], told: tuple[str | None, ...] = ()
    ) -> Iterator[tuple[int, Description]]:
        """Descriptions that begin at a place, and where they end; those of the first attributes are told already."""
        word = self.word(start)
        if word == UNKNOWN and told:
            yield from self.descriptions(start + 1, nouns, told)  # it means nothing
        if len(told) == len(ATTRIBUTES) - 1:
            size, color, material = told
            for shape in dict.fromkeys(nouns.values()) if word == UNKNOWN else [nouns[word]] if word in nouns else []:
                yield start + 1, (size, color, material, shape)
            return
        values: Sequence[str] = self.lexicon.world.values[ATTRIBUTES[len(told)]]
        value = self.lexicon.values.get(word)
        if value not in values:
            yield from self.descriptions(start, nouns, (*told, None))
        for known in values if word == UNKNOWN else (value,) if value in values else ():
            yield from self.descriptions(start + 1, nouns, (*told, known))

    def _may_be(self, piece: str, place: int) -> bool:
        """Whether the word at a place is that of a pattern, or may be it."""
        word = self.word(place)
        return word in (piece, UNKNOWN) or (word == "an" and piece == "a")

    def word(self, place: int) -> str:
        """The word at a place; empty behind the last."""
        return self.words[place] if place < len(self.words) else ""


def assemble(rule: Rule, slots: dict[str, Any]) -> tuple[ObjectSet, ...]:
    """The things that the filled slots of a rule speak of: the reverse of filling them."""
    whole = [slots[slot] for slot in ("the", "a", "some", "the 2", "some 2") if slot in slots]
    if whole and rule.kind != "union":
        return tuple(whole)
    description = slots.get("noun", slots.get("nouns", NOTHING_TOLD))
    landmark: Any = slots.get("landmark", slots.get("a landmark"))
    same = rule.attribute or slots.get("attribute", "")
    match rule.kind:
        case "union":
            return (ObjectSet(description, Union(*whole)),)
        case "related":
            return (ObjectSet(description, Related(slots["relation"], landmark)),)
        case "intersection" | "related_same":
            second = Related(slots["relation2"], slots["landmark2"])
            first = Same(same, landmark) if rule.kind == "related_same" else Related(slots["relation"], landmark)
            return (ObjectSet(description, Intersection(first, second)),)
        case "same":
            return (ObjectSet(description, Same(same, landmark)),)
    return (ObjectSet(description),)
