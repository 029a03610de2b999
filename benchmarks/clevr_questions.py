"""The written questions: can they be answered without looking, are all families used, and how much of CLEVR is covered.

    python -m benchmarks.clevr_questions balance
    python -m benchmarks.clevr_questions weights
    python -m benchmarks.clevr_questions coverage [FILE,...]

``balance`` writes many questions and measures, by CLEVR's five types

- *common*: the accuracy of always giving the most common training answer to what is asked (13 kinds,
  such as the colour, or whether there are more), or of the question's family;
- *text*: the accuracy of logistic regression on the text's n-grams, its length and its number of
  attribute words: a model that sees all of the text and nothing of the image.

Johnson et al. 2017 report both for CLEVR: 41.8 and, for an LSTM on the text, 46.8 % overall. ``weights`` fits the
family weights instead and prints the table of ``clevr/questions/families.py``.

``coverage`` reads real questions (any JSON list of records with a ``question``, or a CLEVR questions file) and counts

- words: the share that lies in the vocabulary, and the vocabulary's words that occur;
- questions: the share that the grammar reads, which is the share that it could have written;
- sentence shapes: the same for distinct shapes, a question with every attribute word replaced by its
  attribute and every noun by *thing*.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from clevr.questions import (
    ANSWERS,
    FAMILIES,
    GROUPS,
    QUESTION_TYPES,
    VOCABULARY,
    Family,
    Question,
    parse,
    tokenize,
    write_questions,
)
from clevr.questions.families import FAMILY_WEIGHTS
from clevr.questions.lexicon import WORDS
from clevr.questions.programs import VALUES
from clevr.world.placement import Scenes
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result
from fewshot_film.run.seeding import generator, numpy_generator
from fewshot_film.run.settings import Settings, at_least


def make_scenes(seed: int, first: int, stop: int) -> list[Scene]:
    """Scenes ``first`` to ``stop`` of CLEVR's world, made a batch at a time."""
    scenes = Scenes(seed)
    return [scene for start in range(first, stop, 32) for scene in scenes.batch(range(start, min(start + 32, stop)))]


# balance

PUBLISHED = {
    "common": {
        "overall": 41.8,
        "count": 34.6,
        "exist": 50.2,
        "compare integer": 51.0,
        "query": 36.0,
        "compare attribute": 51.3,
    },
    "text": {
        "overall": 46.8,
        "count": 41.7,
        "exist": 61.1,
        "compare integer": 69.8,
        "query": 36.8,
        "compare attribute": 51.8,
    },
}
"""Johnson et al. 2017, table of the test set: the most common answer, and an LSTM without the image."""

_ADJECTIVES = {
    word for name in ("size", "color", "material") for value in VALUES[name] for word in WORDS.get(value, (value,))
}


def write_many(scenes: Sequence[Scene], seed: int, weights: Sequence[float] = FAMILY_WEIGHTS) -> list[Question]:
    """The questions of some scenes."""
    return [
        question
        for scene in scenes
        for question in write_questions(scene, numpy_generator(seed, "questions", scene.image_index), weights=weights)
    ]


def by_type(questions: Sequence[Question], right: Sequence[bool]) -> dict[str, float]:
    """Accuracy in percent, overall and by the type of the question."""
    chosen = defaultdict(list)
    for question, is_right in zip(questions, right, strict=True):
        chosen["overall"].append(is_right)
        chosen[str(question.type)].append(is_right)
    return {kind: 100 * float(np.mean(chosen[kind])) for kind in ("overall", *QUESTION_TYPES)}


def common_answers(train: Sequence[Question], test: Sequence[Question], kind: Callable[[Family], object]) -> list[bool]:
    """Whether the most common training answer among the questions of a kind is right."""

    def kind_of(question: Question) -> object:
        return kind(FAMILIES[question.question_family_index or 0])

    counts: dict[object, Counter[str | None]] = defaultdict(Counter)
    for question in train:
        counts[kind_of(question)][question.answer] += 1
    best = {key: answers.most_common(1)[0][0] for key, answers in counts.items()}
    return [best.get(kind_of(question)) == question.answer for question in test]


