r"""Finds where a free-form text states its final answer, without knowing what the true one is.

What is read depends on the text alone, so no text can be right for two different answers: listing all of them, or
naming a second one in case the first is wrong, gains nothing over a single guess.

The places, the first of these that a text has:

1. ``<answer>...</answer>``
2. ``\boxed{...}``
3. the value of ``"answer"`` in JSON
4. behind *the answer is* or *Answer:*
5. the last sentence that names an answer

Marks of how a text looks, such as ``*3*``, ``<b>3</b>`` and ``-> 3``, are taken away first. A text that says different
things there, or takes back what it said, is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum

_THOUGHT = ("think", "thinking", "reasoning", "scratchpad")
_MARKER = re.compile(
    r"\banswer(?:\s+to\s+(?:the|this|your)\s+question)?(?:\s+(?:is|would\s+be|should\s+be|must\s+be)\b\s*:?|\s*[:=])"
)
_DOUBTED = re.compile(
    r"\b(?:(?:not|never) (?:really )?(?:think|believe|say|know|claim|sure|certain|true|clear|the case)|"
    r"doubt|unsure|uncertain|unlikely|untrue|false|wrong)(?: \w+){0,5} ?$"
)
"""Before a mark: the answer that follows is denied."""
_SUPPOSED = re.compile(r"\b(?:if|whether|suppose|assume)(?: \w+){0,2} ?$")
"""Before a mark: what follows is none."""
_CONFIDENCE = re.compile(r"\n[ #>-]{0,4}confidence\b[^\n]*")
_JSON_ANSWER = re.compile(r"""["'](?:final[_ ])?answer["']\s*:\s*("[^"\n]*"|'[^'\n]*'|\[[^\[\]]*\]|[^,}\]\n]*)""")
_TAG = re.compile(r"</?\|?[a-z]\w*\|?/?>")
_EMPHASIS = re.compile(r"(?<![\w*])(\*|_{1,2})(?=[^\s*_])([^*_\n]*[^\s*_])\1(?![\w*])")
_ARROW = re.compile(r"(?<![-=])[-=]+>|[→⇒]")
_CLAUSE = 80
"""Letters before a mark that are looked at for what denies it."""
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_LIST_MARK = re.compile(r"^\s*(?:[-*•>]+\s+|\d{1,3}[.)]\s+(?=\S))")
_HEDGE = re.compile(
    r"\b(?:or|either|maybe|perhaps|possibly|alternatively|otherwise|actually|wait|rather|instead|could|might|unless|"
    r"not|no|correction|sorry|also|if|unsure|alternately)\b"
)
_REASON = re.compile(r"\b(?:because|since|given that)\b")
_TAKEN_BACK = re.compile(r"\b(?:wrong|incorrect|false|untrue|mistaken|not (?:right|correct|true|it|so))\b")


class Nothing(Enum):
    """Why a text gives no answer."""

    SILENT = "names no answer"
    REFUSED = "names several answers, or takes one back"


Reading = Hashable | Nothing
"""The answer that some words name, or why there is none."""


@dataclass(frozen=True)
class Language:
    """How one kind of answer is read."""

    read: Callable[[str], Reading]
    """The answer that a few words, in lower case, name."""
    by_sentence: bool = True
    """Whether an answer lies within one sentence."""


def final_answer(text: str, language: Language) -> Reading:
    """What a text says in the end.

    Args:
        text: what a model wrote, with or without its reasoning.
        language: how the answer that is expected is read.
    """
    plain = _without_thoughts(_plain(text))
    if plain is None:
        return Nothing.SILENT
    plain = _CONFIDENCE.sub("", plain)
    for find in (_tagged, _boxed, _JSON_ANSWER.findall):
        if places := find(plain):
            return _agreed([language.read(_unmarked_up(place)) for place in places])
    plain = _unmarked_up(plain)
    marks = list(_MARKER.finditer(plain))
    return _marked(plain, marks, language) if marks else _unmarked(plain, language)


def _plain(text: str) -> str:
    """Lower case, with one form for each mark, and contractions written out."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("−", "-")
    text = _EMPHASIS.sub(r"\2", re.sub(r"[*`~]{2,}|`", "", text))
    return re.sub(r"\b(can)not\b", r"\1 not", re.sub(r"n't\b", " not", text))


def _without_thoughts(text: str) -> str | None:
    """What comes after the reasoning between tags; ``None`` where the reasoning never ends."""
    for name in _THOUGHT:
        before, closed, after = text.rpartition(f"</{name}>")
        if closed:
            text = after
        elif f"<{name}>" in before + after:
            return None
    return text


def _tagged(text: str) -> list[str]:
    return [part.partition("</answer>")[0] for part in text.split("<answer>")[1:]]


