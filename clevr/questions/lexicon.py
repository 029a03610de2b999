"""The words of a world's questions: of its values, from its :class:`WorldSpec`, and of relations, the same in all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property

from clevr.world.scene import RELATIONS
from clevr.world.spec import CLEVR, WorldSpec

_FIXED: Mapping[str, tuple[str, ...]] = {
    "thing": ("thing", "object"),
    "left": ("left of", "to the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right side of"),
    "behind": ("behind",),
    "front": ("in front of",),
}
"""How the relations may be said, and an object of whatever shape."""


class Lexicon:
    """What the words of one world mean, and which words say what."""

    def __init__(self, world: WorldSpec) -> None:
        self.world = world
        self.words: Mapping[str, tuple[str, ...]] = {**world.words, **_FIXED}
        """How each value and each relation may be said."""
        self.plurals: Mapping[str, str] = {**world.plurals, **{word: f"{word}s" for word in _FIXED["thing"]}}
        """The plural of each noun."""

    @cached_property
    def values(self) -> Mapping[str, str]:
        """The value that a word stands for."""
        return {word: value for value, words in self.words.items() for word in words}

    @cached_property
    def nouns(self) -> Mapping[str, str | None]:
        """The shape that a noun stands for; None for an object of whatever shape."""
        shapes: dict[str, str | None] = {
            word: shape for shape in self.world.values["shape"] for word in self.words[shape]
        }
        return shapes | dict.fromkeys(self.words["thing"])

    @cached_property
    def plural_nouns(self) -> Mapping[str, str | None]:
        """The shape that the plural of a noun stands for."""
        return {self.plurals[word]: shape for word, shape in self.nouns.items()}

    @cached_property
    def relations(self) -> tuple[tuple[list[str], str], ...]:
        """The words of each relation, one by one, and the relation."""
        return tuple((said.split(), relation) for relation in RELATIONS for said in self.words[relation])

    @cached_property
    def vowels(self) -> frozenset[str]:
        """The world's own words that follow *an*. CLEVR has none: it says *a object*."""
        words = (word for words in self.world.words.values() for word in words)
        return frozenset(word for word in words if word[0] in "aeiou")


@cache
def lexicon_of(world: WorldSpec) -> Lexicon:
    """The lexicon of a world."""
    return Lexicon(world)


CLEVR_LEXICON = lexicon_of(CLEVR)
WORDS = CLEVR_LEXICON.words
"""How each of CLEVR's values and relations may be said."""
