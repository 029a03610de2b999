"""The patterns of :mod:`clevr.questions.wording`, unfolded into plain sequences of words and slots.

Writing (:mod:`clevr.questions.spelling`) and reading (:mod:`clevr.questions.reading`) run over the
same rules, so that what one can say the other understands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clevr.questions import wording
from clevr.questions.programs import ATTRIBUTES

Variant = tuple[str, ...]
"""Words and slots; a slot keeps its braces."""


class Rule(NamedTuple):
    """The variants of one pattern and the things it speaks of."""

    kind: str
    """Where the things come from: plain, related, both, same, either; ``any`` takes them whole."""
    variants: tuple[Variant, ...]
    attribute: str | None = None
    """The only attribute that a ``same`` pattern speaks of."""
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


PHRASES = {form: _by_kind(patterns) for form, patterns in wording.PHRASES.items()}
"""The rules of a noun phrase: ``the``, ``a`` or ``some`` things."""

SENTENCES = {
    "count": _by_kind(wording.COUNT),
    "exist": _by_kind(wording.EXIST),
    **{f"query_{name}": _of_any([*wording.QUERY, *wording.QUERY_ALSO[name]], name) for name in ATTRIBUTES},
    **{f"equal_{name}": _of_any([*wording.EQUAL, *wording.EQUAL_ALSO[name]], name) for name in ATTRIBUTES},
    **{asks: _of_any(patterns) for asks, patterns in wording.COMPARE.items()},
}
"""The rules of a question, by the last function of its program."""
