"""Whether the questions can be answered without looking, and whether all families are used equally.

``python -m benchmarks.question_balance`` writes many questions and measures, by CLEVR's five types

- *common*: the accuracy of always giving the most common training answer to what is asked (13 kinds,
  such as the colour, or whether there are more), or of the question's family;
- *text*: the accuracy of logistic regression on the text's n-grams, its length and its number of
  attribute words: a model that sees all of the text and nothing of the picture.

Johnson et al. 2017 report both for CLEVR: 41.8 and, for an LSTM on the text, 46.8 % overall.
``--calibrate`` fits the family weights instead and prints the table of ``clevr/questions/families.py``.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.question_scenes import make_scenes
from clevr.questions import (
    ANSWERS,
    FAMILIES,
    QUESTION_TYPES,
    Family,
    Question,
    tokenize,
    write_questions,
)
from clevr.questions.families import FAMILY_WEIGHTS
from clevr.questions.programs import VALUES
from clevr.questions.templates import WORDS
from clevr.world.scene import Scene
from fewshot_film.run.results import write_result
from fewshot_film.run.seeding import generator, numpy_generator

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
"""Johnson et al. 2017, table of the test set: the most common answer, and an LSTM without the picture."""

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


def calibrate(scenes: int, rounds: int) -> None:
    """Fit the family weights by rounds of writing, and print them as a table."""
    world = make_scenes(1, 0, scenes)
    weights = np.ones(len(FAMILIES))
    for number in range(rounds):
        questions = write_many(world, number, weights.tolist())
        print({key: round(value, 3) for key, value in usage(questions).items()})
        counts = Counter(question.question_family_index for question in questions)
        shares = np.array([counts[family.index] for family in FAMILIES]) * len(FAMILIES) / len(questions)
        weights *= np.maximum(shares, 0.1) ** (-1.2 if number < rounds / 2 else -0.6)
        weights /= np.exp(np.log(weights).mean())
    for row in weights.reshape(9, 10):
        print("    (" + ", ".join(f"{weight:.2f}" for weight in row) + "),")


def main() -> None:
    """Measure, print and keep the result; or calibrate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=10000, help="training scenes (default: %(default)s)")
    parser.add_argument("--test-scenes", type=int, default=2000, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of the text model (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calibrate", action="store_true", help="fit the family weights and print them")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/question_balance.json"))
    args = parser.parse_args()
    if args.calibrate:
        calibrate(args.scenes, rounds=8)
        return
    scenes = make_scenes(args.seed, 0, args.scenes + args.test_scenes)
    train = write_many(scenes[: args.scenes], args.seed)
    test = write_many(scenes[args.scenes :], args.seed)
    results = {
        "questions": {"train": len(train), "test": len(test)},
        "usage": usage([*train, *test]),
        "common": by_type(test, common_answers(train, test, lambda family: family.asks)),
        "common_of_family": by_type(test, common_answers(train, test, lambda family: family.index)),
        "text": by_type(test, text_model(train, test, args.epochs, args.seed)),
        "published": PUBLISHED,
    }
    for key, value in results.items():
        print(f"{key}: {value}")
    config = {"scenes": args.scenes, "test_scenes": args.test_scenes, "epochs": args.epochs}
    write_result(args.out, config=config, seed=args.seed, results=results)


if __name__ == "__main__":
    main()
