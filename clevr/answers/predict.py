"""Answers of a model to the questions of a split, or to one question about one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from clevr.data.batches import ReasoningData, in_order
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import Vocabulary, tokenize
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.film import Modulations
from fewshot_film.run.device import to_device
from fewshot_film.run.errors import UserError
from fewshot_film.run.progress import hides_bars

MAX_WORDS = 200
"""The longest question of CLEVR has 43 words, of CLEVR-Humans fewer."""


class QuestionError(UserError, ValueError):
    """A question that cannot be read: empty, far too long, or in words of another vocabulary."""


@dataclass(frozen=True)
class Predictions:
    """What a model answered to ``N`` questions, in the order of ``numbers``."""

    numbers: NDArray[np.int64]
    """Numbers of the questions in their split, ``(N,)``."""
    probabilities: NDArray[np.float32]
    """Of each answer, by :data:`clevr.questions.tokens.ANSWER_WORDS`, ``(N, 28)``."""

    @property
    def answers(self) -> NDArray[np.int64]:
        """The most probable answers, ``(N,)``."""
        answers: NDArray[np.int64] = self.probabilities.argmax(1)
        return answers


@torch.no_grad()
def predict(
    reasoner: FiLMReasoner,
    data: ReasoningData,
    *,
    limit: int | None = None,
    size: int = 500,
    change: Callable[[Modulations], Modulations] | None = None,
) -> Predictions:
    """Answer the questions of a split.

    Args:
        reasoner: in evaluation mode, on any device.
        data: the split.
        limit: stop after the picture with which so many questions are reached.
        size: about how many questions at a time.
        change: what to make of gamma and beta before they are used.
    Returns:
        Answers in the order of the split's questions.
    """
    device = next(reasoner.parameters()).device
    numbers, found = [], []
    total = len(data) if limit is None else min(limit, len(data))
    with tqdm(total=total, unit="question", disable=hides_bars(), dynamic_ncols=True) as bar:
        for some, batch in in_order(data, size, limit):
            numbers.append(some)
            found.append(answer_logits(reasoner, to_device(batch, device), change).float().softmax(1).cpu().numpy())
            bar.update(len(some))
    every = np.concatenate(numbers)
    order = np.argsort(every)
    return Predictions(every[order], np.concatenate(found)[order])


def answer_logits(
    reasoner: FiLMReasoner, batch: QuestionBatch, change: Callable[[Modulations], Modulations] | None = None
) -> Tensor:
    """Logits ``(Q, 28)`` of a batch, with gamma and beta changed on the way if asked for."""
    maps, codes = reasoner.see(batch.pictures), reasoner.questions(batch.tree)
    modulations = reasoner.modulations(codes)
    modulations = modulations if change is None else change(modulations)
    logits: Tensor = reasoner.classifier(reasoner.reason(maps, batch.picture, modulations, codes))
    return logits


def read_question(text: str, vocabulary: Vocabulary) -> list[int]:
    """Token numbers of a question typed by a person.

    Raises:
        QuestionError: it has no words, more than :data:`MAX_WORDS`, or none that the vocabulary knows.
    """
    words = tokenize(text)
    if not words:
        raise QuestionError(f"the question {text!r:.40} has no words; ask for example: How many red things are there?")
    if len(words) > MAX_WORDS:
        raise QuestionError(
            f"the question has {len(words):,} words; expected at most {MAX_WORDS}, CLEVR's have up to 43"
        )
    if set(vocabulary.unknown_words(text)) == set(words):
        raise QuestionError(
            f"the model knows no word of {text!r:.60}; its words are CLEVR's English, such as: {_examples(vocabulary)}"
        )
    return vocabulary.encode(text)


def check_words(data: ReasoningData, vocabulary: Vocabulary) -> str:
    """What to say about words of a split that a model does not know; empty if it knows all.

    Raises:
        QuestionError: there is an unknown word in every question, or a question is far too long.
    """
    longest = int(np.diff(data.ends, prepend=0).max())
    if longest > MAX_WORDS + 2:
        number = int(np.diff(data.ends, prepend=0).argmax())
        raise QuestionError(f"question {number} has {longest - 2:,} words; expected at most {MAX_WORDS}")
    unknown = data.tokens == vocabulary.number("<UNK>")
    if not unknown.any():
        return ""
    of_question = np.add.reduceat(unknown, np.concatenate([[0], data.ends[:-1]])) > 0
    first = data.table.texts[int(of_question.argmax())]
    words = ", ".join(vocabulary.unknown_words(first)[:3])
    if of_question.all():
        raise QuestionError(
            f"every question has a word that the model does not know, such as {words} in {first!r}; its vocabulary of "
            f"{len(vocabulary)} tokens is another one: use a model that was trained on such questions"
        )
    count = f"{of_question.sum():,} of {len(of_question):,} questions"
    return f"{count} have words that the model does not know, such as {words}"


def one_question(picture: Tensor, tokens: Sequence[int]) -> QuestionBatch:
    """A batch of one question.

    Args:
        picture: picture or feature maps, ``(C, H, W)``.
        tokens: token numbers of the question.
    """
    return QuestionBatch(picture[None], torch.zeros(1, dtype=torch.int64), build_prefix_tree([tokens]))


def _examples(vocabulary: Vocabulary) -> str:
    known = [word for word in vocabulary.tokens if word.isalpha()]
    return ", ".join(known[-12:])