def _boxed(text: str) -> list[str]:
    r"""What stands in the braces of each ``\boxed``, which may hold further braces."""
    places = []
    for part in text.split("\\boxed{")[1:]:
        depth = 1
        for end, letter in enumerate(part):
            depth += (letter == "{") - (letter == "}")
            if not depth:
                places.append(part[:end])
                break
    return places


def _unmarked_up(text: str) -> str:
    """Without LaTeX and tags, and with an equals sign for each arrow."""
    text = _ARROW.sub(" = ", _TAG.sub(" ", text))
    return re.sub(r"\\(?:text|textbf|mathrm|mathbf)\b|[{}$]|\\[()]", " ", text)


def _agreed(readings: list[Reading]) -> Reading:
    """The one answer that all places name; places that name none do not count."""
    stated = {reading for reading in readings if reading is not Nothing.SILENT}
    if len(stated) == 1:
        return stated.pop()
    return Nothing.REFUSED if stated else Nothing.SILENT


def _marked(text: str, marks: list[re.Match[str]], language: Language) -> Reading:
    """What follows each mark, and whether the rest of the text leaves it at that."""
    readings: list[Reading] = []
    denied: list[Reading] = []
    rest = ""
    for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)], strict=True):
        sentence, rest = _first_sentence(text[mark.end() : end].lstrip(" \n\t:*"), language)
        before = text[max(0, mark.start() - _CLAUSE) : mark.start()]
        if not _SUPPOSED.search(before):
            found = denied if _DOUBTED.search(before) else readings
            found.append(language.read(_without_reason(sentence)))
    answer = _agreed(readings)
    if answer in denied or not readings:
        return Nothing.REFUSED
    if isinstance(answer, Nothing) or not language.by_sentence:
        return answer
    return Nothing.REFUSED if any(_contradicts(line, answer, language) for line in _sentences(rest)) else answer


def _first_sentence(text: str, language: Language) -> tuple[str, str]:
    """The first sentence and all others; all of it where an answer is no sentence."""
    if not language.by_sentence:
        return text, ""
    sentence, *others = _SENTENCE_END.split(text, maxsplit=1)
    return sentence, " ".join(others)


def _without_reason(sentence: str) -> str:
    """What comes before *because*; all of it where that is nothing."""
    return _REASON.split(sentence, maxsplit=1)[0].strip() or sentence


def _contradicts(sentence: str, answer: Reading, language: Language) -> bool:
    """Whether what is said after an answer takes it back."""
    if _TAKEN_BACK.search(sentence):
        return True
    other = language.read(sentence)
    return other not in (Nothing.SILENT, answer) and (bool(_HEDGE.search(sentence)) or len(_content(sentence)) <= 1)


def _unmarked(text: str, language: Language) -> Reading:
    """The last sentence that names an answer, unless another one of its kind names another answer."""
    if not language.by_sentence:
        return language.read(text)
    sentences = _sentences(text)
    readings = [(line, language.read(_without_reason(line))) for line in sentences]
    stated = [(line, reading) for line, reading in readings if reading is not Nothing.SILENT]
    if not stated:
        return Nothing.SILENT
    last, answer = stated[-1]
    after = sentences[len(sentences) - 1 - sentences[::-1].index(last) + 1 :]
    others = [line for line, reading in stated[:-1] if reading != answer]
    hedged = bool(others) and bool(_HEDGE.search(last))
    listed = any(_alike(line, last) for line in others) and not _concludes(last, others)
    if hedged or listed or any(_TAKEN_BACK.search(line) for line in after):
        return Nothing.REFUSED
    return answer


def _sentences(text: str) -> list[str]:
    lines = (_LIST_MARK.sub("", line).strip() for line in _SENTENCE_END.split(text))
    return [line for line in lines if line]


_FRAME_WORDS = """
    there are is it its be it's the a an i think guess say so therefore thus hence maybe perhaps could might
    probably possibly or and option choice answer total exactly in my that would one of either following yes
    no
"""
_FRAME = frozenset(_FRAME_WORDS.split())


_CONCLUSION = re.compile(r"(?:so|therefore|thus|hence|altogether|(?:in |the )?total|overall|in conclusion)\b")


def _concludes(last: str, others: list[str]) -> bool:
    """Whether a sentence draws a conclusion from others that speak of something."""
    return bool(_CONCLUSION.match(last)) and all(map(_content, others))


def _content(sentence: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]{2,}", sentence) if word not in _FRAME]


def _alike(one: str, other: str) -> bool:
    """Whether two sentences state an answer in the same way: bare, or with the same words around it."""
    first, second = _content(one), _content(other)
    return (len(first) <= 1 and len(second) <= 1) or (len(first) == len(second) and _differences(first, second) <= 1)


def _differences(first: list[str], second: list[str]) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))
