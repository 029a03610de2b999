"""Whether a model's answers about one image agree with each other: comparisons with counts, exist with count.

Three questions compare the numbers of two kinds of things (more, fewer, an equal number of), two count them. A model
may answer each well and still contradict itself; nothing in its form keeps it from that.

Source: Perez et al., "FiLM", AAAI 2018, appendix 7.1 and figure 13: a case of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.analysis.subject import Finding, Subject, answers_about
from clevr.answers.plotting import COLORS, bars, new_figure
from clevr.answers.scores import Score
from clevr.questions.parser import parse
from clevr.questions.programs import VALUES, execute
from clevr.questions.tokens import ANSWER_WORDS
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES
from fewshot_film.run.seeding import numpy_generator

PAIRS = 4
"""Pairs of kinds of things that are compared in an image; other ones in each."""
QUESTIONS_A_PAIR = 7
"""Two counts, two whether there are any, three comparisons."""
_MOST_NUMBER = 10


@dataclass(frozen=True)
class PairAnswers:
    """Answers about one pair of kinds in one image, ``None`` where the answer is of another type."""

    counts: tuple[int | None, int | None]
    """How many there are."""
    exist: tuple[bool | None, bool | None]
    """Whether there are any."""
    compared: tuple[bool | None, bool | None, bool | None]
    """Whether there are more of the first, fewer, an equal number."""


def analyse(subject: Subject) -> Finding:
    """How often answers agree, by how far the counted numbers lie apart; and how often they are right."""
    names, maps = subject.images(max(1, subject.questions // (PAIRS * QUESTIONS_A_PAIR)))
    pairs = [draw_pairs(PAIRS, subject.seed, number) for number in range(len(names))]
    texts = [[text for pair in some for text in questions_about(*pair)] for some in pairs]
    answers = [
        answers_about(subject.reasoner, one[None], subject.read(asked))[0]
        for one, asked in zip(maps, texts, strict=True)
    ]
    judged = [judge(seven) for given in answers for seven in given.reshape(-1, QUESTIONS_A_PAIR)]
    agreement = {name: score.to_json() for name, score in agreements(judged).items()}
    apart = {str(distance): score.to_json() for distance, score in by_distance(judged).items()}
    results: dict[str, Any] = {"images": len(names), "pairs": len(judged), "agreement": agreement}
    results["comparisons_by_difference"] = apart
    if all(name in subject.scenes for name in names):
        results["right"] = _accuracy(answers, names, subject.scenes, texts)
    return Finding(results, _draw(results))


def draw_pairs(count: int, seed: int, image: int) -> list[tuple[str, str]]:
    """Pairs of different kinds of objects, each described by one or two attributes; a function of all arguments."""
    rng = numpy_generator(seed, "logical consistency", image)
    pairs: dict[tuple[str, str], None] = {}
    while len(pairs) < count:
        one, other = _kind(rng), _kind(rng)
        if one != other:
            pairs[one, other] = None
    return list(pairs)


def questions_about(one: str, other: str) -> tuple[str, ...]:
    """The seven questions about a pair of kinds, in the order of :class:`PairAnswers`."""
    return (
        f"How many {one} are there?",
        f"How many {other} are there?",
        f"Are there any {one}?",
        f"Are there any {other}?",
        f"Are there more {one} than {other}?",
        f"Are there fewer {one} than {other}?",
        f"Are there an equal number of {one} and {other}?",
    )


def judge(answers: NDArray[np.int64]) -> PairAnswers:
    """Read seven answers, as positions in ``ANSWER_WORDS``."""
    words = [ANSWER_WORDS[int(number)] for number in answers]
    numbers = [int(word) if word.isdigit() else None for word in words]
    said = [word == "yes" if word in ("yes", "no") else None for word in words]
    return PairAnswers((numbers[0], numbers[1]), (said[2], said[3]), (said[4], said[5], said[6]))


def agreements(judged: Sequence[PairAnswers]) -> dict[str, Score]:
    """How often answers agree, by what is held against what.

    An answer of the wrong type, such as a colour for a count, agrees with nothing.
    """
    compared = [agree for one in judged for agree in _comparisons(one)]
    return {
        "a comparison with both counts": _score(compared),
        "all three comparisons with both counts": _score(all(_comparisons(one)) for one in judged),
        "exactly one comparison is yes": _score(one.compared.count(True) == 1 for one in judged),
        "whether there are any with the count": _score(
            count is not None and any_there == (count > 0)
            for one in judged
            for count, any_there in zip(one.counts, one.exist, strict=True)
        ),
    }


def by_distance(judged: Sequence[PairAnswers]) -> dict[int, Score]:
    """How often a comparison agrees with both counts, by the difference that the counts have."""
    groups: dict[int, list[bool]] = {}
    for one in judged:
        first, second = one.counts
        if first is not None and second is not None:
            groups.setdefault(abs(first - second), []).extend(_comparisons(one))
    return {distance: _score(groups[distance]) for distance in sorted(groups)}


def _comparisons(one: PairAnswers) -> list[bool]:
    first, second = one.counts
    if first is None or second is None:
        return [False] * 3
    expected = (first > second, first < second, first == second)
    return [said == truth for said, truth in zip(one.compared, expected, strict=True)]


def _score(values: Any) -> Score:
    values = list(values)
    return Score(sum(values), len(values))


def _kind(rng: np.random.Generator) -> str:
    """One or two attributes in their order, such as ``red cubes`` or ``small metal things``."""
    chosen = sorted(rng.choice(len(ATTRIBUTES), rng.integers(1, 3), replace=False).tolist())
    words = [str(rng.choice(VALUES[ATTRIBUTES[place]])) for place in chosen]
    noun = words.pop() if ATTRIBUTES[chosen[-1]] == "shape" else "thing"
    return " ".join([*words, f"{noun}s"])


def _accuracy(
    answers: Sequence[NDArray[np.int64]],
    names: Sequence[str],
    scenes: Mapping[str, Scene],
    texts: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """How often the answers are right, by what is asked."""
    right: dict[str, list[bool]] = {}
    for given, name, asked in zip(answers, names, texts, strict=True):
        for number, text in zip(given, asked, strict=True):
            program = parse(text)[0].program()
            truth = execute(program, scenes[name])
            right.setdefault(program[-1].function, []).append(ANSWER_WORDS[int(number)] == truth)
    return {function: _score(values).to_json() for function, values in right.items()}


def _draw(results: Mapping[str, Any]) -> Any:
    figure, (left, right) = new_figure(1, 2, 11, 3.6)
    shown = {name: entry["accuracy"] for name, entry in results["agreement"].items()}
    shown |= {f"{name.replace('_', ' ')} is right": row["accuracy"] for name, row in results.get("right", {}).items()}
    colors = [COLORS[0]] * len(results["agreement"]) + [COLORS[1]] * len(results.get("right", {}))
    bars(left, list(shown), [100 * value for value in shown.values()], colors)
    left.set_title("agreement (blue), right answers (orange), %", fontsize=10)
    apart = {int(name): entry for name, entry in results["comparisons_by_difference"].items()}
    values = [100 * entry["accuracy"] for entry in apart.values()]
    ends = np.array([entry["interval"] for entry in apart.values()]).reshape(-1, 2).T * 100
    right.errorbar(list(apart), values, np.abs(ends - values), color=COLORS[0], marker="o", markersize=4, capsize=2)
    right.set(xlabel="difference of the two counts that the model gives", ylim=(0, 102))
    right.set_xticks(range(max(apart, default=0) + 1))
    right.set_title("comparisons that agree with both counts, %", fontsize=10)
    return figure
