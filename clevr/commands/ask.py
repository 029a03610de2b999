"""``clevr-film ask``: questions about one picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clevr.data.feature_config import ExtractorConfig
from fewshot_film.run.errors import ConfigError

if TYPE_CHECKING:
    from clevr.answers.answering import Answer, Answerer


@dataclass(frozen=True)
class AskConfig:
    """A picture, a question, and who is asked."""

    picture: Path
    """The picture."""
    question: str | None = None
    """In CLEVR's English; null: questions are read from the keyboard, one a line, until an empty line."""
    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    out: Path | None = None
    """PNG file for a picture of where the answer came from."""
    runners_up: int = 3
    """Other answers shown with their probabilities."""
    device: str = "auto"
    """auto (an accelerator where there is one), cpu, cuda, or mps."""
    extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    """What makes the features, for a model that reads features; what is left as it is comes from the model's own
    record, where it has one."""

    def __post_init__(self) -> None:
        if not 0 <= self.runners_up <= 27:
            raise ConfigError(f"runners_up is {self.runners_up}; expected 0 to 27")


def run(config: AskConfig) -> None:
    """Answer the question, or one after the other.

    Raises:
        DataNotFoundError: there is no such picture.
        DataError: it is no picture.
        SavedModelError: there is no such model, or it is damaged.
        QuestionError: the question is empty, far too long, or in words that the model does not know.
    """
    from clevr.answers.answering import Answerer, open_picture
    from clevr.answers.predict import QuestionError
    from clevr.data.backbone import Extractor
    from clevr.reasoning.loading import load, training_record
    from fewshot_film.run.machine import Machine

    picture = open_picture(config.picture)
    device = Machine(config.device, "32-true").device
    reasoner = load(config.model).to(device)
    extractor = None
    if reasoner.config.inputs == "features":
        extractor = Extractor(recorded_extractor(config, training_record(config.model))).to(device)
    answerer = Answerer(reasoner, picture, extractor)
    if config.question is not None:
        _say(answerer, answerer.ask(config.question), config)
        return
    for question in _typed():
        try:
            _say(answerer, answerer.ask(question), config)
        except QuestionError as error:
            sys.stdout.write(f"{error}\n")


def recorded_extractor(config: AskConfig, record: Mapping[str, Any]) -> ExtractorConfig:
    """The extractor that the model's record names, with what was set otherwise here."""
    recorded, default = record.get("extractor") or {}, ExtractorConfig()
    chosen = {}
    for item in fields(ExtractorConfig):
        here = getattr(config.extractor, item.name)
        is_set = here != getattr(default, item.name)
        chosen[item.name] = here if is_set else recorded.get(item.name, here)
    return ExtractorConfig(**chosen)


def describe(answer: Answer, runners_up: int = 3) -> str:
    """An answer in words.

    Args:
        answer: what the model said.
        runners_up: other answers to name.
    """
    lines = [f"{answer.answer}  ({100 * answer.probability:.1f} %)"]
    others = [f"{word} {100 * share:.1f} %" for word, share in answer.ranking[1 : runners_up + 1]]
    lines += [f"  or: {', '.join(others)}"] if others else []
    if answer.unknown_words:
        lines.append(f"  note: the model does not know: {', '.join(answer.unknown_words)}")
    return "\n".join(lines) + "\n"


def _say(answerer: Answerer, answer: Answer, config: AskConfig) -> None:
    sys.stdout.write(describe(answer, config.runners_up))
    sys.stdout.flush()
    if config.out:
        from clevr.answers.figure import answer_figure
        from clevr.answers.style import save_figure

        save_figure(config.out, answer_figure(answerer, answer))


def _typed() -> Iterator[str]:
    """Questions from standard input, until an empty line or its end."""
    prompt = "? " if sys.stdin.isatty() else ""
    while True:
        sys.stdout.write(prompt)
        sys.stdout.flush()
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line
