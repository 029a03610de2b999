"""Any question about things of a color and shape, put together from three others with one or both exchanged.

*What is the blue big cylinder made of* gets gamma and beta of the question with a sphere for the cylinder, plus those
of the question with green for blue, less those of the question with both. The colors and shapes that come in are those
that CoGenT's condition A has together, so a model that was trained there knows all three questions.

Source: Perez et al., "FiLM", AAAI 2018, section 4.5 and figure 10: of a third of CoGenT B's questions 71.5 % were
answered rightly as they are, and 80.7 % so put together.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clevr.analysis.subject import Subject
from clevr.answers.predict import answer_logits
from clevr.answers.scores import Score
from clevr.questions import templates
from clevr.world.placement import CONDITIONS
from clevr.world.scene import COLORS
from fewshot_film.film import Modulation, Modulations
from fewshot_film.run.machine import to_device

_AT_ONCE = 200
_SHAPES = {word: shape for shape in ("cube", "cylinder") for word in templates.WORDS[shape]}
_MATERIALS = [*templates.WORDS["rubber"], *templates.WORDS["metal"]]
_PHRASE = re.compile(rf"\b({'|'.join(COLORS)})((?: (?:{'|'.join(_MATERIALS)}))?) ({'|'.join(_SHAPES)})(s?)\b")


def exchanged(text: str) -> tuple[str, str, str] | None:
    """A question with another shape, with another color, and with both.

    None for a question that does not name exactly one cube or cylinder by its color.
    """
    found = list(_PHRASE.finditer(text))
    if len(found) != 1:
        return None
    color, material, noun, plural = found[0].groups()
    other = next(name for name in CONDITIONS["A"][_SHAPES[noun]] if name != color)
    start, end = found[0].span()

    def with_(new_color: str, new_noun: str) -> str:
        return f"{text[:start]}{new_color}{material} {new_noun}{plural}{text[end:]}"

    return with_(color, "sphere"), with_(other, noun), with_(other, "sphere")


def is_new_to_a(text: str) -> bool:
    """Whether the color and shape that :func:`exchanged` exchanges are not together in CoGenT's condition A."""
    color, _, noun, _ = _PHRASE.findall(text)[0]
    return color not in CONDITIONS["A"][_SHAPES[noun]]


def measure(subject: Subject) -> dict[str, Any]:
    """Accuracy on questions that can be put together, as they are and put together.

    Returns:
        For ``in CoGenT A`` and ``not in CoGenT A``, by whether color and shape are together there: ``asked`` and
        ``composed``. A kind of which the split has no questions is missing.
    """
    table = subject.data.table
    numbers = np.array([int(n) for n in subject.numbers if exchanged(table.texts[int(n)]) is not None], np.int64)
    numbers = numbers[table.answer[numbers] >= 0]
    if not len(numbers):
        return {}
    parts = [_right(subject, numbers[first : first + _AT_ONCE]) for first in range(0, len(numbers), _AT_ONCE)]
    asked, composed = (np.concatenate(column) for column in zip(*parts, strict=True))
    new = np.array([is_new_to_a(table.texts[int(number)]) for number in numbers])
    kinds = {"in CoGenT A": ~new, "not in CoGenT A": new}
    return {
        kind: {"asked": _score(asked[chosen]), "composed": _score(composed[chosen])}
        for kind, chosen in kinds.items()
        if chosen.any()
    }


@torch.no_grad()
def _right(subject: Subject, numbers: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which questions are answered rightly as they are, and which put together."""
    batch = to_device(subject.data.batch(numbers), subject.device)
    texts = [exchanged(subject.data.table.texts[int(number)]) for number in numbers]
    shape, color, both = (subject.values([text[place] for text in texts if text]) for place in range(3))

    def put_together(_: Modulations) -> Modulations:
        return {
            name: Modulation(
                shape[name].gamma + color[name].gamma - both[name].gamma,
                shape[name].beta + color[name].beta - both[name].beta,
            )
            for name in shape
        }

    ways = (answer_logits(subject.reasoner, batch), answer_logits(subject.reasoner, batch, put_together))
    asked, composed = ((logits.argmax(1) == batch.answers).cpu().numpy() for logits in ways)
    return asked, composed


def _score(right: NDArray[np.bool_]) -> dict[str, Any]:
    return Score(int(right.sum()), len(right)).to_json()
