"""Spells a meaning as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from clevr.questions.lexicon import CLEVR_LEXICON, Lexicon
from clevr.questions.logical_form import (
    NOTHING_TOLD,
    Description,
    Intersection,
    LogicalForm,
    ObjectSet,
    Related,
    Same,
    Union,
    shared_attribute,
)
from clevr.questions.templates import PHRASES, SENTENCES, Rule
from fewshot_film.errors import InvalidValueError

Pick = Callable[[Sequence[Any]], Any]
"""Picks one element of a sequence."""


def realize(form: LogicalForm, pick: Pick, lexicon: Lexicon = CLEVR_LEXICON) -> str:
    """One text of a meaning; its pattern, its optional words and its synonyms are chosen by ``pick``."""
    words = _write(form.asks, form.about, pick, lexicon)
    text = " ".join(words).replace(" ;", ";")
    return f"{text[0].upper()}{text[1:]}?"


_RULES = {**SENTENCES, **PHRASES}


def _write(form: str, about: tuple[ObjectSet, ...], pick: Pick, lexicon: Lexicon) -> list[str]:
    things = about[0]
    fitting = _fitting(form, kind_of(things), shared_attribute(things), things.description == NOTHING_TOLD)
    words: list[str] = []
    for piece in pick(pick(fitting).variants):
        if piece[0] == "{":
            filled = _fill(piece, about, pick, lexicon)
            if words[-1:] == ["a"] and filled and filled[0] in lexicon.vowels:
                words[-1] = "an"
            words += filled
        else:
            words.append(piece)
    return words


@cache
def _fitting(form: str, kind: str, same: str, nothing_told: bool) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in _RULES[form]
        if rule.kind in ("any", kind) and rule.attribute in (None, same) and (nothing_told or not rule.nothing_told)
    )


def kind_of(things: ObjectSet) -> str:
    """Where things come from, in the words of the patterns (:class:`clevr.questions.templates.Rule`)."""
    match things.source:
        case None:
            return "plain"
        case Intersection(Same(), _):
            return "related_same"
        case source:
            return type(source).__name__.lower()


def _fill(slot: str, about: tuple[ObjectSet, ...], pick: Pick, lexicon: Lexicon) -> list[str]:
    things, source = about[0], about[0].source
    match slot, source:
        case "{noun}" | "{nouns}", _:
            return _describe(things.description, slot == "{nouns}", pick, lexicon)
        case "{the}" | "{a}" | "{some}", _:
            return phrase(slot[1:-1], source.first if isinstance(source, Union) else things, pick, lexicon)
        case "{the 2}" | "{some 2}", _:
            return phrase(slot[1:-3], source.second if isinstance(source, Union) else about[1], pick, lexicon)
        case "{relation}", Related(relation, _) | Intersection(Related(relation, _), _):
            return [pick(lexicon.words[relation])]
        case "{relation2}", Intersection(_, Related(relation, _)):
            return [pick(lexicon.words[relation])]
        case "{landmark}", Related(_, to) | Same(_, to) | Intersection(Related(_, to) | Same(_, to), _):
            return phrase("the", to, pick, lexicon)
        case "{a landmark}", Related(_, to):
            return phrase("a", to, pick, lexicon)
        case "{landmark2}", Intersection(_, Related(_, to)):
            return phrase("the", to, pick, lexicon)
        case "{attribute}", Same(attribute, _) | Intersection(Same(attribute, _), _):
            return [attribute]
        case "{other}", Same(_, to):
            return [] if _exclude(things, to) else ["other"]
        case "{another}", Same(_, to):
            return ["a"] if _exclude(things, to) else ["another"]
    raise InvalidValueError(f"a pattern for {kind_of(things)} things has no use for the slot {slot}")


def phrase(form: str, things: ObjectSet, pick: Pick, lexicon: Lexicon = CLEVR_LEXICON) -> list[str]:
    """The words of a noun phrase: ``the``, ``a`` or ``some`` things, by ``form``."""
    return _write(form, (things,), pick, lexicon)


def _exclude(things: ObjectSet, others: ObjectSet) -> bool:
    """Whether no object fits both descriptions, so that *other* would go without saying."""
    pairs = zip(things.description, others.description, strict=True)
    return any(mine and theirs and mine != theirs for mine, theirs in pairs)


def _describe(description: Description, plural: bool, pick: Pick, lexicon: Lexicon) -> list[str]:
    *adjectives, shape = description
    words = [pick(lexicon.words[value]) for value in adjectives if value]
    noun = pick(lexicon.words[shape or "thing"])
    return [*words, lexicon.plurals[noun] if plural else noun]
