"""Reads a text back into the meanings it may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def parse(text: str, world: WorldSpec = CLEVR) -> tuple[LogicalForm, ...]:
    """Every meaning that a family of CLEVR or CLOSURE gives to a text; none for what is no such question.

    The text may leave out the mark at its end, write any letter small or large, and use British spelling.
    """
    lexicon = lexicon_of(world)
    reader = _Reader([_spelt(word.lower(), lexicon) for word in tokenize(text) if word != ","], lexicon)
    found: dict[LogicalForm, None] = {}
    for asks, rules in SENTENCES.items():
        for about in reader.sentences(rules):
            form = LogicalForm(asks, about)
            if form.families():
                found[form] = None
    return tuple(found)


def _spelt(word: str, lexicon: Lexicon) -> str:
    """A word in the spelling of the world, which may have a British one for its own."""
    return word if word in lexicon.values else AMERICAN.get(word, word)


class _Reader:
    """Reads one text; what a phrase gives at a place is found once and kept."""

    def __init__(self, words: list[str], lexicon: Lexicon) -> None:
        self.words = words
        self.lexicon = lexicon
        self._phrases: dict[tuple[str, int], list[tuple[int, ObjectSet]]] = {}

    def sentences(self, rules: tuple[Rule, ...]) -> Iterator[tuple[ObjectSet, ...]]:
        """What the whole text is about, by each rule that fits it."""
        for rule in rules:
            for variant in rule.variants:
                for end, slots in self._match(variant, 0):
                    if end == len(self.words):
                        yield _assemble(rule, slots)

    def _phrase(self, form: str, start: int) -> list[tuple[int, ObjectSet]]:
        if (form, start) not in self._phrases:
            self._phrases[form, start] = [
                (end, _assemble(rule, slots)[0])
                for rule in PHRASES[form]
                for variant in rule.variants
                for end, slots in self._match(variant, start)
            ]
        return self._phrases[form, start]

    def _match(self, variant: Variant, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        if not variant:
            yield start, {}
            return
        piece, rest = variant[0], variant[1:]
        if piece[0] != "{":
            word = self._word(start)
            if word == piece or (word == "an" and piece == "a"):
                yield from self._match(rest, start + 1)
            return
        slot = piece[1:-1]
        for middle, value in self._slot(slot, start):
            for end, slots in self._match(rest, middle):
                yield end, {slot: value, **slots}

    def _slot(self, slot: str, start: int) -> list[tuple[int, Any]]:
        word = self._word(start)
        match slot:
            case "noun" | "nouns":
                return self._description(start, self.lexicon.nouns if slot == "noun" else self.lexicon.plural_nouns)
            case "relation" | "relation2":
                return [
                    (start + len(words), relation)
                    for words, relation in self.lexicon.relations
                    if self.words[start : start + len(words)] == words
                ]
            case "attribute":
                return [(start + 1, word)] if word in ATTRIBUTES else []
            case "other":
                return [(start + (word == "other"), word)]
            case "another":
                return [(start + 1, word)] if word in ("another", "a", "an") else []
            case "landmark" | "landmark2":
                return self._phrase("the", start)
        return self._phrase(slot.split()[0], start)

    def _description(self, start: int, nouns: Mapping[str, str | None]) -> list[tuple[int, Description]]:
        told: list[str | None] = []
        for attribute in ATTRIBUTES[:-1]:
            value = self.lexicon.values.get(self._word(start))
            told.append(value if value in self.lexicon.world.values[attribute] else None)
            start += told[-1] is not None
        size, color, material = told
        word = self._word(start)
        return [(start + 1, (size, color, material, nouns[word]))] if word in nouns else []

    def _word(self, place: int) -> str:
        return self.words[place] if place < len(self.words) else ""


def _assemble(rule: Rule, slots: dict[str, Any]) -> tuple[ObjectSet, ...]:
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
