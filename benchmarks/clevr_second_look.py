"""What a second look at an image is worth, and for which answers: how ``--sure`` of ``clevr-film evaluate`` was chosen.

    python -m benchmarks.clevr_second_look runs/clevr/world --split val

Every question is answered from one view of the image and from all four. For each bound below which an answer gets the
second look: the share of questions that get it, how many answers are right, and how honest their probabilities are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

import clevr
from clevr.answers.predict import predict
from clevr.answers.scores import Score
from clevr.data.batches import load_reasoning_data
from clevr.questions.tokens import SPECIAL_TOKENS
from fewshot_film.classifier import calibration_error
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, at_least

BOUNDS = (0.0, 0.9, 0.98, 0.99, 0.995, 0.999, 1.0)


@dataclass(frozen=True)
class SecondLookConfig(Settings):
    """Which model answers which questions."""

    data: Path
    """Folder or zip file in CLEVR's format."""
    split: str = "val"
    """Split to answer."""
    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    questions: Annotated[int | None, at_least(1)] = None
    """Maximum number of questions, rounded up to whole images; null: all."""
    cache: Path | None = None
    """Folder for decoded images and parsed questions; null: ``cache`` in the folder of the data set."""
    out: Path = Path("benchmarks/results/clevr_second_look.json")
    """Result file."""


def run(config: SecondLookConfig) -> None:
    """Answer, compare, print and write."""
    reasoner = clevr.load(config.model)
    data = load_reasoning_data(config.data, config.split, reasoner.config, reasoner.vocabulary, cache=config.cache)
    first, four = (predict(reasoner, data, limit=config.questions, sure=sure) for sure in (0.0, 1.0))
    truth = data.table.answer[first.numbers].astype(np.int64) - len(SPECIAL_TOKENS)
    results = by_bound(first.probabilities, four.probabilities, truth)
    print(as_table(results))
    write_result(config.out, config=config, seed=0, results=results)


def by_bound(first: NDArray[np.float32], four: NDArray[np.float32], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Scores for each of :data:`BOUNDS`.

    Args:
        first: probabilities of the answers from one view, ``(N, answers)``.
        four: from all four.
        truth: the right answers, ``(N,)``.
    """
    results = {}
    for bound in BOUNDS:
        again = first.max(1) < bound
        seen = np.where(again[:, None], four, first)
        right = int((seen.argmax(1) == truth).sum())
        error = calibration_error(seen, truth).error
        results[f"{bound:g}"] = {
            "again": float(again.mean()),
            **Score(right, len(truth)).to_json(),
            "calibration_error": error,
        }
    return results


def as_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per bound, as Markdown."""
    lines = [
        "| four views where an answer is less probable than | of all questions, % | right, % | calibration error, % |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for bound, row in results.items():
        low, high = (100 * value for value in row["interval"])
        lines.append(
            f"| {bound} | {100 * row['again']:.1f} | {100 * row['accuracy']:.2f} ({low:.2f} to {high:.2f}) | "
            f"{100 * row['calibration_error']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    words = sys.argv[1:]
    run(
        parse(
            "python -m benchmarks.clevr_second_look",
            SecondLookConfig,
            words,
            positionals=("data",),
            description=__doc__ or "",
        )
    )
