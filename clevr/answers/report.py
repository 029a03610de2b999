"""An evaluation in Markdown, beside published numbers, and predictions in the format of CLEVR's test server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.answers.scores import Evaluation, Score, Scores, total
from clevr.data.table import QuestionTable
from clevr.questions.families import CLOSURE_GROUPS
from clevr.questions.programs import QUESTION_TYPES
from clevr.questions.tokens import SPECIAL_TOKENS
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.run.tables import markdown_text

COLUMNS = ("overall", *QUESTION_TYPES)

PUBLISHED: Mapping[str, tuple[float | None, ...]] = {
    "human": (92.6, 86.7, 96.6, 86.5, 95.0, 96.0),
    "most common answer of the question's type": (41.8, 34.6, 50.2, 51.0, 36.0, 51.3),
    "LSTM without the image": (46.8, 41.7, 61.1, 69.8, 36.8, 51.8),
    "CNN+LSTM": (52.3, 43.7, 65.2, 67.1, 49.3, 53.0),
    "CNN+LSTM+SA": (76.6, 64.4, 82.7, 77.4, 82.6, 75.4),
    "relation network, pixels": (95.5, 90.1, 97.8, 93.6, 97.9, 97.1),
    "PG+EE, 700k programs": (96.9, 92.7, 97.1, 98.7, 98.1, 98.9),
    "FiLM, ResNet-101 features": (97.7, 94.3, 99.1, 96.8, 99.1, 99.1),
    "FiLM, pixels": (97.6, 94.3, 99.3, 93.4, 99.3, 99.3),
    "MAC": (98.9, 97.1, 99.5, 99.1, 99.5, 99.5),
    "MDETR": (99.7, None, None, None, None, None),
}
"""Per cent of CLEVR v1.0's test set in the order of :data:`COLUMNS`. Up to FiLM as in Perez et al., AAAI 2018, table 1;
MAC: Hudson and Manning, ICLR 2018; MDETR: Kamath et al., ICCV 2021."""

SHOWN = ("human", "FiLM, ResNet-101 features", "FiLM, pixels")
"""Published rows that are printed; the file has all."""


def kinds_of(world: WorldSpec = CLEVR) -> dict[str, tuple[str, ...]]:
    """Answers that can be taken for each other."""
    return {"yes or no": ("yes", "no"), "number": tuple(str(number) for number in range(11)), **world.values}


_WORDS_TOGETHER = 5
_TITLES = {
    "function": "last function",
    "hops": "relations followed",
    "words": "words of the question",
    "objects": "objects in the scene",
    "family": "question family",
}


def markdown(evaluation: Evaluation, title: str) -> str:
    """The whole report.

    Args:
        evaluation: what :func:`clevr.answers.scores.evaluate` found.
        title: what was evaluated, on what.
    """
    parts = [f"# {markdown_text(title)}", comparison(evaluation)]
    for name, heading in _TITLES.items():
        scores = evaluation.by.get(name)
        if scores:
            parts.append(score_table(heading, in_fives(scores) if name == "words" else scores))
    wrong = evaluation.off_by_one
    if wrong.count:
        share = f"{100 * wrong.accuracy:.1f} % of {wrong.count:,} wrong numbers are off by one"
        parts.append(f"{share} (Perez et al. 2018, appendix 7.1: 96.1 %).")
    parts += [
        "Confusion matrix: rows are true answers, columns predicted answers.",
        *confusion_tables(evaluation),
    ]
    return "\n\n".join(parts) + "\n"


def short(evaluation: Evaluation, title: str, rest: str) -> str:
    """What is printed of the report: accuracy overall and by type, beside people's and FiLM's, and on CLOSURE.

    Args:
        evaluation: what :func:`clevr.answers.scores.evaluate` found.
        title: what was evaluated, on what.
        rest: where the other tables are.
    """
    table = comparison(evaluation, "this model", SHOWN).replace("**", "")
    closure = {name: score for name, score in evaluation.by.get("family", {}).items() if name in CLOSURE_GROUPS}
    if closure:
        table += "\n\n" + score_table("CLOSURE", closure).replace("\\_", "_")
    return f"{title}\n\n{table}\n\nMore published results and accuracy by function, length and family are {rest}.\n"


def comparison(
    evaluation: Evaluation, name: str = "**this model**", published: Iterable[str] = tuple(PUBLISHED)
) -> str:
    """Accuracy overall and by type, beside published numbers on CLEVR.

    Args:
        evaluation: what :func:`clevr.answers.scores.evaluate` found.
        name: of the first row.
        published: the rows of :data:`PUBLISHED` to show.
    """
    ours = {"overall": evaluation.overall, **evaluation.by.get("type", {})}
    rows = [(name, *(_with_interval(ours.get(column)) for column in COLUMNS))]
    rows.append(("questions", *(f"{ours[column].count:,}" if column in ours else "" for column in COLUMNS)))
    if evaluation.majority:
        common = [evaluation.majority.get(column) for column in COLUMNS]
        rows.append(("most common answer of each function", *map(_percent, common)))
    rows += [(f"{row} [published]", *map(_number, PUBLISHED[row])) for row in published]
    return "\n".join(_table(("accuracy, %", *COLUMNS), rows))


def score_table(heading: str, scores: Scores) -> str:
    """One row a kind of question."""
    rows = [
        (
            markdown_text(name),
            f"{score.count:,}",
            f"{100 * score.accuracy:.1f}",
            "{:.1f} to {:.1f}".format(*_ends(score)),
        )
        for name, score in scores.items()
    ]
    return "\n".join(_table((heading, "questions", "accuracy, %", "95 % interval"), rows))


def in_fives(scores: Scores) -> dict[str, Score]:
    """Scores by number, five numbers together: ``6 to 10``."""
    groups: dict[int, list[Score]] = {}
    for name, score in scores.items():
        groups.setdefault((int(name) - 1) // _WORDS_TOGETHER, []).append(score)
    first = {group: group * _WORDS_TOGETHER + 1 for group in sorted(groups)}
    return {f"{n} to {n + _WORDS_TOGETHER - 1}": total(groups[group]) for group, n in first.items()}


def confusion_tables(evaluation: Evaluation) -> list[str]:
    """One table for each kind of answer; what does not occur is left out, answers of other kinds are summed up."""
    confusion, answers = evaluation.confusion, evaluation.answers
    place = {word: number for number, word in enumerate(answers)}
    tables = []
    for kind, words in kinds_of(evaluation.world).items():
        numbers = [place[word] for word in words]
        used = [n for n in numbers if confusion[n].sum() or confusion[numbers, n].sum()]
        rows = [n for n in used if confusion[n].sum()]
        if not rows:
            continue
        others = [n for n in range(len(answers)) if n not in used]
        lines = [
            (answers[n], *(_count(confusion[n, m], n == m) for m in used), _count(confusion[n, others].sum()))
            for n in rows
        ]
        tables.append("\n".join(_table((kind, *(answers[n] for n in used), "other"), lines)))
    return tables


def predictions_json(table: QuestionTable, predicted: NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
    """Answers as CLEVR's test server takes them: ``[{"question_index": 0, "answer": "yes"}, ...]``."""
    return [
        {"question_index": int(index), "answer": table.answers[number + len(SPECIAL_TOKENS)]}
        for index, number in zip(table.question_index, predicted, strict=True)
    ]


def _with_interval(score: Score | None) -> str:
    if score is None:
        return ""
    low, high = _ends(score)
    return f"**{100 * score.accuracy:.1f}** ({low:.1f} to {high:.1f})"


def _ends(score: Score) -> tuple[float, float]:
    low, high = score.interval
    return 100 * low, 100 * high


def _percent(score: Score | None) -> str:
    return "" if score is None else _number(100 * score.accuracy)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _count(value: int | np.int64, diagonal: bool = False) -> str:
    return f"**{value}**" if diagonal else str(value or "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]
