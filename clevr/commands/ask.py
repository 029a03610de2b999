"""``clevr-film ask``: questions about one image."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from clevr.answers.predict import FORM_UNKNOWN, Answer, Answerer, QuestionError, open_image
from clevr.config.commands import AskConfig
from clevr.reasoning.loading import load, training_record
from fewshot_film.errors import ConfigError
from fewshot_film.run.runtime import choose_device


def run(config: AskConfig) -> None:
    """Answer the question, or one after the other.

    Raises:
        DataNotFoundError: there is no such image.
        DataError: it is no image.
        SavedModelError: there is no such model, or it is damaged.
        ConfigError: there are settings of an extractor, and the model reads pixels.
        QuestionError: the question is empty, far too long, or in words that the model does not know.
    """
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
    said = f"{answer.answer}  ({100 * answer.probability:.1f} %)"
    lines = [f"a guess: {said}" if answer.is_guess else said]
    others = [f"{word} ({100 * share:.1f} %)" for word, share in answer.ranking[1 : runners_up + 1] if share >= 5e-4]
    lines += [f"  or: {', '.join(others)}"] if others else []
    if answer.asked_as:
        lines.append(f"  asked as: {answer.asked_as}")
    if answer.read_as:
        lines.append(f"  read as: {answer.steps}")
    if answer.unknown_words:
        lines.append(f"  note: the model does not know: {', '.join(answer.unknown_words)}; {answer.averaging}")
    elif answer.is_guess:
        lines.append(f"  note: {FORM_UNKNOWN}")
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
        "is_guess": answer.is_guess,
        "runners_up": [{"answer": word, "probability": share} for word, share in answer.ranking[1 : runners_up + 1]],
        "asked_as": answer.asked_as or None,
        "read_as": list(answer.read_as),
        "unknown_words": list(answer.unknown_words),
        "has_known_form": answer.has_known_form,
        "num_readings": answer.num_readings,
        "num_views": answer.num_views,
        "warning": answer.warning or None,
    }


def _answerer(config: AskConfig, image: Any) -> Answerer:
    device = choose_device(config.device)
    reasoner = load(config.model).to(device)
    if reasoner.config.inputs == "features":
        from clevr.data.backbone import Extractor  # torchvision takes a second, and few models need it

        extractor = Extractor(config.extractor.complete(training_record(config.model))).to(device)
        return Answerer(reasoner, image, extractor, sure=config.sure)
    if config.extractor.given:
        names = ", ".join(f"--extractor.{name}" for name in config.extractor.given)
        raise ConfigError(f"{config.model} reads pixels and uses no extractor; leave out {names}")
    return Answerer(reasoner, image, sure=config.sure)


def _conversation(answerer: Answerer, config: AskConfig) -> Iterator[tuple[dict[str, Any], str]]:
    """Answers to the questions from standard input, or why there is none, as plain values and as text."""
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
        from clevr.answers.plotting import answer_figure, save_figure  # so does Matplotlib

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
