"""How much of the language of the real CLEVR questions the writer's grammar covers.

``python -m benchmarks.question_coverage FILE...`` reads real questions (any JSON list of records with a
``question``, or a CLEVR questions file) and counts

- words: the share that lies in the vocabulary, and the vocabulary's words that occur;
- questions: the share that the grammar reads, which is the share that it could have written;
- sentence shapes: the same for distinct shapes, a question with every attribute word replaced by its
  attribute and every noun by *thing*.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from clevr.questions import GROUPS, VOCABULARY, parse, tokenize
from clevr.questions.programs import ATTRIBUTES, VALUES
from clevr.questions.templates import WORDS
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.results import write_result

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


def measure(questions: list[str]) -> dict[str, Any]:
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


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/question_coverage.json"))
    args = parser.parse_args()
    found = measure([question for path in args.files for question in read_questions(path)])
    for key, value in found.items():
        print(f"{key}: {value}")
    names = [path.name for path in args.files]
    write_result(args.out, config={"files": names}, seed=0, results=found)


if __name__ == "__main__":
    main()
