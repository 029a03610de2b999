"""How honest probabilities are of answers to questions with words that the model does not know.

    python -m benchmarks.clevr_unknown_words

Questions about generated scenes are asked with one of their words, or two, replaced by one that no vocabulary has; the
true answer is that of the question as it was. The questions in free wording of `benchmarks.clevr_free_form` that have
unknown words are asked as well. Beside the answers as they are given, the average over all that a question may say,
stand those that an unknown token leads to, as they were given before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import clevr
from benchmarks.clevr_free_form import HEIGHT, WIDTH
from benchmarks.clevr_free_form import read as read_free_form
from clevr.answers.predict import Answerer
from clevr.answers.scores import Score
from clevr.answers.unknown_words import readings_of
from clevr.questions import write_questions
from clevr.questions.batch import build_prefix_tree
from clevr.questions.lexicon import CLEVR_LEXICON
from clevr.reasoning.network import Reasoner
from clevr.world.placement import Scenes
from clevr.world.render import render
from clevr.world.scene import RELATIONS, Scene
from clevr.world.spec import ATTRIBUTES
from fewshot_film.classifier import calibration_error
from fewshot_film.run.parsing import parse
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.results import write_result
from fewshot_film.run.seeding import numpy_generator
from fewshot_film.run.settings import Settings, at_least

UNKNOWN = ("zorb", "quib")
"""Words that take the place of others."""
WAYS = ("average", "unknown token")
"""How a question is answered: as it is now, and as it was before."""


@dataclass(frozen=True)
class UnknownWordsConfig(Settings):
    """Which model is asked, and how many questions."""

    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    scenes: Annotated[int, at_least(1)] = 500
    """Number of scenes."""
    questions: Annotated[int, at_least(1)] = 4
    """Questions about each, asked twice: with one and with two of their words replaced."""
    seed: Annotated[int, at_least(0)] = 0
    """Of the scenes, the questions and the words."""
    out: Path = Path("benchmarks/results/clevr_unknown_words.json")
    """Result file."""


class Asked(NamedTuple):
    """A question with unknown words."""

    groups: tuple[str, ...]
    """What it is counted among."""
    text: str
    truth: str


def run(config: UnknownWordsConfig) -> None:
    """Ask, print and write."""
    reasoner = clevr.load(config.model)
    rows: list[dict[str, Any]] = []
    scenes = Scenes(config.seed, "unknown words")
    for number in tqdm(range(config.scenes), unit="scene", disable=hides_bars(), dynamic_ncols=True):
        scene = scenes[number]
        rows += ask(reasoner, scene, replaced(scene, config))
    for scene, asked in free_form(reasoner):
        rows += ask(reasoner, scene, asked)
    results = summarize(rows)
    for name, found in results.items():
        told = ", ".join(
            f"{way}: {100 * one['accuracy']:.1f} % right at {100 * one['probability']:.1f} %, calibration error "
            f"{100 * one['calibration_error']:.1f} %"
            for way, one in found.items()
        )
        print(f"{name:28} {found['average']['count']:5}  {told}")
    write_result(config.out, config=config, seed=config.seed, results=results)


def replaced(scene: Scene, config: UnknownWordsConfig) -> Iterator[Asked]:
    """Questions about a scene with one or two words replaced."""
    drawn = numpy_generator(config.seed, "unknown words", scene.image_index)
    for written in write_questions(scene, drawn, config.questions):
        words = written.question.removesuffix("?").replace(";", " ;").split()
        places = [place for place, word in enumerate(words) if word != ";"]
        for count in (1, 2):
            chosen = sorted(drawn.choice(places, size=count, replace=False).tolist())
            others = dict(zip(chosen, UNKNOWN, strict=False))
            text = " ".join(others.get(place, word) for place, word in enumerate(words))
            group = "one word replaced" if count == 1 else "two words replaced"
            groups = (group, f"one word replaced: {kind_of(words[chosen[0]])}") if count == 1 else (group,)
            yield Asked(groups, text, str(written.answer))


def kind_of(word: str) -> str:
    """What a word of a question stands for."""
    word = word.lower()
    if word in CLEVR_LEXICON.nouns or word in CLEVR_LEXICON.plural_nouns:
        return "a noun"
    if word in RELATIONS:
        return "a relation"
    if word in ATTRIBUTES:
        return "an attribute"
    return "a value" if word in CLEVR_LEXICON.values else "any other"


def free_form(reasoner: Reasoner) -> Iterator[tuple[Scene, list[Asked]]]:
    """The questions in free wording scene by scene, in groups by whether the model knows their words and their form."""
    entries, scenes = read_free_form()
    for scene in scenes:
        here = [entry for entry in entries if entry.scene == scene.image_index]
        yield scene, [Asked((_group(reasoner, entry.question),), entry.question, entry.answer) for entry in here]


def _group(reasoner: Reasoner, question: str) -> str:
    readings = readings_of(question, reasoner.vocabulary, reasoner.world)
    if readings.unknown:
        return "in free wording"
    return "in free wording, read" if readings.has_known_form else "in free wording, an unknown form"


@torch.no_grad()
def ask(reasoner: Reasoner, scene: Scene, questions: Iterator[Asked] | Sequence[Asked]) -> list[dict[str, Any]]:
    """The truth of every question, and the probabilities of all answers in both ways."""
    pixels = render([scene], WIDTH, HEIGHT)[0].permute(1, 2, 0).numpy()
    answerer = Answerer(reasoner, Image.fromarray(pixels))
    rows = []
    for one in questions:
        average = dict(answerer.ask(one.text).ranking)
        tree = build_prefix_tree([reasoner.vocabulary.encode(one.text)])
        token = reasoner.answer(answerer.maps, torch.zeros(1, dtype=torch.int64), reasoner.read(tree))[0].softmax(0)
        found = {"average": [average[word] for word in reasoner.answers], "unknown token": token.tolist()}
        rows.append({"groups": one.groups, "truth": reasoner.answers.index(one.truth), **found})
    return rows


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy, mean probability and calibration error of every group, both ways."""
    groups = sorted({group for row in rows for group in row["groups"]})
    found: dict[str, Any] = {}
    for group in groups:
        members = [row for row in rows if group in row["groups"]]
        truth = np.array([row["truth"] for row in members])
        found[group] = {way: _summary(np.array([row[way] for row in members]), truth) for way in WAYS}
    return found


def _summary(shares: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    score = Score(int((shares.argmax(1) == truth).sum()), len(truth)).to_json()
    error = calibration_error(shares, truth).error
    return {**score, "probability": float(shares.max(1).mean()), "calibration_error": error}


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_unknown_words", UnknownWordsConfig, sys.argv[1:], description=__doc__ or ""))
