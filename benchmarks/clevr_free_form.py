"""Questions as people may put them, about generated scenes: a stand-in for CLEVR-Humans, which needs CLEVR's images.

    python -m benchmarks.clevr_free_form

``clevr_free_form.json`` holds 200 questions in free wording with scene numbers and true answers; the scenes are made
from its seed. Most have a counterpart in CLEVR's English, which says what is meant. The model is asked both: what it
loses on the free wording is a matter of language alone. Where it cannot know what is asked, its answer is shown as a
guess, and counted apart. The patterns of :mod:`clevr.questions.free_wording` were written in sight of these questions.

CLEVR-Humans itself: ``python -m benchmarks.clevr_transfer humans --root CLEVR_v1.0``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

import clevr
from benchmarks.clevr_transfer import PUBLISHED_HUMANS
from clevr.answers.predict import Answerer
from clevr.answers.scores import Score
from clevr.world.placement import Scenes
from clevr.world.render import render
from clevr.world.scene import Scene
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings

QUESTIONS = Path(__file__).with_suffix(".json")
WIDTH, HEIGHT = 480, 320


class Entry(NamedTuple):
    """One question in free wording."""

    scene: int
    question: str
    answer: str
    means: str | None = None
    """The same in CLEVR's English; None where that cannot say it."""


@dataclass(frozen=True)
class FreeFormConfig(Settings):
    """Which model is asked."""

    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    out: Path = Path("benchmarks/results/clevr_free_form.json")
    """Result file."""


def read() -> tuple[list[Entry], list[Scene]]:
    """The questions, and the scenes that they are about."""
    content = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    entries = [Entry(**row) for row in content["questions"]]
    count = 1 + max(entry.scene for entry in entries)
    return entries, Scenes(content["seed"], content["split"]).batch(range(count))


def run(config: FreeFormConfig) -> None:
    """Ask, print and write."""
    entries, scenes = read()
    reasoner = clevr.load(config.model)
    answered: list[dict[str, Any]] = []
    for scene in scenes:
        pixels = render([scene], WIDTH, HEIGHT)[0].permute(1, 2, 0).numpy()
        answerer = Answerer(reasoner, Image.fromarray(pixels))
        answered += [ask(answerer, entry) for entry in entries if entry.scene == scene.image_index]
    accuracy = summarize(answered)
    results = {"accuracy": accuracy, "published": PUBLISHED_HUMANS, "answers": answered}
    for name, score in accuracy.items():
        low, high = score["interval"]
        share = f"{100 * score['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        print(f"{name:34} {score['right']:4} of {score['count']:4}  {share}")
    print("published, CLEVR-Humans:", ", ".join(f"{name} {value}" for name, value in PUBLISHED_HUMANS.items()))
    write_result(config.out, config=config, seed=0, results=results)


def ask(answerer: Answerer, entry: Entry) -> dict[str, Any]:
    """What the model says to a question, and to the same in CLEVR's English."""
    free = answerer.ask(entry.question)
    plain = answerer.ask(entry.means).answer if entry.means else None
    return {
        "scene": entry.scene,
        "question": entry.question,
        "truth": entry.answer,
        "answer": free.answer,
        "probability": round(free.probability, 4),
        "unknown_words": list(free.unknown_words),
        "is_guess": free.is_guess,
        "asked_as": free.asked_as,
        "in_clevrs_words": plain,
    }


def summarize(answered: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy over all questions, of guesses and of others, and of the counterparts in CLEVR's English."""
    known = [row for row in answered if not row["is_guess"]]
    unknown = [row for row in answered if row["is_guess"]]
    told = [row for row in answered if row["in_clevrs_words"]]
    scores = {
        "all": _score(answered),
        "read as a question of CLEVR": _score(known),
        "guesses": _score(unknown),
        "with a counterpart, as asked": _score(told),
        "with a counterpart, that one asked": _score(told, "in_clevrs_words"),
    }
    return {name: score.to_json() for name, score in scores.items() if score.count}


def _score(rows: Sequence[dict[str, Any]], key: str = "answer") -> Score:
    return Score(sum(row[key] == row["truth"] for row in rows), len(rows))


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_free_form", FreeFormConfig, sys.argv[1:], description=__doc__ or ""))
