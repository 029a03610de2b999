"""``clevr-film ask``: questions about one image."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from clevr.data.feature_config import ExtractorOverrides
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.settings import OnDevice, between

if TYPE_CHECKING:
    from clevr.answers.predict import Answer, Answerer


@dataclass(frozen=True)
class AskConfig(OnDevice):
    """Ask a model about an image."""

    image: Path
    """Path of the image."""
    question: str | None = None
    """A question in CLEVR's English; null: read questions from standard input, one per line, until an empty line."""
    model: str = "clevr-small"
    """Folder of a saved model, or the name of a model that ships with the package."""
    out: Path | None = None
    """PNG file that shows where the answer came from."""
    runners_up: Annotated[int, between(0, 27, "0 to 27")] = 3
    """Number of further answers to show, with their probabilities."""
    format: Literal["text", "json"] = "text"
    """Text, or one JSON document on standard output: the answer, its probability, other answers, and any warning; with
    questions from standard input, a list of these."""
    extractor: ExtractorOverrides = field(default_factory=ExtractorOverrides)
    """For models that read features: how to compute them. Settings that are not given are taken from the model's own
    record, if it has one."""


def run(config: AskConfig) -> None:
    """Answer the question, or one after the other.

    Raises:
        DataNotFoundError: there is no such image.
        DataError: it is no image.
        SavedModelError: there is no such model, or it is damaged.
        ConfigError: there are settings of an extractor, and the model reads pixels.
        QuestionError: the question is empty, far too long, or in words that the model does not know.
    """
    from clevr.answers.predict import open_image

    answerer = _answerer(config, open_image(config.image))
    if config.question is not None:
        answer = answerer.ask(config.question)
        _draw(answerer, answer, config)
        if config.format == "json":
            _write_json(as_json(answer, config.runners_up))
        else:
            _write(describe(answer, config.runners_up) + _warned(answerer))
        return
    if config.format == "json":
        _write_json([entry for entry, _ in _conversation(answerer, config)])
        return
    _write(_warned(answerer))
    for _, text in _conversation(answerer, config):
        _write(text)


def describe(answer: Answer, runners_up: int = 3) -> str:
    """An answer in words.

    Args:
        answer: what the model said.
        runners_up: other answers to name; those of 0.0 % are left out.
    """
    lines = [f"{answer.answer}  ({100 * answer.probability:.1f} %)"]
    others = [f"{word} ({100 * share:.1f} %)" for word, share in answer.ranking[1 : runners_up + 1] if share >= 5e-4]
    lines += [f"  or: {', '.join(others)}"] if others else []
    if answer.unknown_words:
        lines.append(f"  note: the model does not know: {', '.join(answer.unknown_words)}")
    return "\n".join(lines) + "\n"


def as_json(answer: Answer, runners_up: int = 3) -> dict[str, Any]:
    """An answer as plain values.

    Args:
        answer: what the model said.
        runners_up: other answers to name.
    """
    return {
        "question": answer.question,
        "answer": answer.answer,
        "probability": answer.probability,
        "runners_up": [{"answer": word, "probability": share} for word, share in answer.ranking[1 : runners_up + 1]],
        "unknown_words": list(answer.unknown_words),
        "warning": answer.warning or None,
    }


def _answerer(config: AskConfig, image: Any) -> Answerer:
    from clevr.answers.predict import Answerer
    from clevr.data.backbone import Extractor
    from clevr.reasoning.loading import load, training_record
    from fewshot_film.run.device import choose_device

    device = choose_device(config.device)
    reasoner = load(config.model).to(device)
    if reasoner.config.inputs == "features":
        return Answerer(reasoner, image, Extractor(config.extractor.complete(training_record(config.model))).to(device))
    if config.extractor.given:
        names = ", ".join(f"--extractor.{name}" for name in config.extractor.given)
        raise ConfigError(f"{config.model} reads pixels and uses no extractor; leave out {names}")
    return Answerer(reasoner, image)


def _conversation(answerer: Answerer, config: AskConfig) -> Iterator[tuple[dict[str, Any], str]]:
    """Answers to the questions from standard input, or why there is none, as plain values and as text."""
    from clevr.answers.predict import QuestionError

    for question in _typed(silent=config.format == "json"):
        try:
            answer = answerer.ask(question)
        except QuestionError as error:
            yield {"question": question, "error": str(error)}, f"{error}\n"
            continue
        _draw(answerer, answer, config)
        yield as_json(answer, config.runners_up), describe(answer, config.runners_up)


def _draw(answerer: Answerer, answer: Answer, config: AskConfig) -> None:
    if config.out:
        from clevr.answers.plotting import answer_figure, save_figure

        save_figure(config.out, answer_figure(answerer, answer))


def _warned(answerer: Answerer) -> str:
    return f"  warning: {answerer.warning}\n" if answerer.warning else ""


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_json(content: Any) -> None:
    _write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _typed(*, silent: bool) -> Iterator[str]:
    """Questions from standard input, until an empty line or its end."""
    prompt = "? " if sys.stdin.isatty() and not silent else ""
    while True:
        _write(prompt)
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line