def text_features(question: Question) -> list[str]:
    """All n-grams up to four words, the length, and the number of attribute words."""
    words = ["^", *(word.lower() for word in tokenize(question.question)), "$"]
    grams = [" ".join(words[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(words) - n + 1)]
    return [*grams, f"#{len(words)}", f"##{sum(word in _ADJECTIVES for word in words)}"]


def text_model(train: Sequence[Question], test: Sequence[Question], epochs: int, seed: int) -> list[bool]:
    """Whether logistic regression on the text is right; features that occur twice or less are left out."""
    features = [text_features(question) for question in (*train, *test)]
    counts = Counter(name for names in features[: len(train)] for name in names)
    places = {name: place for place, name in enumerate(name for name, count in counts.items() if count > 2)}
    rows = [torch.tensor([places[name] for name in names if name in places]) for names in features]
    answers = torch.tensor([ANSWERS.index(str(question.answer)) for question in train])
    weights = torch.nn.EmbeddingBag(len(places), len(ANSWERS), mode="sum")
    torch.nn.init.zeros_(weights.weight)
    optimizer = torch.optim.Adam(weights.parameters(), lr=2e-3)

    def scores(chosen: Sequence[int]) -> torch.Tensor:
        bags = [rows[number] for number in chosen]
        starts = torch.tensor([0, *(len(bag) for bag in bags[:-1])]).cumsum(0)
        result: torch.Tensor = weights(torch.cat(bags), starts)
        return result

    for epoch in range(epochs):
        order = torch.randperm(len(train), generator=generator(seed, "order", epoch)).tolist()
        for start in range(0, len(order), 256):
            batch = order[start : start + 256]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(scores(batch), answers[batch])
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        guesses = [int(scores([number]).argmax()) for number in range(len(train), len(rows))]
    return [ANSWERS[guess] == question.answer for guess, question in zip(guesses, test, strict=True)]


def usage(questions: Sequence[Question]) -> dict[str, float]:
    """How much more or less often than on average the least and the most used family is written."""
    counts = Counter(question.question_family_index for question in questions)
    shares = [counts[family.index] * len(FAMILIES) / len(questions) for family in FAMILIES]
    return {"least": min(shares), "most": max(shares), "deviation": float(np.std(shares))}


@dataclass(frozen=True)
class WeightsConfig(Settings):
    """How the family weights are fitted."""

    scenes: Annotated[int, at_least(1)] = 10_000
    """Scenes that questions are written about."""
    rounds: Annotated[int, at_least(1)] = 8
    """Rounds of writing."""


def weights(config: WeightsConfig) -> None:
    """Fit the family weights by rounds of writing, and print them as a table."""
    world = make_scenes(1, 0, config.scenes)
    fitted = np.ones(len(FAMILIES))
    for number in range(config.rounds):
        questions = write_many(world, number, fitted.tolist())
        print({key: round(value, 3) for key, value in usage(questions).items()})
        counts = Counter(question.question_family_index for question in questions)
        shares = np.array([counts[family.index] for family in FAMILIES]) * len(FAMILIES) / len(questions)
        fitted *= np.maximum(shares, 0.1) ** (-1.2 if number < config.rounds / 2 else -0.6)
        fitted /= np.exp(np.log(fitted).mean())
    for row in fitted.reshape(9, 10):
        print("    (" + ", ".join(f"{weight:.2f}" for weight in row) + "),")


@dataclass(frozen=True)
class BalanceConfig(Settings):
    """How much is written and learned."""

    scenes: Annotated[int, at_least(1)] = 10_000
    """Training scenes."""
    test_scenes: Annotated[int, at_least(1)] = 2_000
    """Test scenes."""
    epochs: Annotated[int, at_least(1)] = 3
    """Epochs of the text model."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of scenes, questions and text model."""
    out: Path = Path("benchmarks/results/question_balance.json")
    """Result file."""


def balance(config: BalanceConfig) -> None:
    """Measure, print and write."""
    scenes = make_scenes(config.seed, 0, config.scenes + config.test_scenes)
    train = write_many(scenes[: config.scenes], config.seed)
    test = write_many(scenes[config.scenes :], config.seed)
    results = {
        "questions": {"train": len(train), "test": len(test)},
        "usage": usage([*train, *test]),
        "common": by_type(test, common_answers(train, test, lambda family: family.asks)),
        "common_of_family": by_type(test, common_answers(train, test, lambda family: family.index)),
        "text": by_type(test, text_model(train, test, config.epochs, config.seed)),
        "published": PUBLISHED,
    }
    for key, value in results.items():
        print(f"{key}: {value}")
    write_result(config.out, config=config, seed=config.seed, results=results)


# coverage

_SLOT = {
    word: f"<{attribute}>"
    for attribute in ATTRIBUTES[:3]
    for value in VALUES[attribute]
    for word in WORDS.get(value, (value,))
}
for _noun in (*VALUES["shape"], "thing"):
    for _word in WORDS[_noun]:
        _SLOT |= {_word: "<thing>", f"{_word}s": "<things>"}


def shape_of(question: str) -> str:
    """A question with its attribute words and nouns left open."""
    return " ".join(_SLOT.get(word.lower(), word.lower()) for word in tokenize(question))


def measure_coverage(questions: list[str]) -> dict[str, Any]:
    """The shares of words, questions and sentence shapes that the grammar covers."""
    words = Counter(word for question in questions for word in tokenize(question))
    known = {question: bool(parse(question)) for question in questions}
    shapes: dict[str, bool] = {}
    for question, is_read in known.items():
        shapes[shape_of(question)] = shapes.get(shape_of(question), False) or is_read
    groups = Counter(meaning.families()[0].group for question in questions for meaning in parse(question)[:1])
    return {
        "questions": len(questions),
        "words": words.total(),
        "words_known": sum(count for word, count in words.items() if word in VOCABULARY) / words.total(),
        "vocabulary_used": len(words.keys() & set(VOCABULARY)),
        "questions_read": sum(known[question] for question in questions) / len(questions),
        "shapes": len(shapes),
        "shapes_read": sum(shapes.values()) / len(shapes),
        "questions_not_read": sorted(question for question, is_read in known.items() if not is_read),
        "questions_by_group": {group: groups[group] for group in GROUPS},
    }


def read_questions(path: Path) -> list[str]:
    """The texts of a questions file.

    Raises:
        ValueError: the file holds no questions.
    """
    content = json.loads(path.read_text())
    records = content["questions"] if isinstance(content, dict) else content
    if not records:
        raise InvalidValueError(f"{path} holds no questions: expected a list of records with a 'question'")
    return [record["question"] for record in records]


@dataclass(frozen=True)
class CoverageConfig(Settings):
    """Which questions."""

    files: tuple[Path, ...]
    """Files with real questions."""
    out: Path = Path("benchmarks/results/question_coverage.json")
    """Result file."""


def coverage(config: CoverageConfig) -> None:
    """Measure, print and write."""
    found = measure_coverage([question for path in config.files for question in read_questions(path)])
    for key, value in found.items():
        print(f"{key}: {value}")
    names = [path.name for path in config.files]
    write_result(config.out, config={"files": names}, seed=0, results=found)


COMMANDS = [
    Command(
        "balance",
        BalanceConfig,
        "benchmarks.clevr_questions:balance",
        "Whether the questions can be answered without looking, and whether all families are used equally.",
        ("python -m benchmarks.clevr_questions balance",),
    ),
    Command(
        "weights",
        WeightsConfig,
        "benchmarks.clevr_questions:weights",
        "Fit the weights of the families and print them.",
        ("python -m benchmarks.clevr_questions weights",),
    ),
    Command(
        "coverage",
        CoverageConfig,
        "benchmarks.clevr_questions:coverage",
        "How much of the language of the real CLEVR questions the grammar covers.",
        ("python -m benchmarks.clevr_questions coverage [CLEVR_val_questions.json]",),
        positionals=("files",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.clevr_questions", COMMANDS))
